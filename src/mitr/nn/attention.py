"""Multi-head attention over steps, with padding masked."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mitr.nn.dropout import drawn_here, kept_or_dropped, scale_of
from mitr.nn.masked import precise

IN_CACHE = 1 << 19  # values that a processor's cache holds
KEPT = 1 << 24  # weights that are kept for a backward pass where PyTorch's own would keep none
Ends = Sequence[int]  # the steps of each sample, of a sequence that attends to itself


class Attention(nn.Module):
    """Scaled dot-product attention of a sequence to a context.

    Args:
        dim: D of query and context.
        heads: number of heads; divides D.
        dropout: on the attention weights.
        project: a last linear layer over the joined heads.
        bias: queries, keys and values have one.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, project: bool = True, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim, bias)
        self.key = nn.Linear(dim, dim, bias)
        self.value = nn.Linear(dim, dim, bias)
        self.out = nn.Linear(dim, dim) if project else nn.Identity()

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D), (B, S, D) and a mask (B, 1 or T, S) bool, True where attended -> (B, T, D)."""
        mixed = self.mix(self.query(x), self.key(context), self.value(context), mask)
        return self.out(mixed)

    def mix(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, ends: Ends | None = None
    ) -> Tensor:
        """The same, of what has been projected, and before the last layer; `ends` as in `attended`."""
        # (B, H, T or S, D/H)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (queries, keys, values))
        mask = None if mask is None else mask[:, None]
        mixed = scaled_dot_product(q, k, v, mask, self.dropout if self.training else 0.0, ends)
        return mixed.transpose(1, 2).flatten(2)


def scaled_dot_product(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, ends: Ends | None = None
) -> Tensor:
    """`attended`, by PyTorch's own where that is as fast: on a CPU its fused kernels know no dropout and no ends.

    Without a gradient they are faster all the same.
    """
    if rate or (ends and q.requires_grad):  # else no size is asked for: exported graphs keep theirs open
        weights = q.shape[:-1].numel() * k.shape[2]
        if drawn_here(q.device, weights, rate) if rate else weights <= KEPT:
            return attended(q, k, v, mask, rate, ends)
    return F.scaled_dot_product_attention(q, k, v, mask, rate)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, ends: Ends | None = None) -> Tensor:
    """Attention (B, H, T, d) with dropout on its weights; a query that may attend to nothing gets zeros.

    Args:
        q, k, v: (B, H, T, d), (B, H, S, d), (B, H, S, d).
        mask: (B, 1, 1 or T, S) bool, True where attended.
        rate: of the dropout.
        ends: behind them, nothing need be asked or seen. What stands there in the result means nothing, and the mask
            is needed all the same: samples are computed together, up to the end of the longest.
    """
    queries, keys, values = (part.flatten(0, 1).transpose(1, 2) for part in (q, k, v))  # (B H, d, T or S)
    bias = None if mask is None else bias_of(mask, q.shape[1], q.dtype)
    ends = None if ends is None else [end for end in ends for _ in range(q.shape[1])]
    mixed: Tensor = _Attended.apply(queries / math.sqrt(q.shape[-1]), keys, values, bias, rate, ends)
    mixed = mixed.transpose(1, 2).view_as(q)
    if mask is None:
        return mixed
    something = mask.any(dim=3, keepdim=True)
    return mixed if something.all() else mixed * something


def bias_of(mask: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """What a mask (B, 1, 1 or T, S) adds to the scores of all heads, (B H, 1 or T, S), in their type."""
    dtype = precise(dtype)
    # the least number, not minus infinity: a row without anything would become NaN
    bias = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return bias.expand(-1, heads, -1, -1).flatten(0, 1)


class _Attended(torch.autograd.Function):
    """`attend`, as part of a graph."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float, ends: Ends | None
    ) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, shares = attend(q, k, v, bias, rate, ends)
        ctx.rate, ctx.ends = rate, ends
        ctx.save_for_backward(q, k, v, out, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        q, k, v, out, shares = ctx.saved_tensors
        found = attend_back(gradients[0].contiguous(), q, k, v, out, shares, ctx.rate, ctx.ends)
        return *found, None, None, None


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float, ends: Ends | None = None
) -> tuple[Tensor, Tensor]:
    """What scaled queries find, and the weights of all that they see: the sign of one that dropout takes is negative.

    It goes through the batch a few samples at a time, so that what grows with T x S stays in a processor's cache.
    Features come first: products with a few features as columns are several times slower.

    Args:
        q, k, v: (N, d, T), (N, d, S), (N, d, S), contiguous.
        bias: (N, 1 or T, S), added to the scores.
        rate: of the dropout.
        ends: of the N, where T = S.

    Returns:
        (N, d, T) and the weights, those of a few samples after the other: (N, T, S) or less, flat.
    """
    parts, dtype = _parts(q, k, ends), precise(q.dtype)
    out = torch.empty_like(q) if ends is None else torch.zeros_like(q)
    shares = q.new_empty(sum(part.size for part in parts))
    for part in parts:
        own = part.weights(shares)  # (n, t, s)
        scores = own if own.dtype == dtype else torch.empty_like(own, dtype=dtype)
        queries, keys = part.queries(q).transpose(1, 2).to(dtype), part.keys(k).to(dtype)
        if bias is None:
            torch.bmm(queries, keys, out=scores)
        else:
            torch.baddbmm(part.bias(bias), queries, keys, out=scores)
        own.copy_(torch.softmax(scores, -1, out=scores))
        if rate:
            torch.copysign(own, kept_or_dropped(own, rate), out=own)
        _product(part.keys(v), (own.relu() if rate else own).transpose(1, 2), part.queries(out))
    return out.mul_(scale_of(rate)), shares


def attend_back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, shares: Tensor, rate: float, ends: Ends | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v from that of `out`, (N, d, T), all of it as `attend` took and gave it."""
    scale = scale_of(rate)
    to_q, to_k, to_v = (torch.empty_like(x) if ends is None else torch.zeros_like(x) for x in (q, k, v))
    mean = (g * out).sum(dim=1)[:, :, None]  # (N, T, 1): of the gradients of the weights, under these weights
    for part in _parts(q, k, ends):
        signed, to_out, own_mean = part.weights(shares), part.queries(g), mean[part.samples, : part.steps]
        kept = signed.relu().mul_(scale) if rate else signed
        to_shares = torch.bmm(to_out.transpose(1, 2), part.keys(v))
        _product(to_out, kept, part.keys(to_v))
        to_scores = to_shares.mul_(kept).sub_(signed.abs().mul_(own_mean))
        _product(part.keys(k), to_scores.transpose(1, 2), part.queries(to_q))
        _product(part.queries(q), to_scores, part.keys(to_k))
    return to_q, to_k, to_v


def _product(one: Tensor, other: Tensor, out: Tensor) -> None:
    """out = one @ other; into a cut of a tensor, a product is slower than a copy of it."""
    if out.is_contiguous():
        torch.bmm(one, other, out=out)
    else:
        out.copy_(torch.bmm(one, other))


class _Part(NamedTuple):
    """A few samples that are attended together: of the tensors of a batch, what is theirs."""

    samples: slice
    steps: int  # of the queries
    seen: int  # of the keys
    start: int  # of their weights
    size: int

    def queries(self, x: Tensor) -> Tensor:
        return x[self.samples, :, : self.steps]

    def keys(self, x: Tensor) -> Tensor:
        return x[self.samples, :, : self.seen]

    def bias(self, x: Tensor) -> Tensor:
        return x[self.samples, : self.steps, : self.seen]

    def weights(self, shares: Tensor) -> Tensor:
        count = self.samples.stop - self.samples.start
        return shares[self.start : self.start + self.size].view(count, self.steps, self.seen)


def _parts(q: Tensor, k: Tensor, ends: Ends | None) -> list[_Part]:
    count, steps, seen = len(q), q.shape[2], k.shape[2]
    together = max(1, IN_CACHE // (steps * seen or 1))
    parts, start = [], 0
    for first in range(0, count, together):
        last = min(first + together, count)
        if ends is not None:
            steps = seen = max(ends[first:last])
        size = (last - first) * steps * seen
        parts.append(_Part(slice(first, last), steps, seen, start, size))
        start += size
    return parts


def attention_mask(valid: Tensor, causal: bool = False) -> Tensor:
    """(B, T) bool -> (B, 1 or T, T) bool; a sample without steps attends to its first one, which is never used."""
    mask = valid.clone()
    mask[:, 0] |= ~valid.any(dim=1)
    if not causal:
        return mask[:, None]
    steps = valid.shape[1]
    earlier = torch.ones(steps, steps, dtype=torch.bool, device=valid.device).tril()
    return mask[:, None] & earlier | torch.eye(steps, dtype=torch.bool, device=valid.device)
