"""The distinct views of a split under several conditions, so that no forward pass is made twice.

N samples under C conditions are C x N views, numbered one condition after the other. Many are alike: the published
masks are nested, so from one rate to the next a short text often loses nothing; and where nothing is left, all samples
get the prior.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import torch

from mitr.batches.examples import Examples
from mitr.batches.hiding import hide
from mitr.batches.views import Steps
from mitr.missing.masks import Mask, inside
from mitr.missing.protocols import Condition
from mitr.missing.schedules import Extent, Masks

WINDOW = 1024  # views


class DistinctViews:
    """Every sample under every condition, with views of equal content counted once.

    Args:
        examples: the split.
        conditions: ways in which it is incomplete.
        skip_hidden: the text encoder leaves hidden tokens out, so that they cost nothing.

    Attributes:
        same: (C x N,) the number of the first view with the same content.
        text: (C x N,) the number of the first view that has the same text; where no text is encoded, the sample.
        distinct: (Q,) the numbers of the views to predict, those in `same`: in windows sorted by cost, samples of
            similar length near each other, views of one text side by side.
    """

    def __init__(self, examples: Examples, conditions: Sequence[Condition], skip_hidden: bool = False):
        self.examples, self.samples = examples, len(examples)
        self.extents = examples.extents()
        bits: dict[str, list[np.ndarray]] = {m: [] for m in self.extents}
        absent: dict[str, list[np.ndarray]] = {m: [] for m in self.extents}
        for condition in conditions:
            masks = condition.masks(self.extents)
            for m, extent in self.extents.items():
                bits[m].append(np.packbits(_left(masks[m], extent), axis=1))
                absent[m].append(masks[m].absent & (extent.lengths > 0))
        self.bits = {m: np.concatenate(parts) for m, parts in bits.items()}  # (C x N, T / 8): the steps that are shown
        self.absent = {m: np.concatenate(parts) for m, parts in absent.items()}  # (C x N,)
        self.same = _first_alike(self._contents(len(conditions)))
        steps = {m: np.where(self.absent[m], 0, np.tile(e.lengths, len(conditions))) for m, e in self.extents.items()}
        total = np.sum(list(steps.values()), axis=0)
        if examples.tokens is None:
            self.text, self.costs = np.arange(len(self.same)) % self.samples, total
        else:
            self.text = _first_alike(self._texts())
            self.costs = np.bitwise_count(self.bits["text"]).sum(axis=1) if skip_hidden else steps["text"]
        distinct = np.unique(self.same)
        text = self.text[distinct]
        # views of one text may differ in other steps: those of its first view count, so that they stay together
        distinct = distinct[np.lexsort((total[distinct], text, total[text]))]
        self.distinct = distinct[np.lexsort((self.costs[distinct], np.arange(len(distinct)) // WINDOW))]

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """The numbers of the distinct views, at most `size` at a time."""
        return (self.distinct[i : i + size] for i in range(0, len(self.distinct), size))

    def positions(self, numbers: np.ndarray) -> list[int]:
        """The place of each view's sample in the split."""
        found: list[int] = (numbers % self.samples).tolist()
        return found

    def masks(self, numbers: np.ndarray) -> Masks:
        """The masks of these views, in their order."""
        return {m: self._mask(m, numbers) for m in self.extents}

    def text_sets(self, size: int) -> list[list[Steps]]:
        """Every text once, in sets of batches: what each condition adds to the earlier ones, short texts first."""
        numbers = np.sort(self.distinct)
        numbers = numbers[np.unique(self.text[numbers], return_index=True)[1]]
        sets: dict[int, list[Steps]] = {}
        for c in np.unique(numbers // self.samples).tolist():
            own = numbers[numbers // self.samples == c]
            own = own[np.argsort(self.costs[own], kind="stable")]
            sets[c] = [self._read(own[i : i + size]) for i in range(0, len(own), size)]
        return list(sets.values())

    def _read(self, numbers: np.ndarray) -> Steps:
        complete = self.examples.texts(self.positions(numbers))
        masks = {"text": self._mask("text", numbers)}
        return hide({"text": complete}, masks, torch.arange(len(numbers)), self.examples.unknown)["text"]

    def _mask(self, modality: str, numbers: np.ndarray) -> Mask:
        steps = self.extents[modality].steps
        keep = np.unpackbits(self.bits[modality][numbers], axis=1, count=steps).astype(bool)
        return Mask(keep, self.absent[modality][numbers])

    def _contents(self, sets: int) -> Iterator[Hashable]:
        """What tells views apart: the sample and the masks; None where nothing is left."""
        content = {m: np.tile(np.packbits(_content(e), axis=1), (sets, 1)) for m, e in self.extents.items()}
        left = np.any([(self.bits[m] & content[m]).any(axis=1) for m in content], axis=0)
        rows = np.concatenate([*self.bits.values(), *(a[:, None] for a in self.absent.values())], axis=1)
        for number, row in enumerate(rows):
            yield (number % self.samples, row.tobytes()) if left[number] else None

    def _texts(self) -> Iterator[bytes]:
        """The token ids that are shown of each view, empty where it has no text."""
        assert self.examples.tokens is not None
        for number, bits in enumerate(self.bits["text"]):
            ids = self.examples.tokens[number % self.samples]
            shown = np.where(np.unpackbits(bits, count=len(ids)), ids, self.examples.unknown)
            yield b"" if self.absent["text"][number] else shown.tobytes()


def _first_alike(keys: Iterable[Hashable]) -> np.ndarray:
    """The index of the first key that is equal to each."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)


def _left(mask: Mask, extent: Extent) -> np.ndarray:
    """(N, T) bool: the steps that a mask of any width shows, at the extent's own."""
    left = np.zeros((len(extent.lengths), extent.steps), bool)
    width = min(extent.steps, mask.keep.shape[1])
    left[:, :width] = mask.keep[:, :width] & ~mask.absent[:, None]
    return left & inside(extent.lengths, extent.steps)


def _content(extent: Extent) -> np.ndarray:
    """(N, T) bool: steps inside the true lengths, without [CLS] and [SEP]."""
    ends = int(extent.special_tokens)
    content = inside(extent.lengths - ends, extent.steps)
    content[:, :ends] = False
    return content
