"""The unimodal encoder E_m of MITR-DNet (and MulT): one pre-LayerNorm Transformer layer at the modality's own width."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.attention import Attention, attention_mask
from mitr.nn.dropout import dropout
from mitr.nn.masked import put_rows, take_rows

WIDE = 128  # features from which taking rows out costs less than multiplying padding


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
        """(B, T, D) and (B, T) bool -> (B, T, D), zero in padding where D is wide."""
        positions = sinusoids(x.shape[1], x.shape[2]).to(x)  # (T, D)
        if self.skip_zero_positions:
            positions = positions * (x[:, :, :1] != 0)  # (B, T, D)
        x = math.sqrt(x.shape[2]) * x + positions
        x = dropout(x, self.embedding_dropout, self.training)
        mask = attention_mask(valid, self.causal)
        if x.shape[2] < WIDE:
            ends = ends_of(valid) if self.training and x.device.type == "cpu" else None
            mixed = self.attention.mix(*self._projected(x), mask, ends)
            return self._feed(x + self.attention.out(mixed))
        rows = take_rows(x, valid)  # (n, D): wide features are slow to multiply, so that padding is left out
        queries, keys, values = (put_rows(part, valid) for part in self._projected(rows))
        mixed = self.attention.mix(queries, keys, values, mask)
        return put_rows(self._feed(rows + self.attention.out(take_rows(mixed, valid))), valid)

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of LayerNorm(x), each (..., D).

        Weight and bias of the norm are multiplied into those of the projections: an input that needs no gradient, such
        as given states of a text, then spares the product that would find it.
        """
        parts = self.attention.query, self.attention.key, self.attention.value
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])  # (3 D, D)
        norm = self.attention_norm
        normal = F.layer_norm(x, norm.normalized_shape, eps=norm.eps)
        queries, keys, values = F.linear(normal, weight * norm.weight, bias + weight @ norm.bias).chunk(3, dim=-1)
        return queries, keys, values

    def _feed(self, x: Tensor) -> Tensor:
        """The feed-forward network and the last LayerNorm, of (..., D)."""
        x = x + self.feed_out(F.relu(self.feed_in(self.feed_norm(x)), inplace=True))
        normal: Tensor = self.norm(x)
        return normal


def ends_of(valid: Tensor) -> list[int]:
    """The step behind the last one of each sample in a (B, T) bool mask, at least 1."""
    step = torch.arange(1, valid.shape[1] + 1, device=valid.device)
    ends: list[int] = (valid * step).amax(dim=1).clamp(min=1).tolist()
    return ends


def sinusoids(steps: int, dim: int) -> Tensor:
    """(T, D) positions from 1 on: all sines, then all cosines, a zero column if D is odd (fairseq's form)."""
    half = dim // 2
    # frequencies 10000^(-i/(half-1)); a single one where that has no meaning
    frequency = torch.exp(torch.arange(half) * -(math.log(10000) / max(half - 1, 1)))
    angle = torch.arange(1, steps + 1)[:, None] * frequency[None]  # (T, D/2)
    table = torch.cat([angle.sin(), angle.cos()], dim=1)
    return F.pad(table, (0, dim % 2))
