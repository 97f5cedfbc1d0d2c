"""Multi-head attention over steps, with padding masked."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None], dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))


def attention_mask(valid: Tensor, causal: bool = False) -> Tensor:
    """(B, T) bool -> (B, 1 or T, T) bool; a sample without steps attends to its first one, which is never used."""
    mask = valid.clone()
    mask[:, 0] |= ~valid.any(dim=1)
    if not causal:
        return mask[:, None]
    steps = valid.shape[1]
    earlier = torch.ones(steps, steps, dtype=torch.bool, device=valid.device).tril()
    return mask[:, None] & earlier | torch.eye(steps, dtype=torch.bool, device=valid.device)
