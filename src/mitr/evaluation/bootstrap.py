"""Percentile bootstrap over test samples, paired across missing rates."""

from collections.abc import Sequence

import numpy as np

from mitr.errors import MitrError
from mitr.evaluation.metrics import Array, check_finite, measure

CHUNK_VALUES = 2_000_000  # counts held at a time: 16 MB


def bootstrap(
    family: str,
    prediction: Array,
    truth: Array,
    label_range: Sequence[float],
    *,
    resamples: int = 1000,
    seed: int = 0,
    chunk_values: int = CHUNK_VALUES,
) -> dict[str, Array]:
    """Metrics on resamples of the samples, drawn with replacement; the same resamples serve every rate.

    Args:
        family: `mosi`, `sims` or `general`.
        prediction: (..., n) predictions; leading axes (rates) share the resamples, which pairs areas over
            rates.
        truth: (..., n) or (n,) labels.
        label_range: lowest and highest label of the scale.
        resamples: R, how many resamples; at least 1.
        seed: seed of the generator; no global state is touched.
        chunk_values: about this many counts (8 bytes each) are held at a time; does not change the result.

    Returns:
        Metric key -> (..., R), NaN where a resample leaves the metric undefined.

    Raises:
        MitrError: no samples, fewer than one resample, a value that is not finite, or an unknown family.

    Samples count as independent, so sets with many clips of few speakers get intervals that are too narrow.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    samples = prediction.shape[-1]
    if samples == 0:
        raise MitrError("there are no samples to draw bootstrap resamples from")
    if resamples < 1:
        raise MitrError(f"the number of bootstrap resamples is {resamples}; it must be at least 1")
    check_finite(prediction, truth)
    generator = np.random.default_rng(seed)
    rows = max(1, min(resamples, chunk_values // samples))
    parts: list[dict[str, Array]] = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = generator.integers(0, samples, (size, samples)) + np.arange(size)[:, None] * samples
        counts = np.bincount(drawn.ravel(), minlength=size * samples).reshape(size, samples)
        parts.append(measure(family, prediction, truth, label_range, counts.astype(np.float64)))
    return {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}


def interval(draws: Array, level: float = 0.95) -> tuple[Array, Array]:
    """The central percentile interval over the last axis, leaving out undefined (NaN) draws.

    Args:
        draws: (..., R) values on resamples.
        level: share of the draws inside, in (0, 1).

    Returns:
        Lower and upper bounds, (...,) each; NaN where no draw is defined.

    Raises:
        MitrError: `level` lies outside (0, 1).
    """
    if not 0 < level < 1:
        raise MitrError(f"the confidence level is {level}; it must lie between 0 and 1")
    rows = draws.reshape(-1, draws.shape[-1])
    bounds = np.full((2, rows.shape[0]), np.nan)
    for row, values in enumerate(rows):
        kept = values[~np.isnan(values)]
        if kept.size:
            bounds[:, row] = np.quantile(kept, ((1 - level) / 2, (1 + level) / 2))
    return bounds[0].reshape(draws.shape[:-1]), bounds[1].reshape(draws.shape[:-1])
