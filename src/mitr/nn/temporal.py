"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (docs/method.md).

Everything here runs on rows: the n valid steps of a batch, one after the other, (n, D). Padding is never computed.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.dropout import relu_dropout
from mitr.nn.masked import RowBatchNorm, normalised, put_rows, take_rows


class Places(NamedTuple):
    """Where the rows of a batch stand.

    Attributes:
        step: (n,) int64, the step of each row inside its sample.
        left: (n,) int64, how many steps of its sample follow each row.
        mirror: (n,) int64, the row of the step that takes its place when the sample is reversed.
    """

    step: Tensor
    left: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, valid: Tensor) -> "Places":
        """From a (B, T) bool mask that is true at the first steps of each sample."""
        length = valid.sum(dim=1, keepdim=True)
        step = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
        step, left = step[valid], (length - 1 - step)[valid]
        return cls(step, left, torch.arange(len(step), device=valid.device) + left - step)

    def earlier(self, distance: int) -> Tensor:
        """(n,) int64: the row `distance` steps before each row; n, a row of zeros, where the sample has none."""
        rows = torch.arange(len(self.step), device=self.step.device)
        return torch.where(self.step >= distance, rows - distance, len(rows))

    def later(self, distance: int) -> Tensor:
        """The same for the row `distance` steps behind each row."""
        rows = torch.arange(len(self.step), device=self.step.device)
        return torch.where(self.left >= distance, rows + distance, len(rows))


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
        places = Places.of(valid)
        rows = torch.stack([take_rows(x, valid) for x in views], dim=1)  # (n, V, D)
        back = _Mirrored.apply(rows, places.mirror) if self.reversal == "time" else rows.flip(2)
        streams = torch.stack([self.forward_input(rows), self.backward_input(back)], dim=2)  # (n, V, 2, W)
        levels = []
        for level, block in enumerate(self.blocks):
            earlier, later = places.earlier(2**level), places.later(2**level)
            streams = block(streams.flatten(1, 2), earlier, later).view_as(streams)
            ahead, back = streams.unbind(2)  # (n, V, W)
            levels.append(ahead + (_Mirrored.apply(back, places.mirror) if self.reversal == "time" else back))
        joined = torch.cat(levels, dim=2)  # (n, V, levels x W)
        return [put_rows(view, valid) for view in joined.unbind(1)]


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))); A and G are causal convolutions of two steps, a dilation apart."""

    def __init__(self, width: int):
        super().__init__()
        self.content = NormalisedLinear(2 * width, width)
        self.gate = NormalisedLinear(2 * width, width)
        self.skip = nn.Linear(width, width)

    def forward(self, x: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        """(n, S, W), S streams, and (n,) indices of the earlier and the later rows -> (n, S, W)."""
        both = _WithEarlier.apply(x, earlier, later)  # (n, S, 2 W)
        mixed: Tensor = _Gated.apply(side_by_side([self.content, self.gate], both))
        return x + self.skip(mixed)


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
    """What layers of one kind make of the same (n, S, D), by one product: (n, S, W), one behind the other."""
    weight, bias = (torch.cat([getattr(layer.linear, name) for layer in layers]) for name in ("weight", "bias"))
    normal = normalised([layer.norm for layer in layers], F.linear(x, weight, bias))
    return relu_dropout(normal, layers[0].dropout, layers[0].training)


class _Mirrored(torch.autograd.Function):
    """Rows in the order of `Places.mirror`, which is its own inverse: gradients need no scattering."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mirror: Tensor) -> Tensor:
        ctx.save_for_backward(mirror)
        return x.contiguous().index_select(0, mirror)  # of whole rows, which is faster

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].contiguous().index_select(0, *ctx.saved_tensors), None


class _WithEarlier(torch.autograd.Function):
    """(n, S, W) -> (n, S, 2 W): the row that is a distance earlier, and the row itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
        ctx.save_for_backward(later)
        return torch.cat([_moved(x, earlier), x], dim=2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        before, own = gradients[0].chunk(2, dim=2)
        return _moved(before, *ctx.saved_tensors).add_(own), None, None


def _moved(x: Tensor, rows: Tensor) -> Tensor:
    """The rows of x (n, ...) that are named; zeros for n."""
    moved = x.contiguous().index_select(0, rows.clamp(max=max(len(x) - 1, 0)))
    return moved.index_fill_(0, (rows == len(x)).nonzero().flatten(), 0)


class _Gated(torch.autograd.Function):
    """(..., 2 W) -> tanh of the first half times sigmoid of the second."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        content, gate = x.chunk(2, dim=-1)
        content, gate = content.tanh(), gate.sigmoid()
        ctx.save_for_backward(content, gate)
        return content * gate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        content, gate = ctx.saved_tensors
        (g,) = gradients
        to_content = torch.ops.aten.tanh_backward(g * gate, content)
        to_gate = torch.ops.aten.sigmoid_backward(g * content, gate)
        return torch.cat([to_content, to_gate], dim=-1)
