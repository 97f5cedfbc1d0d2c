"""Losses between the shared and private vectors of modalities, as in MISA (arXiv 2005.03545, sections 3.5.1 and 3.5.2).

B samples, D features. Samples whose mask is False are left out.
"""

import torch
from torch import Tensor


def orthogonality(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean over the D x D entries of (A^T B)^2, for (B, D) vectors centred over the batch and scaled to length 1.

    Lengths are constants, as in the release; fewer than two samples give 0.
    """
    left, right = (_unit(_centred(x[mask])) for x in (a, b))  # (n, D)
    return (left.T @ right).square().mean()


def central_moments(a: Tensor, b: Tensor, mask: Tensor, moments: int = 5) -> Tensor:
    """Central moment discrepancy of (B, D) vectors: the distance of their means and of their higher central moments.

    Args:
        a: (B, D).
        b: (B, D).
        mask: (B,) bool; where it is nowhere true the discrepancy is 0.
        moments: the highest moment.

    Source:
        Zellinger et al., Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning, ICLR 2017,
        without its scaling by the interval.
    """
    one, two = a[mask], b[mask]  # (n, D)
    distances = [_mean(one) - _mean(two)]
    one, two = _centred(one), _centred(two)
    distances += [_mean(one**order) - _mean(two**order) for order in range(2, moments + 1)]
    return torch.linalg.vector_norm(torch.stack(distances), dim=1).sum()  # gradient 0 where two moments agree


def _mean(rows: Tensor) -> Tensor:
    return rows.sum(dim=0) / max(len(rows), 1)


def _centred(rows: Tensor) -> Tensor:
    return rows - _mean(rows)


def _unit(rows: Tensor) -> Tensor:
    return rows / (rows.detach().norm(dim=1, keepdim=True) + 1e-6)
