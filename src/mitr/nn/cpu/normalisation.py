"""Batch normalisation of rows, of several norms and streams in one call."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def normalised(
    norms: Sequence[nn.BatchNorm1d], x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """Several norms of one kind, each of its own features, which stand side by side: (n, D) or (n, S, D) -> the same.

    S streams are normalised each by itself, as in S calls one by one. Whether the norms train, and their eps, are those
    of the first one. A single row has no variance: it is normalised with the running statistics.

    Args:
        norms: N of them.
        x: the features of all of them.
        scale: (N,), by which the result of each norm is multiplied.
        shift: (D,), a bias that x lacks still. Where the rows have statistics of their own, it changes nothing but the
            running mean, and its gradient is zero.
    """
    first, width = norms[0], x.shape[-1]
    if not len(x):
        return x
    weight, bias = (_joined([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
    if scale is not None:
        factor = torch.cat([each.expand(norm.num_features) for each, norm in zip(scale, norms, strict=True)])
        weight, bias = (factor if weight is None else weight * factor), (None if bias is None else bias * factor)
    if not first.training or len(x) == 1:
        x = x if shift is None else x + shift
        mean, var = (_joined([getattr(norm, name) for norm in norms]) for name in ("running_mean", "running_var"))
        return F.batch_norm(x.reshape(-1, width), mean, var, weight, bias, eps=first.eps).view(x.shape)
    if shift is not None and bias is not None:
        bias = bias + 0 * shift  # zero is not None: an optimiser still has something to decay
    streams = x[0].numel() // width
    weight, bias = (p if p is None or streams == 1 else p.repeat(streams) for p in (weight, bias))
    assert first.running_mean is not None
    mean, var = (first.running_mean.new_zeros(streams * width) for _ in range(2))
    momentum = 1.0  # so that both are this batch's own
    normal = F.batch_norm(x.flatten(1), mean, var, weight, bias, True, momentum, first.eps)
    widths = [norm.num_features for norm in norms]
    mean, var = mean.view(streams, width), var.view(streams, width)
    if shift is not None:
        mean = mean + shift.detach()
    statistics = (each.split(widths, dim=1) for each in (mean, var))
    for norm, means, variances in zip(norms, *statistics, strict=True):
        _remember(norm, means, variances)
    return normal.view(x.shape)


@torch.no_grad()
def _remember(norm: nn.BatchNorm1d, means: Tensor, variances: Tensor) -> None:
    """Take (S, D) statistics of this batch into the running ones, one after the other."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    for mean, variance in zip(means, variances, strict=True):
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)
    norm.num_batches_tracked.add_(len(means))


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    known = [each for each in parts if each is not None]
    return known[0] if len(known) == 1 else torch.cat(known) if known else None
