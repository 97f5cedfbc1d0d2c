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
        """(n, D) -> (n, D); or (n, S, D): S streams that are normalised each by itself, as in S calls one by one."""
        if not len(x):
            return x
        if not self.training or len(x) == 1:
            rows = x.reshape(-1, x.shape[-1])
            known = F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
            return known.view(x.shape)
        streams = x[0].numel() // x.shape[-1]
        weight, bias = (p if p is None or streams == 1 else p.repeat(streams) for p in (self.weight, self.bias))
        mean, var = (torch.zeros(streams * x.shape[-1], device=x.device) for _ in range(2))
        momentum = 1.0  # so that both are this batch's own
        normal = F.batch_norm(x.flatten(1), mean, var, weight, bias, True, momentum, self.eps)
        self._remember(mean.view(streams, -1), var.view(streams, -1))
        return normal.view(x.shape)

    @torch.no_grad()
    def _remember(self, means: Tensor, variances: Tensor) -> None:
        """Take (S, D) statistics of this batch into the running ones, one after the other."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        for mean, variance in zip(means, variances, strict=True):
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance, self.momentum or 0.0)
        self.num_batches_tracked.add_(len(means))
