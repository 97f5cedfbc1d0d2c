"""Means, batch normalisation and reversal in time that padding does not touch."""

import torch
from torch import Tensor, nn

from mitr.nn.precision import precise


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool -> (B, D), the mean over the steps in the mask; zero without any step."""
    weight = mask.to(x.dtype)
    total = torch.einsum("btd,bt->bd", x, weight)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1).to(precise(x.dtype))
    return (total / count).to(x.dtype)  # bf16 counts to 256


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the rows of a mask, of any number.

    A single row has no variance: it is normalised with the running statistics, so a batch of one works in training.

    Args:
        num_features: D.
        affine: the result has a weight and a bias that are learned.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, num_features: int, affine: bool = True):
        super().__init__(num_features, affine=affine)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., D) and (...) bool, None where all rows count -> (..., D); rows outside the mask mean nothing."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = self._statistics(x, torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask)
        scale = (var + self.eps).rsqrt()
        normal = (x - mean) * (scale if self.weight is None else scale * self.weight)
        return (normal if self.bias is None else normal + self.bias).to(x.dtype)

    def _statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (D,) of the rows, which are also taken into the running ones."""
        rows = x.to(precise(x.dtype)).flatten(0, -2)  # (n, D)
        inside = mask.flatten()[:, None]  # (n, 1)
        count = inside.sum()
        mean = rows.masked_fill(~inside, 0).sum(dim=0) / count.clamp(min=1)
        var = (rows - mean).square().masked_fill(~inside, 0).sum(dim=0) / count.clamp(min=1)
        enough = count > 1
        mean, var = torch.where(enough, mean, self.running_mean), torch.where(enough, var, self.running_var)
        with torch.no_grad():
            unbiased = torch.where(enough, var * (count / (count - 1).clamp(min=1)), self.running_var)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked.add_(enough)
        return mean, var


def mirrored(valid: Tensor) -> Tensor:
    """(B, T) bool -> (B, T) int64: for each step the one that takes its place when the sample is reversed."""
    step = torch.arange(valid.shape[1], device=valid.device)[None]
    return torch.where(valid, valid.sum(dim=1, keepdim=True) - 1 - step, step)


def at_steps(x: Tensor, steps: Tensor) -> Tensor:
    """(B, T, D) and (B, S) indices of steps -> (B, S, D)."""
    return x.gather(1, steps[:, :, None].expand(-1, -1, x.shape[2]))
