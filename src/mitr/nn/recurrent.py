"""LSTMs and GRUs over true lengths.

Padding follows the steps of a sample, so no state that counts has seen it, and nothing needs to be packed: on a CPU
PyTorch trains packed sequences two to ten times more slowly.
"""

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """A one-layer LSTM or GRU, one- or bidirectional.

    Args:
        dim: D of the input.
        width: W, of the states of each direction.
        bidirectional: a second one reads each sample backwards, from its own last step.
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
        step = torch.arange(x.shape[1], device=x.device)[None]  # (1, T)
        inside = (step < lengths[:, None])[:, :, None]  # (B, T, 1)
        last = (lengths - 1).clamp(min=0)[:, None]  # (B, 1)
        states = self.ahead(x)[0] * inside
        ends = _at(states, last)
        if self.back is not None:
            mirrored = torch.where(inside[:, :, 0], last - step, step)
            reverse = self.back(_at(x, mirrored))[0] * inside
            states = torch.cat([states, _at(reverse, mirrored)], dim=2)
            ends = torch.cat([ends, _at(reverse, last)], dim=2)
        return states, ends[:, 0]


def _at(x: Tensor, steps: Tensor) -> Tensor:
    """(B, T, D) and (B, S) indices of steps -> (B, S, D)."""
    return x.gather(1, steps[:, :, None].expand(-1, -1, x.shape[2]))
