"""LSTMs and GRUs over true lengths.

Padding follows the steps of a sample, so no valid state has seen it, and sequences need not be packed: on a CPU
PyTorch trains packed sequences two to ten times more slowly.
"""

import torch
from torch import Tensor, nn

from mitr.nn import onnx
from mitr.nn.masked import at_steps, mirrored


class Recurrent(nn.Module):
    """A one-layer LSTM or GRU, one- or bidirectional.

    Args:
        dim: D of the input.
        width: W, of the states of each direction.
        bidirectional: a second cell reads each sample backwards, from its last valid step.
        cell: `nn.LSTM` or `nn.GRU`.
    """

    def __init__(self, dim: int, width: int, bidirectional: bool = False, cell: type[nn.LSTM] | type[nn.GRU] = nn.LSTM):
        super().__init__()
        self.ahead = cell(dim, width, batch_first=True)
        self.back = cell(dim, width, batch_first=True) if bidirectional else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) and (B,) int64 steps, 0 to T -> states (B, T, W or 2 W), zero in padding, and last ones (B, .).

        The last states, one a direction, have seen all steps of a sample; they are zero where it has none.
        """
        inside = torch.arange(x.shape[1], device=x.device)[None] < lengths[:, None]  # (B, T)
        last = (lengths - 1).clamp(min=0)[:, None]  # (B, 1)
        states = _states(self.ahead, x) * inside[:, :, None]
        ends = at_steps(states, last)
        if self.back is not None:
            mirror = mirrored(inside)
            reverse = _states(self.back, at_steps(x, mirror)) * inside[:, :, None]
            states = torch.cat([states, at_steps(reverse, mirror)], dim=2)
            ends = torch.cat([ends, at_steps(reverse, last)], dim=2)
        return states, ends[:, 0]


def _states(cell: nn.LSTM | nn.GRU, x: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, W)."""
    return onnx.recurrent(cell, x) if torch.compiler.is_exporting() else cell(x)[0]
