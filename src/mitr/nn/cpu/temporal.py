"""The bidirectional temporal module over rows: the n valid steps of a batch, one after the other, (n, D).

Padding is never computed. Both streams and all views V of the same samples go through each layer in one call, with the
statistics of batch normalisation that each would have alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mitr.nn.cpu.dropout import emptied_
from mitr.nn.cpu.normalisation import normalised
from mitr.nn.cpu.rows import put_rows, take_rows
from mitr.nn.dropout import dropout


class Layer(Protocol):
    """What is used of a linear layer with BatchNorm, ReLU and dropout."""

    @property
    def linear(self) -> nn.Linear: ...

    @property
    def norm(self) -> nn.BatchNorm1d: ...

    @property
    def dropout(self) -> float: ...

    @property
    def training(self) -> bool: ...


class Block(Protocol):
    """What is used of a temporal block."""

    @property
    def content(self) -> Layer: ...

    @property
    def gate(self) -> Layer: ...

    @property
    def skip(self) -> nn.Linear: ...

    @property
    def dilation(self) -> int: ...


class Edges(NamedTuple):
    """Rows that have no neighbour at a distance.

    Attributes:
        distance: in steps.
        early: (k,) int64, the rows whose sample has no step so many steps before.
        late: (k,) int64, those whose sample has none so many steps behind.
    """

    distance: int
    early: Tensor
    late: Tensor


def edges_of(valid: Tensor, distances: Sequence[int]) -> list[Edges]:
    """For each distance, from a (B, T) bool mask that is true at the first steps of each sample."""
    step = torch.arange(valid.shape[1]).expand_as(valid)
    left = (valid.sum(dim=1, keepdim=True) - 1 - step)[valid]
    step = step[valid]
    return [Edges(d, *((count < d).nonzero().flatten() for count in (step, left))) for d in distances]


def bidirectional(
    inputs: Sequence[Layer], blocks: Sequence[Block], views: Sequence[Tensor], valid: Tensor, time: bool
) -> list[Tensor]:
    """The joined levels (B, T, levels x W) of each view, zero outside the true lengths.

    Args:
        inputs: the first layer of the stream ahead and of the one back.
        blocks: one a level.
        views: V times (B, T, D).
        valid: (B, T) bool of all views, true at the first steps of each sample.
        time: the stream back reverses time, not features.
    """
    rows = torch.stack([take_rows(x, valid) for x in views], dim=1)  # (n, V, D)
    if time:
        streams = side_by_side(inputs, rows).unflatten(2, (2, -1))  # (n, V, 2, W)
    else:
        streams = torch.stack([side_by_side(inputs[:1], rows), side_by_side(inputs[1:], rows.flip(2))], dim=2)
    levels = []
    for block, edges in zip(blocks, edges_of(valid, [block.dilation for block in blocks]), strict=True):
        streams = temporal_block(block, streams, edges, time)
        levels.append(streams)
    joined = torch.cat([level.sum(dim=2) for level in levels], dim=2)  # (n, V, levels x W)
    return [put_rows(view, valid) for view in joined.unbind(1)]


def temporal_block(block: Block, x: Tensor, edges: Edges, mirrored: bool) -> Tensor:
    """(n, V, 2, W) -> the same; `mirrored`: for the second of the two streams, time runs backwards.

    tanh(x) is 2 sigmoid(2 x) - 1, and a sigmoid takes a fraction of its time: the 2 before x is in the small weights.
    """
    both = _WithNeighbour.apply(x, edges, mirrored).flatten(1, 2)  # (n, 2 V, 2 W)
    rate = block.content.dropout if block.content.training else 0.0
    scale = both.new_tensor([2.0, 1.0], dtype=torch.float32) / (1 - rate)
    normal = linear_and_norm([block.content, block.gate], both, scale)
    mixed = _Gated.apply(normal, rate).view_as(x)
    return x + F.linear(mixed, block.skip.weight / 4, block.skip.bias)


def side_by_side(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Layers of one kind with the same input (n, S, D), by one product: (n, S, W), one behind the other.

    Whether they train, their dropout and the eps of their norms are those of the first one.
    """
    return dropout(F.relu(linear_and_norm(layers, x)), layers[0].dropout, layers[0].training)


def linear_and_norm(layers: Sequence[Layer], x: Tensor, scale: Tensor | None = None) -> Tensor:
    """The same without ReLU and dropout, times the `scale` of each layer."""
    weight, bias = (torch.cat([getattr(layer.linear, name) for layer in layers]) for name in ("weight", "bias"))
    return normalised([layer.norm for layer in layers], F.linear(x, weight), scale, shift=bias)


class _WithNeighbour(torch.autograd.Function):
    """(n, V, 2, W) -> (n, V, 2, 2 W): the row that is a distance away, zero where there is none, and the row itself.

    That is the earlier row; in the second stream, if it is mirrored, the later one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Edges, mirrored: bool) -> Tensor:
        ctx.save_for_backward(edges.early, edges.late)
        ctx.distance, ctx.mirrored, width = edges.distance, mirrored, x.shape[3]
        both = x.new_empty(*x.shape[:3], 2 * width)
        both[..., width:] = x
        for streams, away, empty, _ in _streams(ctx, edges.early, edges.late):
            to, of = both[:, :, streams, :width], x[:, :, streams]
            _move(to, of, away)
            to.index_fill_(0, empty, 0)
        return both

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (g,) = gradients
        width = g.shape[3] // 2
        given = g.new_empty(*g.shape[:3], width)  # the gradient of each row as a neighbour
        for streams, away, _, unused in _streams(ctx, *ctx.saved_tensors):
            to, of = given[:, :, streams], g[:, :, streams, :width]
            _move(to, of, -away)
            to.index_fill_(0, unused, 0)
        return given.add_(g[..., width:].contiguous()), None, None


def _move(to: Tensor, of: Tensor, by: int) -> None:
    """Copy rows so many places further on; the others are left as they are."""
    if by > 0:
        to[by:] = of[:-by]
    else:
        to[:by] = of[-by:]


def _streams(ctx: Any, early: Tensor, late: Tensor) -> list[tuple[slice, int, Tensor, Tensor]]:
    """Streams, rows to their neighbour (positive: earlier), rows without a neighbour, rows that are none."""
    if ctx.mirrored:
        return [(slice(0, 1), ctx.distance, early, late), (slice(1, 2), -ctx.distance, late, early)]
    return [(slice(0, 2), ctx.distance, early, late)]


class _Gated(torch.autograd.Function):
    """(..., 2 W) -> (..., W): 4 tanh(x / 2) of the first half times sigmoid(x) of the second, after ReLU and dropout.

    The values that dropout keeps have been scaled before. With v = tanh(x / 2), 0 where nothing is kept, this is
    2 v (1 + v) and its gradient (1 + v, or v) (1 - v^2): a factor other than 4 would cost a pass over one of them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        s = x.float().sigmoid_() if x.dtype == torch.bfloat16 else x.sigmoid()
        v = torch.add(s.new_tensor(-1.0), s, alpha=2, out=s).clamp_min_(0)  # 2 s - 1 in one pass
        if rate:
            emptied_(v, rate)
        content, gate = v.chunk(2, dim=-1)
        ctx.save_for_backward(v.to(x.dtype))  # in bf16 too, v tells a small x from none
        return torch.addcmul(content, content, gate).mul_(2).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (v,), (g,) = ctx.saved_tensors, gradients
        to_x = v + 1
        to_content, to_gate = to_x.chunk(2, dim=-1)
        torch.mul(g, to_gate, out=to_content)
        torch.mul(g, v.chunk(2, dim=-1)[0], out=to_gate)
        torch.ops.aten.tanh_backward.grad_input(to_x, v, grad_input=to_x)
        return torch.ops.aten.threshold_backward.grad_input(to_x, v, 0, grad_input=to_x), None
