"""Rare labels made to count: label-density smoothing, balanced MSE and balanced sampling.

N samples of a split, B of a batch. Frequencies are of labels in equal bins over the label range, or of classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mitr.config import ImbalanceConfig

Array = NDArray[np.float64]


def smoothed(counts: Array, kernel: int, sigma: float) -> Array:
    """Counts of bins (n,) after a Gaussian window: the effective label density, up to its scale.

    Args:
        counts: samples in each bin.
        kernel: width of the window in bins, odd; outside the label range counts are 0.
        sigma: standard deviation of the window in bins.

    Source:
        Yang et al., Delving into Deep Imbalanced Regression, ICML 2021, section 3.1.
    """
    half = kernel // 2
    window = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.convolve(counts, window / window.sum())[half : half + len(counts)]


def rarity(
    labels: np.ndarray,
    label_range: Sequence[float],
    config: ImbalanceConfig,
    classes: Sequence[str] | None = None,
    smooth: bool = False,
) -> Array:
    """How much rarer than the others each label is: the inverse of its frequency, with mean 1.

    Args:
        labels: (N,) labels or class indices, NaN where not known (1 for those).
        label_range: lowest and highest label; labels outside count in the outermost bins.
        config: bins, window and bound.
        classes: names of the classes; None: labels on a scale.
        smooth: the density of labels on a scale is smoothed before it is inverted.

    Returns:
        (N,) positive weights; the largest is at most `config.bound` times the smallest among known labels.
    """
    known = np.isfinite(labels)
    if classes is None:
        low, high = label_range
        share = (np.clip(labels[known], low, high) - low) / (high - low)
        place, bins = np.minimum((share * config.bins).astype(np.int64), config.bins - 1), config.bins
    else:
        place, bins = labels[known].astype(np.int64), len(classes)
    counts = np.bincount(place, minlength=bins).astype(np.float64)
    density = (smoothed(counts, config.kernel, config.sigma) if smooth and classes is None else counts)[place]
    inverse = 1 / np.maximum(density, density.max(initial=0) / config.bound)
    weights = np.ones(len(labels))
    weights[known] = inverse / inverse.mean() if len(inverse) else inverse
    return weights


def balanced_mse(
    prediction: Tensor, truth: Tensor, mask: Tensor, weights: Tensor | None = None, noise: float = 1.0
) -> Tensor:
    """Batch-based Monte-Carlo balanced MSE of (B,) predictions; 0 for fewer than two samples, which have no balance.

    Args:
        prediction: (B,), label units.
        truth: (B,), unknown where the mask is False.
        mask: (B,) bool.
        weights: (B,), or None.
        noise: standard deviation of the prediction's error, label units.

    Source:
        Ren et al., Balanced MSE for Imbalanced Visual Regression, CVPR 2022, equation 10.
    """
    ours, theirs = prediction[mask].float(), truth[mask].float()
    scores = -((ours[:, None] - theirs[None]) ** 2) / (2 * noise**2)  # (n, n), prediction by label
    error = 2 * noise**2 * F.cross_entropy(scores, torch.arange(len(ours), device=ours.device), reduction="none")
    if weights is not None:
        error = error * weights[mask]
    return error.sum() / mask.sum().clamp(min=1)
