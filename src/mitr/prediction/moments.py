"""The moments that mattered: how the answer changes when a part of a clip is hidden.

A moment is a stretch of time in which sound, pictures and the words spoken then are hidden together. Words without a
time of their own are hidden one by one; those of a subtitle have its time. What counts is the answer less the answer
without the part.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from mitr.batches.examples import Examples
from mitr.evaluation.predicting import predict_under
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

Hidden = dict[str, np.ndarray]  # modality -> steps


def moments_of(network: Network, examples: Examples, reading: Reading, shown: int = SHOWN) -> list[Moment]:
    """The parts of a clip that changed the answer most: stretches, the strongest first, then words in the same way.

    Args:
        network: in evaluation mode.
        examples: the clip alone.
        reading: the clip.
        shown: at most so many stretches, and as many words.
    """
    words = _words(network, reading)
    timed = [word for word in words if word.own]
    parts: list[tuple[Moment, Hidden]] = []
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
            parts.append((Moment(round(start, 2), round(stop, 2), text, 0.0), hidden))
    stretches = len(parts)
    untimed = [w for w in words if not w.own]
    size = -(-len(untimed) // MOST_WORDS) if untimed else 1
    for i in range(0, len(untimed), size):
        group = untimed[i : i + size]
        starts, stops = ([time for w in group if (time := getattr(w, end)) is not None] for end in ("start", "stop"))
        moment = Moment(min(starts, default=None), max(stops, default=None), " ".join(w.text for w in group), 0.0)
        parts.append((moment, {"text": np.concatenate([w.tokens for w in group])}))
    if not parts:
        return []
    changes = _changes(network, examples, [hidden for _, hidden in parts])
    found = [moment._replace(change=change) for (moment, _), change in zip(parts, changes, strict=True)]
    return _strongest(found[:stretches], shown) + _strongest(found[stretches:], shown)


def _strongest(moments: list[Moment], shown: int) -> list[Moment]:
    return sorted((m for m in moments if m.change), key=lambda moment: -abs(moment.change))[:shown]


def _changes(network: Network, examples: Examples, hidden: list[Hidden]) -> list[float]:
    """The answer less that without each part: of classes, the probability of the one that was chosen."""
    conditions = [Condition(str(i), "hidden", None, partial(_without, part)) for i, part in enumerate([{}, *hidden])]
    table = predict_under(network, examples, conditions)
    classes = examples.data.info.classes
    if classes is None:
        worth = table["prediction"].to_numpy(float)
    else:
        worth = table[f"probability_{classes[int(table['prediction'].iloc[0])]}"].to_numpy(float)
    return [float(worth[0] - value) for value in worth[1:]]


def _without(hidden: Hidden, extents: Mapping[str, Extent]) -> Masks:
    masks: Masks = {}
    for m, extent in extents.items():
        keep, absent = everything(extent.lengths, extent.steps)
        keep[:, hidden.get(m, np.zeros(0, int))] = False
        masks[m] = Mask(keep, absent)
    return masks


@dataclass
class _Word:
    """A word, its tokens, and its time where known: its `own`, inside the clip, or another, as that of its subtitle."""

    text: str
    tokens: np.ndarray
    start: float | None = None
    stop: float | None = None
    own: bool = False


def _words(network: Network, reading: Reading) -> list[_Word]:
    if network.text is None or not reading.text.strip():
        return []
    spans = network.text.spans(reading.text)
    found = []
    for match in WORD.finditer(reading.text):
        tokens = np.array([i for i, (a, b) in enumerate(spans) if a < match.end() and b > match.start()], int)
        if len(tokens):
            found.append((match, tokens))
    said = reading.transcript
    words, cues = (_times(reading.text, part) for part in ((said.words, said.cues) if said else ((), ())))
    known = []
    for match, tokens in found:
        start, stop = _time_of(match.start(), match.end(), words)
        inside = start is not None and stop is not None and (start + stop) / 2 < reading.seconds
        when = _time_of(match.start(), match.end(), cues) if start is None else (start, stop)
        known.append(_Word(match.group(), tokens, *when, own=inside))
    return known


def _times(text: str, parts: Sequence[Word | Cue]) -> list[tuple[int, int, float, float]]:
    """Where in the text the parts with a time stand: first and last character, start and stop in seconds."""
    place, found = 0, []
    for part in parts:
        at = text.find(part.text.strip(), place)
        if at >= 0:
            place = at + len(part.text.strip())
            found.append((at, place, part.start, part.stop))
    return found


def _time_of(first: int, last: int, times: list[tuple[int, int, float, float]]) -> tuple[float | None, float | None]:
    inside = [(start, stop) for a, b, start, stop in times if a < last and b > first]
    return (min(s for s, _ in inside), max(s for _, s in inside)) if inside else (None, None)
