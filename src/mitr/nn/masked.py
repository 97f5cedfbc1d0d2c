"""What padding must not touch: means, and batch normalisation over rows that exist."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type of sums over steps and of scores: rounded to bf16, they would be most of the error of a result."""
    return torch.promote_types(dtype, torch.float32)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D) and (B, T) bool -> (B, D), the mean over the steps in the mask; zero where there is none."""
    weight = mask.to(x.dtype)
    total = torch.einsum("btd,bt->bd", x, weight)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1).to(precise(x.dtype))
    return (total / count).to(x.dtype)  # bf16 counts to 256


def take_rows(x: Tensor, mask: Tensor) -> Tensor:
    """(..., D) -> the rows (n, D) of the n true places of the mask (...)."""
    if mask.all():
        return x.reshape(-1, x.shape[-1])
    rows: Tensor = _Take.apply(x, mask.flatten().nonzero().flatten())
    return rows


def put_rows(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows (n, D) back to where the mask (...) has its n true places: (..., D), zero elsewhere."""
    if len(rows) < mask.numel():
        rows = _Put.apply(rows, mask.flatten().nonzero().flatten(), mask.numel())
    return rows.view(*mask.shape, rows.shape[1])


class _Take(torch.autograd.Function):
    """Whole rows are copied, there and back; PyTorch's own gradient of x[mask] goes value by value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return x.reshape(-1, x.shape[-1]).index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _placed(gradients[0], places, math.prod(ctx.shape[:-1])).view(ctx.shape), None


class _Put(torch.autograd.Function):
    """The opposite of `_Take`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return _placed(rows, places, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].contiguous().index_select(0, *ctx.saved_tensors), None, None


def _placed(rows: Tensor, places: Tensor, count: int) -> Tensor:
    return rows.new_zeros(count, rows.shape[1]).index_copy_(0, places, rows)


class RowBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows (n, D), with n of any size.

    A single row has no variance: it is normalised with the running statistics, so a batch of one works in training.

    Args:
        num_features: D.
        affine: the result has a weight and a bias of its own.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, num_features: int, affine: bool = True):
        super().__init__(num_features, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) -> (n, D); or (n, S, D): S streams that are normalised each by itself, as in S calls one by one."""
        return normalised([self], x)

    @torch.no_grad()
    def remember(self, means: Tensor, variances: Tensor) -> None:
        """Take (S, D) statistics of this batch into the running ones, one after the other."""
        for mean, variance in zip(means, variances, strict=True):
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(len(means))


def normalised(
    norms: Sequence[RowBatchNorm], x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """What several norms of one kind make of their features, (n, D) or (n, S, D), which stand side by side.

    Whether they train, and their eps, is what the first one says.

    Args:
        norms: N of them.
        x: the features of all of them.
        scale: (N,), by which the result of each norm is multiplied.
        shift: (D,), what is still to be added to x. Where the rows have statistics of their own, it changes nothing but
            the running mean, and its gradient is zero.
    """
    first, width = norms[0], x.shape[-1]
    if not len(x):
        return x
    weight, bias = (_joined([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
    if scale is not None:
        each = torch.cat([part.expand(norm.num_features) for part, norm in zip(scale, norms, strict=True)])
        weight, bias = (each if weight is None else weight * each), (None if bias is None else bias * each)
    if not first.training or len(x) == 1:
        x = x if shift is None else x + shift
        mean, var = (_joined([getattr(norm, name) for norm in norms]) for name in ("running_mean", "running_var"))
        return F.batch_norm(x.reshape(-1, width), mean, var, weight, bias, eps=first.eps).view(x.shape)
    if shift is not None and bias is not None:
        bias = bias + 0 * shift  # zero is not None: an optimiser still has something to decay
    streams = x[0].numel() // width
    weight, bias = (p if p is None or streams == 1 else p.repeat(streams) for p in (weight, bias))
    mean, var = (first.running_mean.new_zeros(streams * width) for _ in range(2))
    momentum = 1.0  # so that both are this batch's own
    normal = F.batch_norm(x.flatten(1), mean, var, weight, bias, True, momentum, first.eps)
    widths = [norm.num_features for norm in norms]
    mean, var = mean.view(streams, width), var.view(streams, width)
    if shift is not None:
        mean = mean + shift.detach()
    parts = (known.split(widths, dim=1) for known in (mean, var))
    for norm, own_mean, own_var in zip(norms, *parts, strict=True):
        norm.remember(own_mean, own_var)
    return normal.view(x.shape)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return known[0] if len(known) == 1 else torch.cat(known) if known else None
