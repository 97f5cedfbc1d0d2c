"""What an import repairs, and the count of it: nothing is dropped or changed silently."""

from typing import NamedTuple

import numpy as np

from mitr.data.row_sample import RowSample
from mitr.data.schema import Cleaning, Modality

UNKNOWN, CLS, SEP = 100, 101, 102  # in the vocabularies of bert-base-uncased and bert-base-chinese
SAMPLED_ROWS = 20_000
EXTREME_DEVIATIONS = 20.0
EXTREME_SIZE = 1e4


class Cleaned(NamedTuple):
    """One modality of one sample after cleaning.

    Attributes:
        values: (T, D) float32, or (T,) int32 token ids; T is 0 where the modality is absent.
        available: (T,) bool, False at missing steps.
        replaced: values that were NaN or infinite.
        zeroed: it had a length and no content, so it counts as absent.
        beyond: it had content after the true length, which was cut.
    """

    values: np.ndarray
    available: np.ndarray
    replaced: int
    zeroed: bool
    beyond: bool


def true_length(values: np.ndarray) -> int:
    """Steps up to the last one that is not all zeros, of (T, D) features."""
    filled = np.flatnonzero((values != 0).any(axis=1))
    return int(filled[-1]) + 1 if len(filled) else 0


def clean_features(values: np.ndarray, length: int | None = None) -> Cleaned:
    """Cut (T, D) features to `length` steps (None: to the last one with content) and repair them.

    NaN and infinite values (also those too large for float32) become 0. A row of zeros inside the length is a
    missing step; a sample of nothing but zeros is absent.
    """
    length = true_length(values) if length is None else length
    beyond = bool((values[length:] != 0).any())
    with np.errstate(over="ignore", invalid="ignore"):
        kept = np.array(values[:length], dtype=np.float32)
    finite = np.isfinite(kept)
    kept[~finite] = 0
    replaced = int(finite.size - np.count_nonzero(finite))
    available = (kept != 0).any(axis=1)
    if not available.any():
        return Cleaned(kept[:0], available[:0], replaced, length > 0, beyond)
    return Cleaned(kept, available, replaced, False, beyond)


def clean_ids(ids: np.ndarray, length: int, bert: bool = True) -> Cleaned:
    """Cut (T,) token ids to `length`, [CLS] and [SEP] included.

    In a BERT vocabulary (`bert`) an unknown token is a missing step. A text without any token but [CLS] and
    [SEP] is absent; so is one whose every other token is unknown, since that is what a wholly dropped text
    looks like.
    """
    beyond = bool((ids[length:] != 0).any())
    kept = ids[:length].astype(np.int32)
    available = kept != UNKNOWN if bert else np.ones(length, dtype=bool)
    content = (available & (kept != CLS) & (kept != SEP)).any() if bert else length > 2
    if not content:
        unknown = bool(bert and (kept == UNKNOWN).any())
        return Cleaned(kept[:0], available[:0], 0, unknown, beyond)
    return Cleaned(kept, available, 0, False, beyond)


class Tally:
    """Counts over all samples of one modality, filled as they stream by.

    Medians come from a random sample of at most 20 000 available steps (the same at each import); lowest and
    highest values and constant columns are exact.
    """

    def __init__(self, modality: Modality):
        dim = modality.dim if modality.kind in ("features", "embeddings") else None
        self.cleaning = Cleaning()
        self.beyond = 0
        self._rows = RowSample(dim, SAMPLED_ROWS) if dim else None
        self._low = np.full(dim or 0, np.inf, dtype=np.float32)
        self._high = np.full(dim or 0, -np.inf, dtype=np.float32)

    def absent(self) -> None:
        """Count a sample that has no entry at all."""
        self.cleaning.absent_samples += 1

    def add(self, cleaned: Cleaned) -> None:
        """Count a sample."""
        counts = self.cleaning
        counts.nonfinite_values += cleaned.replaced
        counts.nonfinite_samples += cleaned.replaced > 0
        counts.zeroed_samples += cleaned.zeroed
        self.beyond += cleaned.beyond
        if not len(cleaned.values):
            return self.absent()
        counts.steps += len(cleaned.values)
        counts.missing_steps += int(np.count_nonzero(~cleaned.available))
        if self._rows is not None:
            observed = cleaned.values[cleaned.available]
            self._rows.add(observed)
            self._low = np.minimum(self._low, observed.min(axis=0))
            self._high = np.maximum(self._high, observed.max(axis=0))
        return None

    def finish(self) -> Cleaning:
        """The counts, with constant and extreme columns filled in."""
        if self._rows is None or self._rows.seen < 2:
            return self.cleaning
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        self.cleaning.constant_features = np.flatnonzero(low == high).tolist()
        rows = self._rows.rows
        middle = np.median(rows, axis=0).astype(np.float64)
        spread = 1.4826 * np.median(np.abs(rows - middle), axis=0)
        distance = np.maximum(high - middle, middle - low)
        # where most values are the same the spread is 0 and says nothing, so only the size counts
        far = (spread > 0) & (distance > EXTREME_DEVIATIONS * spread)
        large = np.maximum(np.abs(low), np.abs(high)) > EXTREME_SIZE
        for column in np.flatnonzero((far | large) & (low != high)):
            self.cleaning.extreme_features[str(column)] = [float(low[column]), float(high[column])]
        return self.cleaning
