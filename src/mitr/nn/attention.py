"""Multi-head attention over steps, with padding masked."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.cpu import attention as kernel
from mitr.nn.cpu.switch import used


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

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """(B, T, D), (B, S, D) and a mask (B, 1 or T, S) bool, True where attended -> (B, T, D).

        Args:
            x: what asks.
            context: what is read.
            mask: None where all of the context is read.
            valid: of a sequence that reads itself, the steps (B, T) bool whose results are needed; what results behind
                the last of them is any finite number.
        """
        mixed = self.mix(self.query(x), self.key(context), self.value(context), mask, valid)
        return self.out(mixed)

    def mix(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """`forward` between the projections: (B, T, D), (B, S, D), (B, S, D) -> (B, T, D)."""
        # (B, H, T or S, D/H)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (queries, keys, values))
        mask = None if mask is None else mask[:, None]
        mixed = scaled_dot_product(q, k, v, mask, self.dropout if self.training else 0.0, valid)
        return mixed.transpose(1, 2).flatten(2)


def scaled_dot_product(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, valid: Tensor | None = None
) -> Tensor:
    """q (B, H, T, d), k and v (B, H, S, d), a mask (B, 1, 1 or T, S) bool and a dropout rate -> (B, H, T, d)."""
    if used("attention", q.device) and kernel.pays(q, k, rate, valid is not None):
        return kernel.attended(q, k, v, mask, rate, None if valid is None else kernel.ends_of(valid))
    return F.scaled_dot_product_attention(q, k, v, mask, rate)


def attention_mask(valid: Tensor, causal: bool = False) -> Tensor:
    """(B, T) bool -> (B, 1 or T, T) bool; a sample without steps attends to its first one, which is never used."""
    mask = valid.clone()
    mask[:, 0] |= ~valid.any(dim=1)
    if not causal:
        return mask[:, None]
    steps = valid.shape[1]
    earlier = torch.ones(steps, steps, dtype=torch.bool, device=valid.device).tril()
    return mask[:, None] & earlier | torch.eye(steps, dtype=torch.bool, device=valid.device)
