"""Models beside each other under one protocol: intervals, a paired test against a reference, ranks.

Clips of one video are not independent, so resamples and permutations move whole groups (`mitr.evaluation.groups`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mitr.data.scale import Scale
from mitr.evaluation.bootstrap import LEVEL, RESAMPLES, interval
from mitr.evaluation.groups import Groups, generator_of, groups_of
from mitr.evaluation.metrics import Array, measure, zero_for_undefined
from mitr.evaluation.summary import averaged, headline_of
from mitr.missing.protocols import AREA

FLIPS = 9999
EXACT = 12  # up to this many groups all sign patterns are counted

Tables = Mapping[str, Mapping[int, pd.DataFrame]]  # model -> seed -> predictions of all folds


def compare(
    tables: Tables,
    results: pd.DataFrame,
    *,
    protocol: str,
    training: str,
    scale: Scale,
    reference: str,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per model.

    Args:
        tables: predictions with the same samples, conditions and labels; a sample's id is its own over folds.
        results: the tidy table, for the spread over seeds and folds.
        protocol: its name.
        training: `one-model` or `per-rate`.
        scale: of the labels.
        reference: the model that the others are tested against.
        seed: of resamples and permutations, which all models share.

    Returns:
        `protocol, training, model, headline` (AUILC or mean); of MAE and Corr the mean over runs, `_std` over runs
        (ddof 1), `_low` and `_high` (95 % bootstrap interval over clips or videos, runs averaged); `difference` of MAE
        to the `reference` with `difference_low`, `difference_high` and the two-sided sign-flip permutation `p`, and
        `p_holm`, corrected for the number of models (Holm 1979); `mean_rank` over the conditions by MAE, `wins`
        (conditions with the lowest MAE), `conditions`, `clusters` (the groups: clips or videos).
    """
    first = next(iter(next(iter(tables.values())).values()))
    ids = first["id"].drop_duplicates().tolist()
    conditions = first[["condition", "axis", "rate"]].drop_duplicates("condition").sort_values("rate", kind="stable")
    weights = _weights(protocol, conditions)
    truth = first.drop_duplicates("id").set_index("id").loc[ids, "label"].to_numpy(float)
    groups, generator = groups_of(ids), generator_of(seed)
    counts = groups.drawn(RESAMPLES, generator)
    flips = _flips(groups.count, generator)
    names = conditions["condition"].tolist()
    stacks = {model: [_stack(t, names, ids) for t in runs.values()] for model, runs in tables.items()}
    errors = {m: np.mean([np.abs(p - truth) for p in stack], axis=0) for m, stack in stacks.items()}  # (K, n)
    ranks = rankdata([error.mean(axis=1) for error in errors.values()], axis=0)  # (models, K)
    rows = []
    for index, (model, stack) in enumerate(stacks.items()):
        row: dict[str, Any] = {"protocol": protocol, "training": training, "model": model}
        row |= _headline(results, protocol, training, model)
        for key, draws in _draws(stack, truth, scale, weights, counts).items():
            low, high = interval(draws[None], LEVEL)
            row |= {f"{key}_low": low[0], f"{key}_high": high[0]}
        difference = weights @ (errors[model] - errors[reference])
        row |= {"reference": reference} | _against(difference, groups, counts, flips)
        row |= {"mean_rank": ranks[index].mean(), "wins": int((ranks[index] == ranks.min(axis=0)).sum())}
        rows.append(row | {"conditions": len(conditions), "clusters": groups.unit})
    found = pd.DataFrame(rows)
    found.loc[found["model"] == reference, ["difference", "difference_low", "difference_high", "p"]] = np.nan
    return found.assign(p_holm=holm(found["p"].to_numpy(float)))


def sign_flip_p(sums: Array, flips: Array | None = None) -> float:
    """Two-sided p of a mean of 0, by flipping the sign of each group's sum (C,).

    Args:
        sums: one number a group.
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


def _weights(protocol: str, conditions: pd.DataFrame) -> Array:
    """(K,), by which the headline number is the weighted sum over the conditions."""
    levels = conditions["rate"].to_numpy(float)
    if protocol != AREA:
        weights = np.zeros(len(levels))
        kept = averaged(levels.tolist(), conditions["axis"].tolist())
        weights[kept] = 1 / len(kept)
        return weights
    gaps = np.diff(levels)
    halves: Array = (np.append(gaps, 0.0) + np.insert(gaps, 0, 0.0)) / 2
    return halves


def _stack(table: pd.DataFrame, conditions: Sequence[str], ids: Sequence[str]) -> Array:
    """(K, n) predictions."""
    wide = table.pivot(index="condition", columns="id", values="prediction")
    found: Array = wide.reindex(index=list(conditions), columns=list(ids)).to_numpy(float)
    return found


def _flips(groups: int, generator: np.random.Generator) -> Array | None:
    return None if groups <= EXACT else generator.choice([-1.0, 1.0], (FLIPS, groups))


def _all_signs(groups: int) -> Array:
    signs: Array = 1.0 - 2.0 * ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1).astype(np.float64)
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


def _draws(stack: Sequence[Array], truth: Array, scale: Scale, weights: Array, counts: Array) -> dict[str, Array]:
    """The headline MAE and Corr on each resample, (R,), averaged over the runs."""
    measured = [measure(scale, p, truth, counts) for p in stack]
    return {
        key: np.mean([weights @ zero_for_undefined(key, values[key]) for values in measured], axis=0)
        for key in ("mae", "corr")
    }


def _against(difference: Array, groups: Groups, counts: Array, flips: Array | None) -> dict[str, float]:
    """Mean of the differences of errors (n,), its interval and p, over groups."""
    low, high = interval((counts @ difference / counts.sum(axis=1))[None], LEVEL)
    sums = np.bincount(groups.number, difference).astype(np.float64)
    ends = {"difference_low": low[0], "difference_high": high[0]}
    return {"difference": difference.mean()} | ends | {"p": sign_flip_p(sums, flips)}
