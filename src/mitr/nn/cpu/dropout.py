"""Dropout that draws fewer random numbers: on a CPU they cost more than the rest of it.

A small rate draws the gaps between dropped values instead of a number for each value; a larger one draws 16 bits for
each. The rates are exact to 1 / 65536, and what remains is scaled by the true share.
"""

import math
from typing import Any

import torch
from torch import Tensor

from mitr.nn.cpu.switch import used

RARE = 0.05  # rates up to which gaps are drawn
FEW = 4096  # values below which PyTorch's own is as fast
LEVELS = 1 << 16
SURE = 8.0  # standard deviations by which more gaps are drawn than are needed on average


def pays(count: int, rate: float) -> bool:
    """Whether dropout of so many values is faster here than by PyTorch's own, and the rate is one that 16 bits tell."""
    return count >= FEW and 0 < round(rate * LEVELS) < LEVELS


def dropout(x: Tensor, rate: float) -> Tensor:
    """`F.dropout(x, rate)`, where it `pays`."""
    left: Tensor = _Gaps.apply(x, rate) if rate <= RARE else _Bits.apply(x, rate)
    return left


class _Bits(torch.autograd.Function):
    """Dropout by 16 random bits for each value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept = kept_values(x, rate)
        ctx.save_for_backward(kept)
        ctx.scale = scale_of(rate)
        return _kept(x, kept, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return _kept(gradients[0], kept, ctx.scale), None


class _Gaps(torch.autograd.Function):
    """Dropout by the gaps between dropped values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        places = dropped(x.numel(), rate)
        ctx.save_for_backward(places)
        ctx.scale = 1 / (1 - rate)
        return _emptied(x, places, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _emptied(gradients[0], places, ctx.scale), None


def signs(x: Tensor, rate: float) -> Tensor:
    """For each value of x a number that is negative with probability `rate`, else positive; of x's type."""
    return _bits(x).to(torch.float32).sub_(_threshold(rate) - 0.5).to(x.dtype)


def kept_values(x: Tensor, rate: float) -> Tensor:
    """Which values of x dropout leaves, bool of x's shape."""
    return _bits(x) >= _threshold(rate)


def scale_of(rate: float) -> float:
    """The factor of the values that are kept."""
    return LEVELS / (LEVELS - round(rate * LEVELS))


def dropped(count: int, rate: float) -> Tensor:
    """Which of `count` values are dropped, ascending; the gaps between them are geometrically distributed."""
    mean = count * rate
    enough = int(mean + SURE * math.sqrt(mean)) + 16
    gaps = torch.rand(enough, dtype=torch.float64).neg_().log1p_().div_(math.log1p(-rate)).floor_()
    places = gaps.to(torch.int64).add_(1).cumsum(0).sub_(1)
    return places[places < count]


def emptied_(x: Tensor, rate: float) -> Tensor:
    """In place, each value of a contiguous x becomes 0 with probability `rate`; the others do not grow."""
    if not (used("dropout", x.device) and pays(x.numel(), rate)):
        return x.masked_fill_(torch.rand_like(x) < rate, 0)
    x.view(-1)[dropped(x.numel(), rate)] = 0
    return x


def _bits(x: Tensor) -> Tensor:
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None).view(torch.int16)
    return bits[: x.numel()].view(x.shape)


def _threshold(rate: float) -> int:
    return round(rate * LEVELS) - LEVELS // 2


def _kept(x: Tensor, kept: Tensor, scale: float) -> Tensor:
    return kept.to(x.dtype).mul_(scale).mul_(x)


def _emptied(x: Tensor, places: Tensor, scale: float) -> Tensor:
    out = (x * scale).contiguous()
    out.view(-1)[places] = 0
    return out
