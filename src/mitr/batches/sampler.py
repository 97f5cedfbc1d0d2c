"""Which samples share a batch."""

from collections.abc import Iterator

import numpy as np


class LengthSortedBatches:
    """Batches of positions, in order or shuffled by (seed, epoch) and by nothing else.

    Samples of similar length share a batch, since every step of padding costs as much as a real one: within windows of
    16 batches, samples are sorted by length before they are cut into batches.

    Args:
        lengths: (n,) the length that costs most, of each sample.
        size: samples a batch; the last one of a window may hold fewer.
        seed: None keeps the order of the split, sorted in windows.
        chances: (n,) summing to 1; each epoch is drawn with replacement by them. None: every sample once.
    """

    WINDOW = 16

    def __init__(self, lengths: np.ndarray, size: int, seed: int | None = None, chances: np.ndarray | None = None):
        self.lengths, self.size, self.seed, self.chances = lengths, size, seed, chances
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(len(self.lengths))
        generator = None if self.seed is None else np.random.default_rng([self.seed, self.epoch, 0xBA7C])
        if generator is not None:
            drawn = self.chances is not None
            order = generator.choice(order, len(order), drawn, self.chances) if drawn else generator.permutation(order)
        batches: list[list[int]] = []
        for start in range(0, len(order), self.WINDOW * self.size):
            window = order[start : start + self.WINDOW * self.size]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += [window[i : i + self.size].tolist() for i in range(0, len(window), self.size)]
        if generator is not None:
            generator.shuffle(batches)
        return iter(batches)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)
