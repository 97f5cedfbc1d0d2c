"""A bounded, repeatable random sample of rows, for quantiles of what does not fit in memory."""

import numpy as np

VALUES = 32_000_000  # 128 MB of float32, however wide the rows are


class RowSample:
    """Reservoir sampling (Vitter 1985, algorithm R), fixed seed: all rows are equally likely to stay."""

    def __init__(self, dim: int, limit: int):
        self.limit = max(1, min(limit, VALUES // dim))
        self.seen = 0
        self._rows = np.empty((min(self.limit, 1024), dim), dtype=np.float32)
        self._random = np.random.default_rng(0)

    def add(self, rows: np.ndarray) -> None:
        """Offer (n, dim) rows."""
        free = max(0, min(self.limit - self.seen, len(rows)))
        if free and self.seen + free > len(self._rows):
            grown = np.empty((min(self.limit, 2 * (self.seen + free)), self._rows.shape[1]), dtype=np.float32)
            grown[: self.seen] = self._rows[: self.seen]
            self._rows = grown
        self._rows[self.seen : self.seen + free] = rows[:free]
        later = rows[free:]
        numbers = np.arange(self.seen + free + 1, self.seen + len(rows) + 1)
        places = (self._random.random(len(later)) * numbers).astype(np.int64)
        kept = places < self.limit
        self._rows[places[kept]] = later[kept]
        self.seen += len(rows)

    @property
    def rows(self) -> np.ndarray:
        """The sample, (min(seen, limit), dim) float32."""
        return self._rows[: min(self.seen, self.limit)]
