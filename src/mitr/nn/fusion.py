"""Transformer Fusion (TF) of MITR-DNet: audio and vision, each conditioned on text, exchange information."""

import torch
from torch import Tensor, nn

from mitr.nn.attention import Attention
from mitr.nn.dropout import dropout


class TransformerFusion(nn.Module):
    """Fuse pooled text, audio and vision into one vector (docs/method.md).

    Args:
        dim: D of the pooled vectors.
        heads: attention heads.
    """

    position: Tensor

    def __init__(self, dim: int = 100, heads: int = 10):
        super().__init__()
        self.audio = FusionBranch(dim, heads)
        self.vision = FusionBranch(dim, heads)
        position = torch.zeros(dim)
        position[1::2] = 1  # sinusoidal position 0: sin 0, cos 0, sin 0, ...
        self.register_buffer("position", position, persistent=False)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        """Three (B, D) -> (B, D)."""
        t, a, v = (z[:, None] for z in (text, audio, vision))  # one step each: (B, 1, D)
        audio_state = self.audio.meet_text(a, t, self.position)
        vision_state = self.vision.meet_text(v, t, self.position)
        return (self.audio(audio_state, vision_state) + self.vision(vision_state, audio_state))[:, 0]


class MeanFusion(nn.Module):
    """The mean of the three modalities, for an ablation of TF."""

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        """Three (B, D) -> (B, D)."""
        return (text + audio + vision) / 3


class FusionBranch(nn.Module):
    """One of the two sides of the fusion."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.self_attention = Attention(dim, heads, dropout=0.1)
        self.feed = Adapter(dim, dim, activation="gelu", eps=1e-6, dropout=0.1)
        self.mlp = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))
        self.adapter = Adapter(dim, dim // 2)
        self.query_norm = nn.LayerNorm(dim)
        self.context_norm = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads, dropout=0.01, project=False)
        self.cross_adapter = Adapter(dim, 64)
        self.scale = nn.Parameter(torch.ones(1))

    def meet_text(self, state: Tensor, text: Tensor, position: Tensor) -> Tensor:
        """SA(state + position + text) + state, all (B, S, D)."""
        x = state + position + text
        x = x + dropout(self.self_attention(x, x), 0.1, self.training)
        return x + self.feed(x) + state

    def forward(self, state: Tensor, other: Tensor) -> Tensor:
        """AD(state) + MLP(state) + state + X(state, other), all (B, S, D)."""
        crossed = self.cross_attention(self.query_norm(state), self.context_norm(other))
        return self.adapter(state) + self.mlp(state) + state + self.scale * self.cross_adapter(crossed)


class Adapter(nn.Module):
    """Up(activation(Down(LayerNorm(x)))), without a residual."""

    def __init__(self, dim: int, width: int, activation: str = "relu", eps: float = 1e-5, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.down = nn.Linear(dim, width)
        self.activation = nn.GELU("tanh") if activation == "gelu" else nn.ReLU()
        self.up = nn.Linear(width, dim)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        inner = dropout(self.activation(self.down(self.norm(x))), self.dropout, self.training)
        return dropout(self.up(inner), self.dropout, self.training)
