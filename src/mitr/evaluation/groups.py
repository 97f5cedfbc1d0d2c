"""Groups of test samples that resamples draw as a whole: the clips of one video, which share a speaker and a topic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mitr.evaluation.metrics import Array

BETWEEN = "$_$"  # between video and clip in MMSA's ids
FEWEST_VIDEOS = 11  # below, an interval over videos would rest on too few draws
STREAM = 0xC0  # of the generator that draws groups


@dataclass(frozen=True)
class Groups:
    """Which samples are drawn together.

    Attributes:
        number: (n,) int64, the group of each sample, from 0.
        unit: what a group is: `videos`, or `clips` where each sample is its own.
    """

    number: np.ndarray
    unit: str

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.number.max()) + 1 if self.number.size else 0

    def drawn(self, resamples: int, generator: np.random.Generator) -> Array:
        """(R, n): how often each sample is in each resample, as many groups drawn with replacement as there are."""
        counts = generator.multinomial(self.count, np.full(self.count, 1 / self.count), resamples)  # (R, groups)
        return counts[:, self.number].astype(np.float64)


def groups_of(ids: Sequence[str]) -> Groups:
    """The videos that ids such as `<video>$_$<clip>` name; the clips where an id names none or videos are few."""
    videos = [name.rpartition(BETWEEN)[0] for name in ids]
    if all(videos) and len(set(videos)) >= FEWEST_VIDEOS:
        return Groups(np.unique(videos, return_inverse=True)[1], "videos")
    return Groups(np.arange(len(ids)), "clips")


def generator_of(seed: int) -> np.random.Generator:
    """The generator that evaluations and benchmarks draw resamples from: equal seeds give equal resamples."""
    return np.random.default_rng([seed, STREAM])
