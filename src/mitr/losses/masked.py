"""Losses over incomplete batches: a mean leaves out samples or steps whose mask is False, and is 0 if none is left.

B samples, T steps, D features. On complete data they equal the published forms (docs/method.md).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_where(values: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of (B,) values where the (B,) bool mask is true, weighted if asked for; 0 if it is nowhere true.

    A weighted sum is divided by the number of values, so a batch of heavy samples counts for more.
    """
    weighted = values if weights is None else values * weights
    return torch.where(mask, weighted, torch.zeros_like(values)).sum() / mask.sum().clamp(min=1)


def l1(prediction: Tensor, truth: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean absolute error of (B,) predictions."""
    return mean_where((prediction - torch.where(mask, truth, prediction.detach())).abs(), mask, weights)


def mse(prediction: Tensor, truth: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of (B,) predictions."""
    return mean_where((prediction - torch.where(mask, truth, prediction.detach())).square(), mask, weights)


def cross_entropy(logits: Tensor, truth: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy, in nats, of (B, C) logits against class indices (B,)."""
    classes = torch.where(mask, truth, torch.zeros_like(truth)).long()
    return mean_where(F.cross_entropy(logits, classes, reduction="none"), mask, weights)


def vector_l1(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of (B, D) vectors."""
    return mean_where((student - teacher).abs().mean(dim=1), mask)


def vector_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of (B, D) vectors."""
    return mean_where((student - teacher).square().mean(dim=1), mask)


def simsiam(p_student: Tensor, z_teacher: Tensor, p_teacher: Tensor, z_student: Tensor, mask: Tensor) -> Tensor:
    """-1/2 [cos(p_s, sg z_t) + cos(p_t, sg z_s)] of (B, D) vectors, in [-1, 1]."""
    forth = F.cosine_similarity(p_student, z_teacher.detach(), dim=1)
    back = F.cosine_similarity(p_teacher, z_student.detach(), dim=1)
    return -0.5 * mean_where(forth + back, mask)


def reconstruction(restored: Tensor, target: Tensor, dropped: Tensor) -> Tensor:
    """Smooth-L1 of (B, T, D) over the dropped steps, (B, T) bool, per step and feature; the target is a constant."""
    error = F.smooth_l1_loss(restored, target.detach(), reduction="none").sum(dim=2)  # (B, T)
    return (error * dropped).sum() / (dropped.sum() * target.shape[2] + 1e-6)
