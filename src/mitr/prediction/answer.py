"""An answer about a clip, as data and as lines of text."""

import json
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from mitr.media.features import Span

MOST_SPANS = 4  # of a modality that the lines name
LONGEST_WORDS = 80  # characters of the text that they show


class Moment(NamedTuple):
    """A part of a clip, and the change that it makes to the answer.

    Attributes:
        start, stop: seconds; None for words whose time is unknown.
        text: the words in the part.
        change: the answer less the answer without this part, in the answer's unit.
    """

    start: float | None
    stop: float | None
    text: str
    change: float


@dataclass
class Prediction:
    """The answer of a run about a clip or a stretch of a clip.

    Attributes:
        file: the clip; None for words alone.
        start, stop: the stretch, in seconds.
        sentiment: inside `label_range`; None where labels are classes.
        low, high: the interval that holds `level` of all labels; None where the run carries no calibration.
        level: such as 0.9.
        label_range: lowest and highest label.
        category: the likeliest class; None where labels are on a scale.
        probabilities: class -> probability.
        all_missing: nothing was observed, so the answer is the prior of the training labels.
        observed: modality -> share of its steps that the model got; 0 where it is absent.
        missing: modality -> missing stretches with their reasons.
        prior: the answer where nothing is observed (of classes: the probability of `category`).
        shapley: modality -> its Shapley value; the prior and all values add up to the answer before it is cut to the
            scale.
        moments: the parts that mattered most, if asked for.
        text: the words.
        text_source: the origin of the words, such as a file's name.
        segments: the answers about stretches, if asked for.
        notes: what a user should know.
    """

    file: str | None
    start: float
    stop: float
    label_range: tuple[float, float]
    sentiment: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    category: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    all_missing: bool = False
    observed: dict[str, float] = field(default_factory=dict)
    missing: dict[str, list[Span]] = field(default_factory=dict)
    prior: float | None = None
    shapley: dict[str, float] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    text: str = ""
    text_source: str | None = None
    segments: list["Prediction"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Plain values; spans and moments as objects, segments as a list of the same."""
        plain = asdict(self)
        plain["missing"] = {m: [span._asdict() for span in spans] for m, spans in self.missing.items()}
        plain["moments"] = [moment._asdict() for moment in self.moments]
        plain["segments"] = [segment.to_json() for segment in self.segments]
        return plain

    def __str__(self) -> str:
        return "\n".join(lines_of(self))


def json_line(value: dict[str, object], encoding: str = "utf-8") -> str:
    """JSON on one line, with every number finite; letters that an output's encoding lacks are written as escapes."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    return line


def lines_of(answer: Prediction) -> list[str]:
    """The answer as the command line prints it."""
    length = f"  {answer.stop - answer.start:.1f} s" if answer.file is not None else ""
    rows = [("", f"{answer.file or 'the given words'}{length}"), *_verdict(answer)]
    if answer.observed:
        rows.append(("observed", ", ".join(f"{m} {share:.0%}" for m, share in answer.observed.items())))
    if answer.text:
        rows.append(("words", f"“{_short(answer.text)}” ({answer.text_source})"))
    gaps = [f"{m} {_spans(spans)}" for m, spans in answer.missing.items()]
    if gaps:
        rows.append(("missing", "; ".join(gaps)))
    if any(answer.shapley.values()):
        parts = sorted(answer.shapley.items(), key=lambda part: -abs(part[1]))
        unit = f" to the probability of {answer.category}" if answer.category is not None else ""
        prior = "" if answer.prior is None else f"{answer.prior:{'.2f' if unit else '+.2f'}}"
        start = f" (from the prior {prior})" if prior else ""
        rows.append(("mattered", ", ".join(f"{m} {value:+.2f}" for m, value in parts) + unit + start))
    rows += [("moment", _moment(moment)) for moment in answer.moments]
    rows += [("part", _segment(part)) for part in answer.segments]
    rows += [("note", note) for note in answer.notes]
    return [rows[0][1], *(f"  {name:<10} {text}" for name, text in rows[1:])]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1].rstrip() + "…"


def _segment(part: Prediction) -> str:
    if part.category is not None:
        said = f"{part.category} {part.probabilities[part.category]:.0%}"
    else:
        said = f"{part.sentiment:+.2f}"
        said += f" ({part.low:+.2f} to {part.high:+.2f})" if part.low is not None and part.high is not None else ""
    gone = [m for m, share in part.observed.items() if not share]
    said = f"{part.start:6.1f}-{part.stop:.1f} s  {said}"
    words = f"  “{_short(part.text)}”" if part.text else ""
    return said + (f"  without {', '.join(gone)}" if gone else "") + words


def _verdict(answer: Prediction) -> list[tuple[str, str]]:
    if answer.category is not None:
        shares = sorted(answer.probabilities.items(), key=lambda part: -part[1])
        rows = [("class", f"{answer.category} ({', '.join(f'{name} {share:.0%}' for name, share in shares)})")]
    else:
        low, high = answer.label_range
        said = f"{answer.sentiment:+.2f} on a scale from {low:g} to {high:g}"
        if answer.low is not None and answer.high is not None and answer.level is not None:
            said += f", {answer.level:.0%} interval {answer.low:+.2f} to {answer.high:+.2f}"
        rows = [("sentiment", said)]
    if answer.all_missing:
        rows.append(("", "nothing could be observed: this is the prior of the training labels"))
    return rows


def _spans(spans: list[Span]) -> str:
    longest = sorted(sorted(spans, key=lambda s: s.start - s.stop)[:MOST_SPANS])
    said = ", ".join(f"{s.start:.1f}-{s.stop:.1f} s ({s.reason})" if s.stop else f"({s.reason})" for s in longest)
    more = len(spans) - MOST_SPANS
    return said + (f" and {more} shorter stretch{'es' if more > 1 else ''}" if more > 0 else "")


def _moment(moment: Moment) -> str:
    when = "" if moment.start is None or moment.stop is None else f"{moment.start:.1f}-{moment.stop:.1f} s "
    words = f"“{moment.text}” " if moment.text else ""
    return f"{moment.change:+.2f}  {when}{words}".rstrip()
