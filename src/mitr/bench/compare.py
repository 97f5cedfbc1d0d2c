"""Models beside each other under one protocol: intervals, a paired test against a reference, ranks.

Clips of one video are not independent, so resamples and permutations move whole videos where a set has enough of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mitr.bench.results import headline_of
from mitr.data.videos import videos_of
from mitr.evaluation.bootstrap import interval
from mitr.evaluation.metrics import Array, family_of, measure, zero_for_undefined

RESAMPLES, FLIPS, LEVEL = 1000, 9999, 0.95
EXACT = 12  # up to this many clusters all sign patterns are counted
FEWEST_VIDEOS = 11

Tables = Mapping[str, Mapping[int, pd.DataFrame]]  # model -> seed -> predictions of all folds


def compare(
    tables: Tables,
    results: pd.DataFrame,
    *,
    protocol: str,
    training: str,
    label_range: Sequence[float],
    reference: str,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per model.

    Args:
        tables: predictions with the same samples, conditions and labels; a sample's id is its own over folds.
        results: the tidy table, for the spread over seeds and folds.
        protocol: its name.
        training: `one-model` or `per-rate`.
        label_range: lowest and highest label of the scale.
        reference: the model that the others are tested against.
        seed: of resamples and permutations, which all models share.

    Returns:
        `protocol, training, model, headline` (AUILC or mean); of MAE and Corr the mean over runs, `_std` over runs
        (ddof 1), `_low` and `_high` (95 % bootstrap interval over clips or videos, runs averaged); `difference` of MAE
        to the `reference` with `difference_low`, `difference_high` and the two-sided sign-flip permutation `p`, and
        `p_holm`, corrected for the number of models (Holm 1979); `mean_rank` over the conditions by MAE, `wins`
        (conditions with the lowest MAE), `conditions`, `clusters` (clips or videos).
    """
    first = next(iter(next(iter(tables.values())).values()))
    ids = first["id"].drop_duplicates().tolist()
    conditions = first[["condition", "rate"]].drop_duplicates("condition").sort_values("rate", kind="stable")
    weights = _weights(protocol, conditions["rate"].to_numpy(float))
    truth = first.drop_duplicates("id").set_index("id").loc[ids, "label"].to_numpy(float)
    cluster, unit = clusters_of(ids)
    generator = np.random.default_rng([seed, 0xC0])
    counts = _resampled(cluster, generator)
    flips = _flips(cluster.max() + 1, generator)
    names = conditions["condition"].tolist()
    stacks = {model: [_stack(t, names, ids) for t in runs.values()] for model, runs in tables.items()}
    errors = {m: np.mean([np.abs(p - truth) for p in stack], axis=0) for m, stack in stacks.items()}  # (K, n)
    ranks = rankdata([error.mean(axis=1) for error in errors.values()], axis=0)  # (models, K)
    rows = []
    for index, (model, stack) in enumerate(stacks.items()):
        row: dict[str, Any] = {"protocol": protocol, "training": training, "model": model}
        row |= _headline(results, protocol, training, model)
        for key, draws in _draws(stack, truth, label_range, weights, counts).items():
            low, high = interval(draws[None], LEVEL)
            row |= {f"{key}_low": low[0], f"{key}_high": high[0]}
        row |= {"reference": reference} | _against(
            weights @ (errors[model] - errors[reference]), cluster, counts, flips
        )
        row |= {"mean_rank": ranks[index].mean(), "wins": int((ranks[index] == ranks.min(axis=0)).sum())}
        rows.append(row | {"conditions": len(conditions), "clusters": unit})
    found = pd.DataFrame(rows)
    found.loc[found["model"] == reference, ["difference", "difference_low", "difference_high", "p"]] = np.nan
    return found.assign(p_holm=holm(found["p"].to_numpy(float)))


def clusters_of(ids: Sequence[str]) -> tuple[np.ndarray, str]:
    """(n,) int64, the cluster of each sample, and what a cluster is: `videos`, or `clips` where videos are few."""
    videos = videos_of(ids)
    if videos != list(ids) and len(set(videos)) >= FEWEST_VIDEOS:
        return np.unique(videos, return_inverse=True)[1], "videos"
    return np.arange(len(ids)), "clips"


def sign_flip_p(sums: Array, flips: Array | None = None) -> float:
    """Two-sided p of a mean of 0, by flipping the sign of each cluster's sum (C,).

    Args:
        sums: one number a cluster.
        flips: (R, C) random signs; None counts all 2^C patterns.

    Returns:
        NaN where a sum is not finite.
    """
    if not np.isfinite(sums).all():
        return np.nan
    if flips is None:
        flips = _all_signs(len(sums))
        return float(np.mean(np.abs(flips @ sums) >= abs(sums.sum()) - 1e-12))
    beyond = np.count_nonzero(np.abs(flips @ sums) >= abs(sums.sum()) - 1e-12)
    return float((1 + beyond) / (1 + len(flips)))


def holm(p: Array) -> Array:
    """Holm's step-down correction; NaN stays NaN and is not counted."""
    corrected, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    stepped = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def _weights(protocol: str, levels: Array) -> Array:
    """(K,), by which the headline number is the weighted sum over the conditions."""
    if protocol != "auilc":
        return np.full(len(levels), 1 / len(levels))
    gaps = np.diff(levels)
    halves: Array = (np.append(gaps, 0.0) + np.insert(gaps, 0, 0.0)) / 2
    return halves


def _stack(table: pd.DataFrame, conditions: Sequence[str], ids: Sequence[str]) -> Array:
    """(K, n) predictions."""
    wide = table.pivot(index="condition", columns="id", values="prediction")
    found: Array = wide.reindex(index=list(conditions), columns=list(ids)).to_numpy(float)
    return found


def _resampled(cluster: np.ndarray, generator: np.random.Generator) -> Array:
    """(R, n): how often each sample is in each resample of the clusters."""
    number = cluster.max() + 1
    drawn = generator.multinomial(number, np.full(number, 1 / number), RESAMPLES)  # (R, C)
    return drawn[:, cluster].astype(np.float64)


def _flips(clusters: int, generator: np.random.Generator) -> Array | None:
    return None if clusters <= EXACT else generator.choice([-1.0, 1.0], (FLIPS, clusters))


def _all_signs(clusters: int) -> Array:
    signs: Array = 1.0 - 2.0 * ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.float64)
    return signs


def _headline(results: pd.DataFrame, protocol: str, training: str, model: str) -> dict[str, Any]:
    condition, axis = headline_of(protocol)
    of_model = (results["protocol"] == protocol) & (results["training"] == training) & (results["model"] == model)
    rows = results[of_model & (results["condition"] == condition) & (results["axis"] == axis)]
    found: dict[str, Any] = {"headline": condition}
    for key in ("mae", "corr"):
        values = rows.loc[rows["metric"] == key, "value"]
        found |= {key: values.mean(), f"{key}_std": values.std(ddof=1)}
    return found


def _draws(
    stack: Sequence[Array], truth: Array, label_range: Sequence[float], weights: Array, counts: Array
) -> dict[str, Array]:
    """The headline MAE and Corr on each resample, (R,), averaged over the runs."""
    measured = [measure(family_of(label_range), p, truth, label_range, counts) for p in stack]
    return {
        key: np.mean([weights @ zero_for_undefined(key, values[key]) for values in measured], axis=0)
        for key in ("mae", "corr")
    }


def _against(difference: Array, cluster: np.ndarray, counts: Array, flips: Array | None) -> dict[str, float]:
    """What a difference of errors (n,) says, over clusters."""
    low, high = interval((counts @ difference / counts.sum(axis=1))[None], LEVEL)
    about = {"difference": difference.mean(), "difference_low": low[0], "difference_high": high[0]}
    return about | {"p": sign_flip_p(np.bincount(cluster, difference).astype(np.float64), flips)}
