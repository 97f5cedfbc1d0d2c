"""The unimodal encoder E_m of MITR-DNet (and MulT): one pre-LayerNorm Transformer layer at the modality's own width."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.attention import Attention, attention_mask
from mitr.nn.cpu import encoder as kernel
from mitr.nn.cpu.switch import used
from mitr.nn.dropout import dropout


class UnimodalEncoder(nn.Module):
    """One Transformer layer with sinusoidal positions and a final LayerNorm.

    Args:
        dim: D of the modality.
        attention_dropout: on the attention weights.
        embedding_dropout: on the scaled input with its positions.
        causal: each step sees only itself and earlier ones.
        skip_zero_positions: no position for steps whose first feature is 0.
    """

    def __init__(
        self,
        dim: int,
        attention_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        causal: bool = False,
        skip_zero_positions: bool = False,
    ):
        super().__init__()
        self.causal = causal
        self.skip_zero_positions = skip_zero_positions
        self.embedding_dropout = embedding_dropout
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads=1, dropout=attention_dropout)
        self.feed_norm = nn.LayerNorm(dim)
        self.feed_in = nn.Linear(dim, 4 * dim)
        self.feed_out = nn.Linear(4 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, D); what results in padding is any finite number."""
        x = self.embed(x)
        mask = attention_mask(valid, self.causal)
        if used("encoder", x.device):
            return kernel.encode(self, x, valid, mask)
        normal = self.attention_norm(x)
        return self.feed(x + self.attention(normal, normal, mask, valid))

    def embed(self, x: Tensor) -> Tensor:
        """(B, T, D), scaled by the root of D and with positions."""
        positions = sinusoids(x.shape[1], x.shape[2], x.device).to(x)  # (T, D)
        if self.skip_zero_positions:
            positions = positions * (x[:, :, :1] != 0)  # (B, T, D)
        return dropout(math.sqrt(x.shape[2]) * x + positions, self.embedding_dropout, self.training)

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward network and the last LayerNorm, of (..., D)."""
        x = x + self.feed_out(F.relu(self.feed_in(self.feed_norm(x)), inplace=True))
        normal: Tensor = self.norm(x)
        return normal


def sinusoids(steps: int, dim: int, device: torch.device | None = None) -> Tensor:
    """(T, D) positions from 1 on: all sines, then all cosines, a zero column if D is odd (fairseq's form)."""
    half = dim // 2
    # frequencies 10000^(-i/(half-1)); a single one where that has no meaning
    frequency = torch.exp(torch.arange(half, device=device) * -(math.log(10000) / max(half - 1, 1)))
    angle = torch.arange(1, steps + 1, device=device)[:, None] * frequency[None]  # (T, D/2)
    table = torch.cat([angle.sin(), angle.cos()], dim=1)
    return F.pad(table, (0, dim % 2))
