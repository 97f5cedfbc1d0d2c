"""The valid steps of a padded batch as rows, (n, D): padding is then neither multiplied nor normalised."""

import math
from typing import Any

import torch
from torch import Tensor


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
    """Whole rows are copied, forwards and backwards; PyTorch's own gradient of x[mask] goes value by value."""

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
