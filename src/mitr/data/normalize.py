"""Scaling of audio, vision and text embeddings, fitted on the train split."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mitr.config import NormalizeConfig
from mitr.data.row_sample import RowSample
from mitr.data.store import Dataset
from mitr.errors import MitrError

SAMPLED_ROWS = 200_000
BLOCK = 4096  # rows gathered before an update, so that many short samples cost few NumPy calls
COLUMNS = 16  # whose quantiles are taken at once
STATISTICS = ("mean", "scale", "low", "high")


@dataclass
class Scaling:
    """What one modality's columns are clipped to, shifted by and divided by; (D,) float32 each."""

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    clips: bool = field(init=False)  # some bound is finite

    def __post_init__(self) -> None:
        self.clips = bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())


class Normalizer:
    """The scaling of each modality; one without an entry stays as it is.

    Attributes:
        scalings: modality -> Scaling.
    """

    def __init__(self, scalings: dict[str, Scaling]):
        self.scalings = scalings

    @classmethod
    def fit(cls, dataset: Dataset, config: NormalizeConfig) -> "Normalizer":
        """Fit on the train split's available steps, sample by sample, in float64.

        `zscore` takes mean and (population) standard deviation; `robust` first clips each column to its
        quantiles `clip_quantile` and 1 minus it, and takes both of the clipped values. Quantiles come from a
        random sample of at most 200 000 steps (fewer for rows wider than 160), always the same one. A
        constant column has scale 1 and becomes 0.

        Raises:
            MitrError: the data set has no train split.
        """
        rows = dataset.indices("train")
        scalings: dict[str, Scaling] = {}
        for m, modality in dataset.info.modalities.items():
            mode = getattr(config, m)
            if mode == "none" or modality.kind not in ("features", "embeddings"):
                continue
            dim = int(modality.dim or 0)
            low, high = np.full(dim, -np.inf, np.float32), np.full(dim, np.inf, np.float32)
            if mode == "robust":
                sample = RowSample(dim, SAMPLED_ROWS)
                for block in _blocks(dataset, m, rows):
                    sample.add(block)
                if sample.seen:
                    low, high = _quantiles(sample.rows, config.clip_quantile)
            scalings[m] = _fit(_blocks(dataset, m, rows), low, high)
        return cls(scalings)

    def apply(
        self, modality: str, values: np.ndarray, available: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Scale (T, D) `values`; steps that are not `available`, (T,) bool, become zero rows.

        Args:
            modality: whose scaling.
            values: the features; left as they are.
            available: the steps that were observed.
            out: (T, D) float32 to write to, such as a sample's place in a batch; None: a new array.

        Returns:
            (T, D) float32, `out` or the new array.
        """
        values = np.asarray(values, np.float32)
        scaled = np.empty(values.shape, np.float32) if out is None else out
        scaling = self.scalings.get(modality)
        if scaling is None:
            scaled[...] = values
        else:
            if scaling.clips:
                values = np.clip(values, scaling.low, scaling.high, out=scaled)
            np.subtract(values, scaling.mean, out=scaled)
            scaled /= scaling.scale
        if not np.all(available):
            scaled[~np.asarray(available)] = 0
        return scaled

    def to_tensors(self) -> dict[str, np.ndarray]:
        """`<modality>.mean`, `.scale`, `.low` and `.high`, (D,) float32 each, to save with a run."""
        return {f"{m}.{name}": getattr(scaling, name) for m, scaling in self.scalings.items() for name in STATISTICS}

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> "Normalizer":
        """Rebuild from `to_tensors`.

        Raises:
            MitrError: a statistic of a modality is missing, or its statistics differ in shape.
        """
        scalings: dict[str, Scaling] = {}
        for m in sorted({name.rpartition(".")[0] for name in tensors}):
            try:
                statistics = {name: np.asarray(tensors[f"{m}.{name}"], dtype=np.float32) for name in STATISTICS}
            except KeyError as error:
                raise MitrError(f"the saved normalisation lacks {error}") from None
            if len({values.shape for values in statistics.values()}) > 1:
                raise MitrError(f"the saved normalisation of {m} has statistics of different shapes")
            scalings[m] = Scaling(**statistics)
        return cls(scalings)


def _quantiles(rows: np.ndarray, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Each column's `quantile` and 1 minus it, (D,) float32 each; a few columns at a time, since they are copied."""
    bounds = [
        np.quantile(rows[:, start : start + COLUMNS], [quantile, 1 - quantile], axis=0)
        for start in range(0, rows.shape[1], COLUMNS)
    ]
    low, high = np.concatenate(bounds, axis=1).astype(np.float32)
    return low, high


def _blocks(dataset: Dataset, modality: str, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The available steps of `rows`, a few thousand at a time, each block a new array."""
    held: list[np.ndarray] = []
    count = 0
    for row in rows:
        values, available = dataset.features(modality, row), dataset.available(modality, row)
        observed = values if available.all() else values[available]
        held.append(observed)
        count += len(observed)
        if count >= BLOCK:
            yield np.concatenate(held)
            held, count = [], 0
    if count:
        yield np.concatenate(held)


def _fit(blocks: Iterable[np.ndarray], low: np.ndarray, high: np.ndarray) -> Scaling:
    """Mean and standard deviation by merging those of blocks (Chan, Golub and LeVeque 1983)."""
    count, mean, squares = 0, np.zeros(len(low)), np.zeros(len(low))
    lowest, highest = np.full(len(low), np.inf), np.full(len(low), -np.inf)
    scaling = Scaling(np.zeros_like(low), np.ones_like(low), low, high)
    for block in blocks:
        if scaling.clips:
            np.clip(block, low, high, out=block)
        lowest, highest = np.minimum(lowest, block.min(axis=0)), np.maximum(highest, block.max(axis=0))
        values = block.astype(np.float64)
        block_mean = values.mean(axis=0)
        values -= block_mean
        block_squares = np.square(values, out=values).sum(axis=0)
        total = count + len(block)
        shift = block_mean - mean
        squares += block_squares + shift**2 * (count * len(block) / total)
        mean += shift * (len(block) / total)
        count = total
    constant = ~(lowest < highest)  # also where nothing was seen
    mean = np.where(constant & (count > 0), lowest, mean)
    scale = np.sqrt(squares / max(count, 1))
    scaling.mean = mean.astype(np.float32)
    scaling.scale = np.where(constant, 1, scale).astype(np.float32)
    scaling.scale[scaling.scale < np.finfo(np.float32).tiny] = 1
    return scaling
