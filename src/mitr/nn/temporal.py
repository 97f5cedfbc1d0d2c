"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (docs/method.md)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.cpu import temporal as kernel
from mitr.nn.cpu.switch import used
from mitr.nn.dropout import dropout
from mitr.nn.masked import MaskedBatchNorm, at_steps, mirrored


class BidirectionalTemporal(nn.Module):
    """Dilated causal convolutions over a sequence and its reverse; the levels of both are added and joined.

    Args:
        dim: D of the input.
        width: features of each level.
        levels: number of temporal blocks, with dilations 1, 2, 4, ...
        reversal: `time` reverses each sample inside its true length (step t then holds its past and its future);
            `channel` flips the features instead, as the release does.
    """

    def __init__(self, dim: int, width: int = 25, levels: int = 4, reversal: Literal["time", "channel"] = "time"):
        super().__init__()
        self.reversal = reversal
        self.forward_input = NormalisedLinear(dim, width)
        self.backward_input = NormalisedLinear(dim, width)
        self.blocks = nn.ModuleList(TemporalBlock(width, 2**level) for level in range(levels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool, true at the first steps of each sample -> (B, T, levels x width).

        It is zero outside the true lengths.
        """
        if used("temporal", x.device):
            return self._by_kernel([x], valid)[0]
        mirror = mirrored(valid)
        reversed_x = at_steps(x, mirror) if self.reversal == "time" else x.flip(2)
        ahead, back = self.forward_input(x, valid), self.backward_input(reversed_x, valid)  # (B, T, W)
        levels = []
        for block in self.blocks:
            ahead, back = block(ahead, valid), block(back, valid)
            levels.append(ahead + (at_steps(back, mirror) if self.reversal == "time" else back))
        return torch.cat(levels, dim=2) * valid[:, :, None]

    def of_views(self, views: Sequence[Tensor], valid: Sequence[Tensor]) -> list[Tensor]:
        """`forward` of several views of the same samples, each normalised by its own statistics."""
        if used("temporal", valid[0].device) and all(torch.equal(valid[0], other) for other in valid[1:]):
            return self._by_kernel(views, valid[0])
        return [self(x, inside) for x, inside in zip(views, valid, strict=True)]

    def _by_kernel(self, views: Sequence[Tensor], valid: Tensor) -> list[Tensor]:
        blocks: list[TemporalBlock] = list(self.blocks)  # type: ignore[arg-type]
        inputs = [self.forward_input, self.backward_input]
        return kernel.bidirectional(inputs, blocks, views, valid, self.reversal == "time")


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))); A and G are causal convolutions of two steps, C is one of one step.

    Args:
        width: W.
        dilation: from each step to the earlier one that it sees.
    """

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.dilation = dilation
        self.content = NormalisedLinear(2 * width, width)
        self.gate = NormalisedLinear(2 * width, width)
        self.skip = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, W) and (B, T) bool -> (B, T, W)."""
        earlier = F.pad(x, (0, 0, self.dilation, 0))[:, : x.shape[1]]
        both = torch.cat([earlier, x], dim=2)  # (B, T, 2 W)
        out: Tensor = x + self.skip(self.content(both, valid).tanh() * self.gate(both, valid).sigmoid())
        return out


class NormalisedLinear(nn.Module):
    """A linear layer (a convolution, seen from one step), then BatchNorm over the valid steps, ReLU and dropout."""

    def __init__(self, dim: int, width: int, dropout: float = 0.01):
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.norm = MaskedBatchNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, W)."""
        return dropout(F.relu(self.norm(self.linear(x), valid)), self.dropout, self.training)
