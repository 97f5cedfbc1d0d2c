"""MIB-TRL, the modality-invariant bidirectional temporal module of MITR-DNet (section 3 of the specification)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.masked import MaskedBatchNorm


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
        self.forward_input = CausalConv(dim, width, kernel=1)
        self.backward_input = CausalConv(dim, width, kernel=1)
        self.blocks = nn.ModuleList(TemporalBlock(width, dilation=2**level) for level in range(levels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, levels x width), zero outside the true lengths."""
        if self.reversal == "time":
            order = reversed_steps(valid)  # (B, T)
            ahead, back = x, take_steps(x, order)
        else:
            ahead, back = x, x.flip(2)
        ahead, back = self.forward_input(ahead, valid), self.backward_input(back, valid)  # (B, T, W)
        levels = []
        for block in self.blocks:
            ahead, back = block(ahead, valid), block(back, valid)
            levels.append(ahead + (take_steps(back, order) if self.reversal == "time" else back))
        return torch.cat(levels, dim=2) * valid[:, :, None]  # (B, T, levels x W)


class TemporalBlock(nn.Module):
    """x + C(tanh(A(x)) * sigmoid(G(x))) with causal A and G."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.content = CausalConv(width, width, kernel=2, dilation=dilation)
        self.gate = CausalConv(width, width, kernel=2, dilation=dilation)
        self.skip = nn.Linear(width, width)  # a 1x1 convolution

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return x + self.skip(self.content(x, valid).tanh() * self.gate(x, valid).sigmoid())


class CausalConv(nn.Module):
    """Convolution over the present and earlier steps, then BatchNorm over valid steps, ReLU and dropout."""

    def __init__(self, dim: int, width: int, kernel: int, dilation: int = 1, dropout: float = 0.01):
        super().__init__()
        self.conv = nn.Conv1d(dim, width, kernel, dilation=dilation)
        self.norm = MaskedBatchNorm(width)
        self.dropout = dropout
        self.reach = (kernel - 1) * dilation

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, W)."""
        y = self.conv(F.pad(x.transpose(1, 2), (self.reach, 0))).transpose(1, 2)
        return F.dropout(F.relu(self.norm(y, valid)), self.dropout, self.training)


def reversed_steps(valid: Tensor) -> Tensor:
    """(B, T) bool -> (B, T) int64: the order that reverses each sample inside its true length; padding stays put."""
    length = valid.sum(dim=1, keepdim=True)
    step = torch.arange(valid.shape[1], device=valid.device)[None]
    return torch.where(step < length, length - 1 - step, step)


def take_steps(x: Tensor, order: Tensor) -> Tensor:
    """Reorder the steps of (B, T, D) by (B, T) indices."""
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))
