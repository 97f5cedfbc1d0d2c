"""Percentile bootstrap over groups of test samples, paired across conditions."""

import numpy as np

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.evaluation.groups import Groups, generator_of
from mitr.evaluation.metrics import Array, check_finite, measure

RESAMPLES, LEVEL = 1000, 0.95
CHUNK_VALUES = 2_000_000  # counts held at a time: 16 MB


def bootstrap(
    scale: Scale,
    prediction: Array,
    truth: Array,
    groups: Groups,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    chunk_values: int = CHUNK_VALUES,
) -> dict[str, Array]:
    """Metrics on resamples of the groups, drawn with replacement; the same resamples serve every condition.

    Args:
        scale: of the labels.
        prediction: (..., n) predictions; leading axes (conditions) share the resamples, which pairs areas and means.
        truth: (..., n) or (n,) labels.
        groups: of the n samples.
        resamples: R, how many resamples; at least 1.
        seed: of the resamples; no global state is touched.
        chunk_values: most counts (8 bytes each) held at a time; does not change the result.

    Returns:
        Metric key -> (..., R), NaN where a resample leaves the metric undefined.

    Raises:
        MitrError: no samples, fewer than one resample, or a value that is not finite.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3; whole groups: Field and Welsh,
        Bootstrapping clustered data, JRSS B 69 (2007).
    """
    samples = prediction.shape[-1]
    if samples == 0:
        raise MitrError("there are no samples to draw bootstrap resamples from")
    if resamples < 1:
        raise MitrError(f"the number of bootstrap resamples is {resamples}; it must be at least 1")
    check_finite(prediction, truth)
    generator = generator_of(seed)
    rows = max(1, min(resamples, chunk_values // samples))
    chunks: list[dict[str, Array]] = []
    for start in range(0, resamples, rows):
        counts = groups.drawn(min(rows, resamples - start), generator)
        chunks.append(measure(scale, prediction, truth, counts))
    return {key: np.concatenate([chunk[key] for chunk in chunks], axis=-1) for key in chunks[0]}


def interval(draws: Array, level: float = LEVEL) -> tuple[Array, Array]:
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
