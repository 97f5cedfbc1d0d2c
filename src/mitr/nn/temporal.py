"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (docs/method.md).

Everything here runs on rows: the n valid steps of a batch, one after the other, (n, D). Padding is never computed.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        places = Places.of(valid)
        rows = x[valid]  # (n, D)
        back = rows[places.mirror] if self.reversal == "time" else rows.flip(1)
        ahead, back = self.forward_input(rows), self.backward_input(back)  # (n, W)
        levels = []
        for level, block in enumerate(self.blocks):
            earlier = places.earlier(2**level)
            ahead, back = block(ahead, earlier), block(back, earlier)
            levels.append(ahead + (back[places.mirror] if self.reversal == "time" else back))
        return put_rows(torch.cat(levels, dim=1), valid)  # (B, T, levels x W)


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))); A and G are causal convolutions of two steps, a dilation apart."""

    def __init__(self, width: int):
        super().__init__()
        self.content = NormalisedLinear(2 * width, width)
        self.gate = NormalisedLinear(2 * width, width)
        self.skip = nn.Linear(width, width)

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        """(n, W) and (n,) indices of the earlier rows -> (n, W)."""
        both = torch.cat([F.pad(x, (0, 0, 0, 1))[earlier], x], dim=1)  # (n, 2 W)
        return x + self.skip(self.content(both).tanh() * self.gate(both).sigmoid())


class NormalisedLinear(nn.Module):
    """A linear layer (a convolution, seen from one row), then BatchNorm, ReLU and dropout."""

    def __init__(self, dim: int, width: int, dropout: float = 0.01):
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.norm = RowBatchNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) -> (n, W)."""
        return F.dropout(F.relu(self.norm(self.linear(x))), self.dropout, self.training)
