"""Samples of a split, cleaned, normalised and tokenised, and how they become batches."""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from mitr.batches.views import Batch, Steps
from mitr.data.normalize import Normalizer
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.missing.schedules import Extent

Example = dict[str, tuple[np.ndarray, np.ndarray]]  # modality -> values (T, D) or (T,), available (T,)
MANY_UNKNOWN = 0.2
BERT_PADDED_LENGTH = 50  # to which MMSA pads its texts; the published text masks are drawn over it


class Tokeniser(Protocol):
    """What a text encoder does before any state is computed: texts and stored ids become ids of its vocabulary."""

    max_tokens: int
    unknown: int

    @property
    def identity(self) -> Mapping[str, object]:
        """Its `name`, among others."""

    def tokenise(self, texts: Iterable[str]) -> tuple[list[np.ndarray], int]:
        """Texts -> ids, and how many were cut."""

    def cut(self, ids: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
        """Ids, the long ones cut, and how many those were."""

    def check_ids(self, ids: np.ndarray, where: str) -> None:
        """Refuse ids of another vocabulary."""


class Examples(TorchDataset[tuple[int, Example]]):
    """The samples of some rows of a store.

    Args:
        data: the store.
        rows: (n,) rows, in the order that defines their positions.
        normalizer: fitted on the train split.
        text: the encoder, where text is tokens or raw text.
        modalities: those to use; None: all that the store has.
    """

    def __init__(
        self,
        data: Dataset,
        rows: np.ndarray,
        normalizer: Normalizer,
        text: Tokeniser | None,
        modalities: Collection[str] | None = None,
    ):
        self.data = data
        self.rows = rows
        self.normalizer = normalizer
        self.labels = data.labels[rows]
        self.ids = [data.ids[row] for row in rows]
        wanted = data.info.modalities if modalities is None else modalities
        self.modalities = [m for m in MODALITIES if m in wanted]
        self.unimodal = {m: own[rows] for m, own in data.modality_labels.items() if m in self.modalities}
        self.tokens = _tokens(data, rows, text) if text else None
        self.unknown = text.unknown if text else 0
        self._extents = {m: self._extent(m) for m in self.modalities}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[int, Example]:
        row = int(self.rows[position])
        example: Example = {}
        for m in self.modalities:
            if m == "text" and self.tokens is not None:
                ids = self.tokens[position]
                example[m] = ids, ids != self.unknown
            else:
                available = self.data.available(m, row)
                example[m] = self.normalizer.apply(m, self.data.features(m, row), available), available
        return position, example

    def extents(self) -> dict[str, Extent]:
        """What masks need to know of every modality."""
        return self._extents

    def costs(self) -> np.ndarray:
        """(n,) what makes a sample slow: its tokens where text is encoded, else all of its steps."""
        if self.tokens is not None:
            return self._extents["text"].lengths
        return np.sum([extent.lengths for extent in self._extents.values()], axis=0)

    def texts(self, positions: Sequence[int]) -> Steps:
        """The token ids of these samples, padded as `collate` does it."""
        assert self.tokens is not None
        return _pad([(ids, ids != self.unknown) for ids in (self.tokens[p] for p in positions)], special=True)

    def collate(self, examples: Sequence[tuple[int, Example]]) -> Batch:
        """Pad examples to the longest of the batch (at least two steps, so that text without [CLS] keeps one)."""
        positions = np.array([position for position, _ in examples])
        view = {m: _pad([e[m] for _, e in examples], extent.special_tokens) for m, extent in self._extents.items()}
        labels = torch.from_numpy(self.labels[positions])
        unimodal = {m: torch.from_numpy(own[positions]) for m, own in self.unimodal.items()}
        return Batch(torch.from_numpy(positions), labels, view, unimodal)

    def _extent(self, modality: str) -> Extent:
        about = self.data.info.modalities[modality]
        if modality == "text" and self.tokens is not None:
            lengths = np.array([len(ids) for ids in self.tokens])
            return Extent(lengths, about.padded_length or BERT_PADDED_LENGTH, special_tokens=True)
        return Extent(self.data.lengths[modality][self.rows], about.padded_length, about.special_tokens)


def _tokens(data: Dataset, rows: np.ndarray, text: Tokeniser) -> list[np.ndarray]:
    if data.info.modalities["text"].kind == "raw":
        tokens, cut = text.tokenise(data.raw_text[row] for row in rows)
        unknown = sum(int((ids == text.unknown).sum()) for ids in tokens) / max(sum(len(ids) for ids in tokens), 1)
        if unknown > MANY_UNKNOWN:
            warnings.warn(
                f"{unknown:.0%} of the tokens are unknown to the text encoder {text.identity['name']!r}: is it one for "
                "the language of the texts? Name another with --text.encoder",
                stacklevel=2,
            )
    else:
        stored = [np.array(data.features("text", int(row))) for row in rows]
        for row, ids in zip(rows, stored, strict=True):
            text.check_ids(ids, f"{data.folder}, sample {data.ids[row]!r}")
        tokens, cut = text.cut(stored)
    if cut:
        warnings.warn(f"{cut} texts are longer than {text.max_tokens} tokens and were cut", stacklevel=2)
    return tokens


def _pad(parts: list[tuple[np.ndarray, np.ndarray]], special: bool) -> Steps:
    longest = max(2, *(len(values) for values, _ in parts))
    first = parts[0][0]
    values = np.zeros((len(parts), longest, *first.shape[1:]), np.int64 if first.ndim == 1 else np.float32)
    available = np.zeros((len(parts), longest), bool)
    lengths = np.array([len(v) for v, _ in parts])
    for i, (steps, there) in enumerate(parts):
        values[i, : len(steps)] = steps
        available[i, : len(steps)] = there
    index = np.arange(longest)[None]
    valid = index < lengths[:, None]
    content = (index > 0) & (index < lengths[:, None] - 1) if special else valid
    return Steps(*(torch.from_numpy(a) for a in (values, valid, available, content)))
