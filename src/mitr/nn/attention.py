"""Multi-head attention over steps, with padding masked."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mitr.nn.dropout import drawn_here, kept_or_dropped, scale_of

IN_CACHE = 1 << 19  # values that a processor's cache holds


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

    def mix(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """The same, of what has been projected, and before the last layer."""
        # (B, H, T or S, D/H)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (queries, keys, values))
        mask = None if mask is None else mask[:, None]
        mixed = scaled_dot_product(q, k, v, mask, self.dropout if self.training else 0.0)
        return mixed.transpose(1, 2).flatten(2)


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """`attended`, by PyTorch's own where that is as fast: on a CPU its fused kernels know no dropout."""
    # without a rate no size is asked for: exported graphs keep theirs open
    if rate and drawn_here(q.device, q.shape[:-1].numel() * k.shape[2], rate):
        return attended(q, k, v, mask, rate)
    return F.scaled_dot_product_attention(q, k, v, mask, rate)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """Attention (B, H, T, d) with dropout on its weights; a query that may attend to nothing gets zeros.

    Args:
        q, k, v: (B, H, T, d), (B, H, S, d), (B, H, S, d).
        mask: (B, 1, 1 or T, S) bool, True where attended.
        rate: of the dropout.
    """
    queries, keys, values = (part.flatten(0, 1).transpose(1, 2) for part in (q, k, v))  # (B H, d, T or S)
    bias = None if mask is None else bias_of(mask, q.shape[1], q.dtype)
    mixed: Tensor = _Attended.apply(queries / math.sqrt(q.shape[-1]), keys, values, bias, rate)
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
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, shares = attend(q, k, v, bias, rate)
        ctx.rate = rate
        ctx.save_for_backward(q, k, v, out, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, shares = ctx.saved_tensors
        return *attend_back(gradients[0].contiguous(), q, k, v, out, shares, ctx.rate), None, None


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, rate: float) -> tuple[Tensor, Tensor]:
    """What scaled queries find, and the weights of all that they see: the sign of one that dropout takes is negative.

    It goes through the batch a few samples at a time, so that what grows with T x S stays in a processor's cache.
    Features come first: products with a few features as columns are several times slower.

    Args:
        q, k, v: (N, d, T), (N, d, S), (N, d, S), contiguous.
        bias: (N, 1 or T, S), added to the scores.
        rate: of the dropout.

    Returns:
        (N, d, T) and (N, T, S).
    """
    out, shares, dtype = torch.empty_like(q), q.new_empty(len(q), q.shape[2], k.shape[2]), precise(q.dtype)
    for part in _parts(shares):
        own = shares[part]  # (n, T, S)
        scores = own if own.dtype == dtype else torch.empty_like(own, dtype=dtype)
        to, of = q[part].transpose(1, 2).to(dtype), k[part].to(dtype)
        if bias is None:
            torch.bmm(to, of, out=scores)
        else:
            torch.baddbmm(bias[part], to, of, out=scores)
        own.copy_(torch.softmax(scores, -1, out=scores))
        if rate:
            torch.copysign(own, kept_or_dropped(own, rate), out=own)
        torch.bmm(v[part], (own.relu() if rate else own).transpose(1, 2), out=out[part])
    return out.mul_(scale_of(rate)), shares


def attend_back(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, shares: Tensor, rate: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v from that of `out`, (N, d, T), all of it as `attend` took and gave it."""
    scale = scale_of(rate)
    to_q, to_k, to_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    mean = (g * out).sum(dim=1)[:, :, None]  # (N, T, 1): of the gradients of the weights, under these weights
    for part in _parts(shares):
        own, kept = shares[part].abs(), shares[part].relu().mul_(scale)
        to_shares = torch.bmm(g[part].transpose(1, 2), v[part])
        torch.bmm(g[part], kept, out=to_v[part])
        to_scores = to_shares.mul_(kept).sub_(own.mul_(mean[part]))
        torch.bmm(k[part], to_scores.transpose(1, 2), out=to_q[part])
        torch.bmm(q[part], to_scores, out=to_k[part])
    return to_q, to_k, to_v


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type of scores: rounded to bf16, they would be most of the error of the result."""
    return torch.promote_types(dtype, torch.float32)


def _parts(shares: Tensor) -> Iterator[slice]:
    """Of (N, T, S), a few of the N at a time."""
    size = max(1, IN_CACHE // (shares[0].numel() or 1)) if len(shares) else 1
    return (slice(i, i + size) for i in range(0, len(shares), size))


def attention_mask(valid: Tensor, causal: bool = False) -> Tensor:
    """(B, T) bool -> (B, 1 or T, T) bool; a sample without steps attends to its first one, which is never used."""
    mask = valid.clone()
    mask[:, 0] |= ~valid.any(dim=1)
    if not causal:
        return mask[:, None]
    steps = valid.shape[1]
    earlier = torch.ones(steps, steps, dtype=torch.bool, device=valid.device).tril()
    return mask[:, None] & earlier | torch.eye(steps, dtype=torch.bool, device=valid.device)
