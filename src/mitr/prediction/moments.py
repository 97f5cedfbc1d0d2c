"""The moments that mattered: how the answer changes when a part of a clip is hidden.

A moment is a stretch of time in which sound, pictures and the words spoken then are hidden together. Words whose time
is not known are hidden one by one. What counts is the answer less the answer without the part.
"""

import re
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from mitr.evaluation.predicting import predict_under
from mitr.examples import Examples
from mitr.media.features import Span
from mitr.media.reading import Reading
from mitr.media.spans import steps_in
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
    """The parts of a clip that changed the answer most, the strongest first.

    Args:
        network: in evaluation mode.
        examples: the clip alone.
        reading: the clip.
        shown: at most so many stretches, and as many words.
    """
    words = _words(network, reading)
    timed = [word for word in words if word.start is not None]
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
    untimed = [w for w in words if w.start is None]
    size = -(-len(untimed) // MOST_WORDS) if untimed else 1
    for i in range(0, len(untimed), size):
        group = untimed[i : i + size]
        moment = Moment(None, None, " ".join(w.text for w in group), 0.0)
        parts.append((moment, {"text": np.concatenate([w.tokens for w in group])}))
    if not parts:
        return []
    changes = _changes(network, examples, [hidden for _, hidden in parts])
    found = [moment._replace(change=change) for (moment, _), change in zip(parts, changes, strict=True)]
    found = sorted((m for m in found if m.change), key=lambda moment: -abs(moment.change))
    stretches = [m for m in found if m.start is not None][:shown]
    return stretches + [m for m in found if m.start is None][:shown]


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


class _Word:
    """A word of the text, its tokens, and its time where that is known."""

    def __init__(self, text: str, tokens: np.ndarray, start: float | None = None, stop: float | None = None):
        self.text, self.tokens, self.start, self.stop = text, tokens, start, stop


def _words(network: Network, reading: Reading) -> list[_Word]:
    if network.text is None or not reading.text.strip():
        return []
    spans = network.text.spans(reading.text)
    found = []
    for match in WORD.finditer(reading.text):
        tokens = np.array([i for i, (a, b) in enumerate(spans) if a < match.end() and b > match.start()], int)
        if len(tokens):
            found.append((match, tokens))
    times = _times(reading)
    return [_Word(match.group(), tokens, *_time_of(match.start(), match.end(), times)) for match, tokens in found]


def _times(reading: Reading) -> list[tuple[int, int, float, float]]:
    """Where in the text the words with a time stand: first and last character, start and stop in seconds."""
    place, found = 0, []
    for word in reading.transcript.words if reading.transcript else ():
        at = reading.text.find(word.text.strip(), place)
        if at >= 0:
            place = at + len(word.text.strip())
            found.append((at, place, word.start, word.stop))
    return found


def _time_of(first: int, last: int, times: list[tuple[int, int, float, float]]) -> tuple[float | None, float | None]:
    inside = [(start, stop) for a, b, start, stop in times if a < last and b > first]
    return (min(s for s, _ in inside), max(s for _, s in inside)) if inside else (None, None)
