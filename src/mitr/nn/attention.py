"""Multi-head attention over steps, with padding masked."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.dropout import dropout


class Attention(nn.Module):
    """Scaled dot-product attention of a sequence to a context.

    Args:
        dim: D of query and context.
        heads: number of heads; divides D.
        dropout: on the attention weights.
        project: a last linear layer over the joined heads.
        bias: queries, keys and values have one.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, project: bool = True, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim, bias)
        self.key = nn.Linear(dim, dim, bias)
        self.value = nn.Linear(dim, dim, bias)
        self.out = nn.Linear(dim, dim) if project else nn.Identity()

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D), (B, S, D) and a mask (B, 1 or T, S) bool, True where attended -> (B, T, D)."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T or S, D/H)
            for part in (self.query(x), self.key(context), self.value(context))
        )
        mask = None if mask is None else mask[:, None]
        if self.training and self.dropout:
            mixed = attended(q, k, v, mask, self.dropout)  # PyTorch's fused kernels know no dropout on a CPU
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """Attention (B, H, T, d) with dropout on its weights; a query that may attend to nothing gets zeros.

    Args:
        q, k, v: (B, H, T, d), (B, H, S, d), (B, H, S, d).
        mask: (B, 1, 1 or T, S) bool, True where attended.
        rate: of the dropout.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)  # (B, H, T, S)
    if mask is None:
        return dropout(scores.softmax(dim=-1), rate, True) @ v
    shares = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    if not bool(mask.any(dim=-1).all()):
        shares = shares.masked_fill(~mask, 0)
    return dropout(shares, rate, True) @ v


def attention_mask(valid: Tensor, causal: bool = False) -> Tensor:
    """(B, T) bool -> (B, 1 or T, T) bool; a sample without steps attends to its first one, which is never used."""
    mask = valid.clone()
    mask[:, 0] |= ~valid.any(dim=1)
    if not causal:
        return mask[:, None]
    steps = valid.shape[1]
    earlier = torch.ones(steps, steps, dtype=torch.bool, device=valid.device).tril()
    return mask[:, None] & earlier | torch.eye(steps, dtype=torch.bool, device=valid.device)
