"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (docs/method.md).

Everything here runs on rows: the n valid steps of a batch, one after the other, (n, D). Padding is never computed.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.dropout import dropout
from mitr.nn.masked import RowBatchNorm, put_rows


class Places(NamedTuple):
    """Where the rows of a batch stand.

    Attributes:
        step: (n,) int64, the step of each row inside its sample.
        mirror: (n,) int64, the row of the step that takes its place when the sample is reversed.
    """

    step: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, valid: Tensor) -> "Places":
        """From a (B, T) bool mask that is true at the first steps of each sample."""
        length = valid.sum(dim=1, keepdim=True)
        step = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
        rows = torch.arange(int(length.sum()), device=valid.device)
        return cls(step[valid], rows + (length - 1 - 2 * step)[valid])

    def earlier(self, distance: int) -> Tensor:
        """(n,) int64: the row `distance` steps before each row; n, a row of zeros, where the sample has none."""
        rows = torch.arange(len(self.step), device=self.step.device)
        return torch.where(self.step >= distance, rows - distance, len(rows))


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
        rows = torch.stack([x[valid] for x in views], dim=1)  # (n, V, D)
        back = rows[places.mirror] if self.reversal == "time" else rows.flip(2)
        streams = torch.stack([self.forward_input(rows), self.backward_input(back)], dim=2)  # (n, V, 2, W)
        levels = []
        for level, block in enumerate(self.blocks):
            streams = block(streams.flatten(1, 2), places.earlier(2**level)).view_as(streams)
            ahead, back = streams.unbind(2)  # (n, V, W)
            levels.append(ahead + (back[places.mirror] if self.reversal == "time" else back))
        joined = torch.cat(levels, dim=2)  # (n, V, levels x W)
        return [put_rows(joined[:, i], valid) for i in range(len(views))]


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))); A and G are causal convolutions of two steps, a dilation apart."""

    def __init__(self, width: int):
        super().__init__()
        self.content = NormalisedLinear(2 * width, width)
        self.gate = NormalisedLinear(2 * width, width)
        self.skip = nn.Linear(width, width)

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        """(n, S, W), S streams, and (n,) indices of the earlier rows -> (n, S, W)."""
        before = F.pad(x, (0, 0, 0, 0, 0, 1)).index_select(0, earlier)
        both = torch.cat([before, x], dim=2)  # (n, S, 2 W)
        return x + self.skip(self.content(both).tanh() * self.gate(both).sigmoid())


class NormalisedLinear(nn.Module):
    """A linear layer (a convolution, seen from one row), then BatchNorm, ReLU and dropout."""

    def __init__(self, dim: int, width: int, dropout: float = 0.01):
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.norm = RowBatchNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(n, S, D), S streams -> (n, S, W)."""
        return dropout(F.relu(self.norm(self.linear(x))), self.dropout, self.training)
