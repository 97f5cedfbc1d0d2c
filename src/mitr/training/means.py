"""Means of a loop's scalars, read once: each reading waits for the device."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Means:
    """Means over samples of named scalars, summed in float64 where the scalars are."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.samples = 0

    def add(self, scalars: Mapping[str, Tensor], samples: int) -> None:
        """Add means () over a batch of so many samples."""
        for name, scalar in scalars.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros((), dtype=torch.float64, device=scalar.device)
            self.sums[name].add_(scalar.detach(), alpha=samples)
        self.samples += samples

    def read(self) -> dict[str, float]:
        """Name -> mean over all samples; a scalar that a batch lacked counts as 0 in that batch."""
        if not self.sums:
            return {}
        values: list[float] = torch.stack(list(self.sums.values())).tolist()
        return {name: value / self.samples for name, value in zip(self.sums, values, strict=True)}
