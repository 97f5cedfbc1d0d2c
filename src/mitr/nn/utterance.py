"""One vector for a whole utterance and modality; it is zero where a sample lacks the modality."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps
from mitr.nn.dropout import dropout
from mitr.nn.masked import MaskedBatchNorm, masked_mean
from mitr.nn.recurrent import Recurrent


class PooledEncoder(nn.Module):
    """The mean over all steps, BatchNorm, dropout, and three linear layers with ReLU.

    Args:
        dim: D of the steps.
        width: W of the vector.
        dropout: before the linear layers.
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.0):
        super().__init__()
        self.norm = MaskedBatchNorm(dim)
        self.dropout = dropout
        self.layers = nn.ModuleList([nn.Linear(dim, width), nn.Linear(width, width), nn.Linear(width, width)])

    def forward(self, steps: Steps) -> Tensor:
        """Steps of (B, T, D) -> (B, W)."""
        x = self.norm(masked_mean(steps.values, steps.valid), steps.present)
        x = dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x * steps.present[:, None]


class RecurrentEncoder(nn.Module):
    """The last state of an LSTM, dropout and a linear layer.

    Args:
        dim: D of the steps.
        hidden: width of the LSTM.
        width: W of the vector.
        dropout: on the last state.
    """

    def __init__(self, dim: int, hidden: int, width: int, dropout: float = 0.0):
        super().__init__()
        self.recurrent = Recurrent(dim, hidden)
        self.dropout = dropout
        self.out = nn.Linear(hidden, width)

    def forward(self, steps: Steps) -> Tensor:
        """Steps of (B, T, D) -> (B, W)."""
        _, last = self.recurrent(steps.values, steps.valid.sum(dim=1))
        return self.out(dropout(last, self.dropout, self.training)) * steps.present[:, None]


def summary_of(text: Steps) -> Tensor:
    """The text encoder's [CLS] state, (B, D); without it, the mean of the observed steps."""
    whole = masked_mean(text.values, text.available) if text.summary is None else text.summary
    return torch.where(text.present[:, None], whole, torch.zeros_like(whole))
