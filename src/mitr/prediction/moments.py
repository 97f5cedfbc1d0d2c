"""The moments that mattered: how the answer changes when a part of a clip is hidden.

A moment is a stretch of time in which sound, pictures and the words spoken then are hidden together. Words whose time
is unknown are hidden one by one; in a subtitle they have its time. The change is the answer less the answer without
the part.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mitr.media.features import Span
from mitr.media.reading import Reading
from mitr.media.spans import steps_in
from mitr.media.words.captions import Cue, Word
from mitr.missing.masks import Mask, everything
from mitr.missing.protocols import Condition
from mitr.missing.schedules import Extent, Masks
from mitr.models.network import Network
from mitr.prediction.answer import Moment

SHORTEST, MOST_PARTS, MOST_WORDS, SHOWN = 1.0, 20, 60, 3
CHINESE = "\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{CHINESE}]|[^\W{CHINESE}]+(?:['’][^\W{CHINESE}]+)*")  # a Chinese character is a word

Hidden = dict[str, np.ndarray]  # modality -> hidden steps


class HiddenPart(NamedTuple):
    """A part of a clip that is hidden to see what it changes.

    Attributes:
        moment: its time and words; `change` is still unknown.
        hidden: the steps of each modality.
        stretch: whether it is a stretch of time; otherwise words whose time is unknown.
    """

    moment: Moment
    hidden: Hidden
    stretch: bool

    def condition(self) -> Condition:
        """The clip without this part."""
        name = ", ".join(f"{m} {steps.tolist()}" for m, steps in self.hidden.items())
        return Condition(f"without {name}", "hidden", None, partial(_without, self.hidden))


def parts_of(network: Network, reading: Reading) -> list[HiddenPart]:
    """The parts of a clip: stretches of time, then the words whose time is unknown.

    Args:
        network: its tokenizer tells which steps a word has.
        reading: the clip.
    """
    words = _words(network, reading)
    timed = [word for word in words if word.timed]
    parts: list[HiddenPart] = []
    if reading.tracks or timed:
        count = min(MOST_PARTS, max(1, int(reading.seconds / SHORTEST)))
        for start, stop in pairwise(np.linspace(0.0, reading.seconds, count + 1).tolist()):
            said = [w for w in timed if start <= (w.start + w.stop) / 2 < stop]  # type: ignore[operator]
            hidden = {
                m: np.arange(len(track.values))[steps_in(Span(start, stop, ""), len(track.values), track.rate)]
                for m, track in reading.tracks.items()
            }
            hidden |= {"text": np.concatenate([w.tokens for w in said])} if said else {}
            text = " ".join(w.text for w in said)
            parts.append(HiddenPart(Moment(round(start, 2), round(stop, 2), text, 0.0), hidden, stretch=True))
    untimed = [w for w in words if not w.timed]
    size = -(-len(untimed) // MOST_WORDS) if untimed else 1
    for i in range(0, len(untimed), size):
        group = untimed[i : i + size]
        starts, stops = ([time for w in group if (time := getattr(w, end)) is not None] for end in ("start", "stop"))
        moment = Moment(min(starts, default=None), max(stops, default=None), " ".join(w.text for w in group), 0.0)
        parts.append(HiddenPart(moment, {"text": np.concatenate([w.tokens for w in group])}, stretch=False))
    return parts


def moments_of(
    parts: Sequence[HiddenPart], complete: float, without: Sequence[float], shown: int = SHOWN
) -> list[Moment]:
    """The parts that changed the answer most: stretches, the strongest first, then words in the same way.

    Args:
        parts: of a clip.
        complete: the answer about the whole clip; of classes, the probability of the likeliest.
        without: the same without each part.
        shown: the most stretches, and the most words.
    """
    moments = [part.moment._replace(change=complete - value) for part, value in zip(parts, without, strict=True)]
    return [
        moment
        for stretch in (True, False)
        for moment in _strongest([m for m, part in zip(moments, parts, strict=True) if part.stretch == stretch], shown)
    ]


def _strongest(moments: list[Moment], shown: int) -> list[Moment]:
    return sorted((m for m in moments if m.change), key=lambda moment: -abs(moment.change))[:shown]


def _without(hidden: Hidden, extents: Mapping[str, Extent]) -> Masks:
    masks: Masks = {}
    for m, extent in extents.items():
        keep, absent = everything(extent.lengths, extent.steps)
        keep[:, hidden.get(m, np.zeros(0, int))] = False
        masks[m] = Mask(keep, absent)
    return masks


@dataclass
class _Word:
    """A word and its tokens.

    Attributes:
        text, tokens: the word, and its steps among the text's.
        start, stop: seconds; of a word that is not `timed`, those of the subtitle in which it stands; None: unknown.
        timed: whether the time is the word's and lies inside the clip.
    """

    text: str
    tokens: np.ndarray
    start: float | None = None
    stop: float | None = None
    timed: bool = False


def _words(network: Network, reading: Reading) -> list[_Word]:
    if network.text is None or not reading.text.strip():
        return []
    spans = network.text.spans(reading.text)
    matches = []
    for match in WORD.finditer(reading.text):
        tokens = np.array([i for i, (a, b) in enumerate(spans) if a < match.end() and b > match.start()], int)
        if len(tokens):
            matches.append((match, tokens))
    transcript = reading.transcript
    timed = (transcript.words, transcript.cues) if transcript else ((), ())
    words, cues = (_times(reading.text, entries) for entries in timed)
    known = []
    for match, tokens in matches:
        start, stop = _time_of(match.start(), match.end(), words)
        inside = start is not None and stop is not None and (start + stop) / 2 < reading.seconds
        when = _time_of(match.start(), match.end(), cues) if start is None else (start, stop)
        known.append(_Word(match.group(), tokens, *when, timed=inside))
    return known


def _times(text: str, entries: Sequence[Word | Cue]) -> list[tuple[int, int, float, float]]:
    """The timed words or cues in the text: first character, end, start and stop in seconds."""
    place, times = 0, []
    for entry in entries:
        at = text.find(entry.text.strip(), place)
        if at >= 0:
            place = at + len(entry.text.strip())
            times.append((at, place, entry.start, entry.stop))
    return times


def _time_of(first: int, last: int, times: list[tuple[int, int, float, float]]) -> tuple[float | None, float | None]:
    inside = [(start, stop) for a, b, start, stop in times if a < last and b > first]
    return (min(s for s, _ in inside), max(s for _, s in inside)) if inside else (None, None)
