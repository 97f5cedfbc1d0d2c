"""Attention with dropout on its weights, over true lengths: PyTorch's fused kernels for CPUs know neither.

A batch is attended a few samples at a time, so that what grows with T x S stays in a processor's cache.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mitr.nn.cpu.dropout import pays as dropout_pays
from mitr.nn.cpu.dropout import scale_of, signs
from mitr.nn.precision import precise

IN_CACHE = 1 << 19  # values that a processor's cache holds
KEPT = 1 << 24  # weights that are kept for a backward pass where PyTorch's own would keep none
Ends = Sequence[int]  # of each sample, the step behind its last valid one


def pays(q: Tensor, k: Tensor, rate: float, lengths_known: bool) -> bool:
    """Whether `attended` is faster than PyTorch's own: with dropout, or in training where true lengths are known."""
    weights = q.shape[:-1].numel() * k.shape[2]
    return dropout_pays(weights, rate) if rate else lengths_known and q.requires_grad and weights <= KEPT


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, ends: Ends | None = None) -> Tensor:
    """Attention (B, H, T, d) with dropout on its weights; a query that may attend to nothing gets zeros.

    Args:
        q, k, v: (B, H, T, d), (B, H, S, d), (B, H, S, d).
        mask: (B, 1, 1 or T, S) bool, True where attended.
        rate: of the dropout.
        ends: of samples that attend to themselves. From there on, queries and keys need not be computed, and the result
            means nothing. The mask is needed all the same: samples are computed together, up to the largest end.
    """
    queries, keys, values = (x.flatten(0, 1).transpose(1, 2) for x in (q, k, v))  # (B H, d, T or S)
    bias = None if mask is None else bias_of(mask, q.shape[1], q.dtype)
    ends = None if ends is None else [end for end in ends for _ in range(q.shape[1])]
    mixed: Tensor = _Attended.apply(queries / math.sqrt(q.shape[-1]), keys, values, bias, rate, ends)
    mixed = mixed.transpose(1, 2).view_as(q)
    if mask is None:
        return mixed
    attends = mask.any(dim=3, keepdim=True)
    return mixed if attends.all() else mixed * attends


def ends_of(valid: Tensor) -> list[int]:
    """The step behind the last one of each sample in a (B, T) bool mask, at least 1."""
    step = torch.arange(1, valid.shape[1] + 1)
    ends: list[int] = (valid * step).amax(dim=1).clamp(min=1).tolist()
    return ends


def bias_of(mask: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """What a mask (B, 1, 1 or T, S) adds to the scores of all heads, (B H, 1 or T, S), in their type."""
    dtype = precise(dtype)
    # the least number, not minus infinity: a row without anything would become NaN
    bias = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return bias.expand(-1, heads, -1, -1).flatten(0, 1)


class _Attended(torch.autograd.Function):
    """`attend` with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float, ends: Ends | None
    ) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, weights = attend(q, k, v, bias, rate, ends)
        ctx.rate, ctx.ends = rate, ends
        ctx.save_for_backward(q, k, v, out, weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        q, k, v, out, weights = ctx.saved_tensors
        to_inputs = attend_back(gradients[0].contiguous(), q, k, v, out, weights, ctx.rate, ctx.ends)
        return *to_inputs, None, None, None


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float, ends: Ends | None = None
) -> tuple[Tensor, Tensor]:
    """The result for scaled queries, and all weights: the sign of a weight that dropout takes is negative.

    Features come first: products with a few features as columns are several times slower.

    Args:
        q, k, v: (N, d, T), (N, d, S), (N, d, S), contiguous.
        bias: (N, 1 or T, S), added to the scores.
        rate: of the dropout.
        ends: of the N, where T = S.

    Returns:
        (N, d, T) and the weights, flat, one group of samples behind the other: N x T x S values or less.
    """
    groups, dtype = _groups(q, k, ends), precise(q.dtype)
    out = torch.empty_like(q) if ends is None else torch.zeros_like(q)
    all_weights = q.new_empty(sum(group.size for group in groups))
    for group in groups:
        weights = group.weights(all_weights)  # (n, t, s)
        scores = weights if weights.dtype == dtype else torch.empty_like(weights, dtype=dtype)
        queries, keys = group.queries(q).transpose(1, 2).to(dtype), group.keys(k).to(dtype)
        if bias is None:
            torch.bmm(queries, keys, out=scores)
        else:
            torch.baddbmm(group.bias(bias), queries, keys, out=scores)
        weights.copy_(torch.softmax(scores, -1, out=scores))
        if rate:
            torch.copysign(weights, signs(weights, rate), out=weights)
        _product(group.keys(v), (weights.relu() if rate else weights).transpose(1, 2), group.queries(out))
    return out.mul_(scale_of(rate)), all_weights


def attend_back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, weights: Tensor, rate: float, ends: Ends | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v from that of `out`, (N, d, T), with the inputs and outputs of `attend`."""
    scale = scale_of(rate)
    to_q, to_k, to_v = (torch.empty_like(x) if ends is None else torch.zeros_like(x) for x in (q, k, v))
    mean = (g * out).sum(dim=1)[:, :, None]  # (N, T, 1): of the gradients of the weights, under these weights
    for group in _groups(q, k, ends):
        signed, to_out, group_mean = group.weights(weights), group.queries(g), mean[group.samples, : group.steps]
        kept = signed.relu().mul_(scale) if rate else signed
        to_weights = torch.bmm(to_out.transpose(1, 2), group.keys(v))
        _product(to_out, kept, group.keys(to_v))
        to_scores = to_weights.mul_(kept).sub_(signed.abs().mul_(group_mean))
        _product(group.keys(k), to_scores.transpose(1, 2), group.queries(to_q))
        _product(group.queries(q), to_scores, group.keys(to_k))
    return to_q, to_k, to_v


def _product(one: Tensor, other: Tensor, out: Tensor) -> None:
    """out = one @ other; into a slice of a tensor, a product is slower than a copy of it."""
    if out.is_contiguous():
        torch.bmm(one, other, out=out)
    else:
        out.copy_(torch.bmm(one, other))


class _Group(NamedTuple):
    """A few samples that are attended together, and their slices of a batch's tensors.

    Attributes:
        samples: of the N.
        steps: queries of each.
        seen: keys of each.
        start: of their weights among all weights.
        size: number of their weights.
    """

    samples: slice
    steps: int
    seen: int
    start: int
    size: int

    def queries(self, x: Tensor) -> Tensor:
        return x[self.samples, :, : self.steps]

    def keys(self, x: Tensor) -> Tensor:
        return x[self.samples, :, : self.seen]

    def bias(self, x: Tensor) -> Tensor:
        return x[self.samples, : self.steps, : self.seen]

    def weights(self, x: Tensor) -> Tensor:
        count = self.samples.stop - self.samples.start
        return x[self.start : self.start + self.size].view(count, self.steps, self.seen)


def _groups(q: Tensor, k: Tensor, ends: Ends | None) -> list[_Group]:
    count, steps, seen = len(q), q.shape[2], k.shape[2]
    together = max(1, IN_CACHE // (steps * seen or 1))
    groups, start = [], 0
    for first in range(0, count, together):
        last = min(first + together, count)
        if ends is not None:
            steps = seen = max(ends[first:last])
        size = (last - first) * steps * seen
        groups.append(_Group(slice(first, last), steps, seen, start, size))
        start += size
    return groups
