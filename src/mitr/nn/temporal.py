"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (docs/method.md).

Everything here runs on rows: the n valid steps of a batch, one after the other, (n, D). Padding is never computed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mitr.nn.dropout import emptied_, relu_dropout
from mitr.nn.masked import RowBatchNorm, normalised, put_rows, take_rows


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

    @classmethod
    def of(cls, valid: Tensor, distances: Iterable[int]) -> "list[Edges]":
        """For each distance, from a (B, T) bool mask that is true at the first steps of each sample."""
        step = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
        left = (valid.sum(dim=1, keepdim=True) - 1 - step)[valid]
        step = step[valid]
        return [cls(d, *((count < d).nonzero().flatten() for count in (step, left))) for d in distances]


class BidirectionalTemporal(nn.Module):
    """Dilated causal convolutions over a sequence and its reverse; the levels of both are added and joined.

    Args:
        dim: D of the input.
        width: features of each level.
        levels: number of temporal blocks, with dilations 1, 2, 4, ...
        reversal: `time` reverses inside the true length (step t then holds its past and its future); `channel` flips
            the features instead, as the release does.
    """

    def __init__(self, dim: int, width: int = 25, levels: int = 4, reversal: Literal["time", "channel"] = "time"):
        super().__init__()
        self.reversal = reversal
        self.forward_input = NormalisedLinear(dim, width)
        self.backward_input = NormalisedLinear(dim, width)
        self.blocks = nn.ModuleList(TemporalBlock(width) for _ in range(levels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, levels x width), zero outside the true lengths."""
        return self.of_views([x], valid)[0]

    def of_views(self, views: Sequence[Tensor], valid: Tensor) -> list[Tensor]:
        """V views (B, T, D) with the same valid steps, each as `forward` does it, at the price of fewer calls."""
        rows = torch.stack([take_rows(x, valid) for x in views], dim=1)  # (n, V, D)
        inputs = [self.forward_input, self.backward_input]
        if self.reversal == "time":
            streams = side_by_side(inputs, rows).unflatten(2, (2, -1))  # (n, V, 2, W)
        else:
            streams = torch.stack([inputs[0](rows), inputs[1](rows.flip(2))], dim=2)
        levels = []
        for block, edges in zip(
            self.blocks, Edges.of(valid, [2**level for level in range(len(self.blocks))]), strict=True
        ):
            streams = block(streams, edges, self.reversal == "time")
            levels.append(streams)
        joined = _Joined.apply(*levels)  # (n, V, levels x W)
        return [put_rows(view, valid) for view in joined.unbind(1)]


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))); A and G are causal convolutions of two steps, a distance apart.

    tanh(x) is 2 sigmoid(2 x) - 1, and a sigmoid takes a fraction of its time: the 2 before x is in the small weights.
    """

    def __init__(self, width: int):
        super().__init__()
        self.content = NormalisedLinear(2 * width, width)
        self.gate = NormalisedLinear(2 * width, width)
        self.skip = nn.Linear(width, width)

    def forward(self, x: Tensor, edges: Edges, mirrored: bool) -> Tensor:
        """(n, V, 2, W) -> the same; `mirrored`: for the second of the two streams, time runs backwards."""
        both = _WithNeighbour.apply(x, edges, mirrored).flatten(1, 2)  # (n, 2 V, 2 W)
        rate = self.content.dropout if self.training else 0.0
        scale = both.new_tensor([2.0, 1.0], dtype=torch.float32) / (1 - rate)
        normal = linear_and_norm([self.content, self.gate], both, scale)
        mixed = _Gated.apply(normal, rate).view_as(x)
        return x + F.linear(mixed, self.skip.weight / 4, self.skip.bias)


class NormalisedLinear(nn.Module):
    """A linear layer (a convolution, seen from one row), then BatchNorm, ReLU and dropout."""

    def __init__(self, dim: int, width: int, dropout: float = 0.01):
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.norm = RowBatchNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(n, S, D), S streams -> (n, S, W)."""
        return side_by_side([self], x)


def side_by_side(layers: Sequence[NormalisedLinear], x: Tensor) -> Tensor:
    """What layers of one kind make of the same (n, S, D), by one product: (n, S, W), one behind the other.

    Whether they train, their dropout and the eps of their norms are what the first one says.
    """
    return relu_dropout(linear_and_norm(layers, x), layers[0].dropout, layers[0].training)


def linear_and_norm(layers: Sequence[NormalisedLinear], x: Tensor, scale: Tensor | None = None) -> Tensor:
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
        for part, away, empty, _ in _streams(ctx, edges.early, edges.late):
            to, of = both[:, :, part, :width], x[:, :, part]
            _move(to, of, away)
            to.index_fill_(0, empty, 0)
        return both

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (g,) = gradients
        width = g.shape[3] // 2
        given = g.new_empty(*g.shape[:3], width)  # to the neighbours; a row may be nobody's
        for part, away, _, unused in _streams(ctx, *ctx.saved_tensors):
            to, of = given[:, :, part], g[:, :, part, :width]
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
    """Streams, rows to their neighbour (positive: it is earlier), rows without one, rows that are nobody's."""
    if ctx.mirrored:
        return [(slice(0, 1), ctx.distance, early, late), (slice(1, 2), -ctx.distance, late, early)]
    return [(slice(0, 2), ctx.distance, early, late)]


class _Joined(torch.autograd.Function):
    """Levels (n, V, 2, W) -> (n, V, levels x W), the sums of both streams side by side."""

    @staticmethod
    def forward(ctx: Any, *levels: Tensor) -> Tensor:
        rows, views, _, ctx.width = levels[0].shape
        joined = levels[0].new_empty(rows, views, len(levels) * ctx.width)
        for level, place in zip(levels, joined.split(ctx.width, dim=2), strict=True):
            ahead, back = level.unbind(2)
            torch.add(ahead, back, out=place)
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        parts = gradients[0].split(ctx.width, dim=2)
        return tuple(part.contiguous()[:, :, None].expand(-1, -1, 2, -1) for part in parts)


class _Gated(torch.autograd.Function):
    """(..., 2 W) -> (..., W): 4 tanh(x / 2) of the first half times sigmoid(x) of the second, after ReLU and dropout.

    What dropout leaves has been scaled before. With v = tanh(x / 2), 0 where nothing is left, this is 2 v (1 + v) and
    its gradient (1 + v, or v) (1 - v^2): a factor other than 4 would cost a pass over one of them.
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
