"""What padding must not touch: means, and batch normalisation over rows that exist."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool -> (B, D), the mean over the steps in the mask; zero where there is none."""
    weight = mask.to(x.dtype)
    total = torch.einsum("btd,bt->bd", x, weight)
    return total / weight.sum(dim=1, keepdim=True).clamp(min=1)


def put_rows(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows (n, D) back to where the mask (...) has its n true places: (..., D), zero elsewhere."""
    empty = torch.zeros((*mask.shape, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    return empty.masked_scatter(mask[..., None], rows)


class RowBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows (n, D), with n of any size.

    A single row has no variance: it is normalised with the running statistics, so a batch of one works in training.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        if not len(x):
            return x
        from_batch = self.training and len(x) > 1
        if from_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            from_batch,
            self.momentum or 0.0,
            self.eps,
        )
