"""The crossmodal Transformer encoder of MulT (Tsai et al., ACL 2019), which TFR-Net has too."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.attention import Attention, attention_mask
from mitr.nn.dropout import dropout
from mitr.nn.unimodal import sinusoids

Positions = Literal["all", "nonzero", "none"]


class Dropouts(NamedTuple):
    """Dropout rates of an encoder.

    Attributes:
        attention: on attention weights.
        inner: inside the feed-forward network.
        residual: before each addition.
        embedding: on the scaled input with its positions.
    """

    attention: float = 0.0
    inner: float = 0.0
    residual: float = 0.0
    embedding: float = 0.0


class CrossmodalEncoder(nn.Module):
    """Pre-norm Transformer layers in which a sequence reads a context that stays as it is, or itself.

    Args:
        dim: D of both.
        heads: attention heads; divide D.
        layers: number of layers.
        dropouts: rates.
        positions: which steps get a sinusoidal position: `all`, those whose first feature is not 0 (`nonzero`, as in
            fairseq, where that marks padding), or `none`.
        causal: of S context steps, step t of T sees those up to t + |S - T|, true lengths both.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        layers: int,
        dropouts: Dropouts | None = None,
        positions: Positions = "all",
        causal: bool = True,
    ):
        super().__init__()
        self.dropouts = dropouts or Dropouts()
        self.positions = positions
        self.causal = causal
        self.layers = nn.ModuleList(CrossmodalLayer(dim, heads, self.dropouts) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, valid: Tensor, context: Tensor | None = None, context_valid: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) and (B, T) bool, and the context's (B, S, D) and (B, S) or None for itself -> (B, T, D).

        Where the context has no step, nothing is read.
        """
        source = valid if context_valid is None else context_valid
        mask = crossmodal_mask(valid, source) if self.causal else attention_mask(source)
        something = source.any(dim=1)[:, None, None]
        x = self.embed(x)
        context = None if context is None else self.embed(context)
        for layer in self.layers:
            x = layer(x, context, mask, something)
        return self.norm(x)

    def embed(self, x: Tensor) -> Tensor:
        """(B, T, D), scaled by the root of D and with positions."""
        scaled = math.sqrt(x.shape[2]) * x
        if self.positions != "none":
            table = sinusoids(x.shape[1], x.shape[2], x.device).to(x)  # (T, D)
            scaled = scaled + (table if self.positions == "all" else table * (x[:, :, :1] != 0))
        return dropout(scaled, self.dropouts.embedding, self.training)


class CrossmodalLayer(nn.Module):
    """Attention and a feed-forward network, each behind a LayerNorm; query and context share theirs."""

    def __init__(self, dim: int, heads: int, dropouts: Dropouts):
        super().__init__()
        self.dropouts = dropouts
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropouts.attention)
        self.feed_norm = nn.LayerNorm(dim)
        self.feed_in = nn.Linear(dim, 4 * dim)
        self.feed_out = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, context: Tensor | None, mask: Tensor, something: Tensor) -> Tensor:
        """(B, T, D), (B, S, D) or None for x itself, (B, 1 or T, S) bool and (B, 1, 1) bool -> (B, T, D)."""
        query = self.attention_norm(x)
        read = self.attention(query, query if context is None else self.attention_norm(context), mask)
        x = x + dropout(read, self.dropouts.residual, self.training) * something
        inner = dropout(F.relu(self.feed_in(self.feed_norm(x))), self.dropouts.inner, self.training)
        return x + dropout(self.feed_out(inner), self.dropouts.residual, self.training)


class StepProjection(nn.Module):
    """A bias-free convolution over time, or nothing where the width is right already.

    Args:
        dim: D of the input.
        width: W of the output.
        kernel: steps that it spans, odd.
        padded: with zeros around the sequence, so that all T steps stay; else T - kernel + 1 of them.
    """

    def __init__(self, dim: int, width: int, kernel: int, padded: bool = True):
        super().__init__()
        around = (kernel - 1) // 2 if padded else 0
        self.convolve = None if dim == width else nn.Conv1d(dim, width, kernel, padding=around, bias=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, W); outside the true lengths x counts as zero."""
        x = x * valid[:, :, None]
        return x if self.convolve is None else self.convolve(x.transpose(1, 2)).transpose(1, 2)


def crossmodal_mask(valid: Tensor, source: Tensor) -> Tensor:
    """Masks of queries (B, T) and context (B, S) bool -> (B, T, S) bool, True where attended.

    Query t sees context steps up to t plus the difference of the true lengths; a sample without context sees its first
    step, which is never used.
    """
    asking, asked = (torch.arange(mask.shape[1], device=mask.device) for mask in (valid, source))
    ahead = (source.sum(dim=1) - valid.sum(dim=1)).abs()[:, None, None]  # (B, 1, 1)
    earlier = asked[None, None] <= asking[None, :, None] + ahead
    return attention_mask(source) & earlier
