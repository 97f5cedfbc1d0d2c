"""Means and batch normalisation over valid steps only."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool -> (B, D), the mean over the steps in the mask; zero where there is none."""
    weight = mask.to(x.dtype)
    total = torch.einsum("btd,bt->bd", x, weight)
    return total / weight.sum(dim=1, keepdim=True).clamp(min=1)


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics come from the rows in the mask; other rows become zero.

    A single row has no variance: it is normalised with the running statistics, so a batch of one works in training.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(..., D) and (...) bool -> (..., D)."""
        rows = x[mask]  # (n, D)
        if not len(rows):
            return torch.zeros_like(x)
        from_batch = self.training and len(rows) > 1
        if from_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        normal = F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, from_batch, self.momentum or 0.0, self.eps
        )
        return torch.zeros(x.shape, dtype=normal.dtype, device=x.device).masked_scatter(mask[..., None], normal)
