"""From predictions to the tidy table of a benchmark: every metric per condition, over conditions, and per label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mitr.evaluation.metrics import auilc, ends_of, family_of, measure, zero_for_undefined

AUILC, MEAN, ALL = "AUILC", "mean", "all"
WIDE_SCALE = 4  # from this range on, label bins are whole numbers
BINS = 5  # on a narrower scale


def headline_of(protocol: str) -> tuple[str, str]:
    """(condition, axis) of the rows that sum a protocol up in one number: the area, or the mean over its conditions."""
    return (AUILC, "rate") if protocol == "auilc" else (MEAN, ALL)


def tidy(
    predictions: pd.DataFrame,
    *,
    data: str,
    model: str,
    protocol: str,
    training: str,
    seed: int,
    label_range: Sequence[float],
) -> pd.DataFrame:
    """One row per condition and metric, and per sum over conditions and metric.

    Args:
        predictions: one row per sample and condition (`mitr.evaluation.predicting.predict_under`).
        data, model, protocol, training, seed: what the rows are of.
        label_range: lowest and highest label of the scale.

    Returns:
        `data, model, protocol, training, axis, condition, rate, seed, metric, value, n`. The rows `AUILC` (protocol
        auilc; not divided by the range) and `mean` have no rate. In both an undefined correlation counts as 0.
    """
    family = family_of(label_range)
    rows: list[dict[str, Any]] = []
    for (condition, axis), part in predictions.groupby(["condition", "axis"], sort=False):
        values = measure(family, part["prediction"].to_numpy(float), part["label"].to_numpy(float), label_range)
        about = {"axis": axis, "condition": condition, "rate": float(part["rate"].iloc[0]), "n": len(part)}
        rows += [about | {"metric": key, "value": float(value)} for key, value in values.items()]
    found = pd.DataFrame(rows)
    sums = [_sums(str(key), part, protocol) for key, part in found.groupby("metric", sort=False)]
    whole = pd.concat([found, *sums], ignore_index=True)
    named: dict[str, Any] = {"data": data, "model": model, "protocol": protocol, "training": training, "seed": seed}
    columns = ["data", "model", "protocol", "training", "axis", "condition", "rate", "seed", "metric", "value", "n"]
    return whole.assign(**named)[columns]


def by_label_bin(predictions: pd.DataFrame, label_range: Sequence[float]) -> pd.DataFrame:
    """MAE and bias (prediction - label) per bin of the label, over all conditions together.

    Returns:
        `bin` (its name), `centre` (label units), `n` (samples), `mae`, `bias`; bins without samples are left out.
    """
    low, high = ends_of(label_range)
    label = predictions["label"].to_numpy(float)
    if high - low >= WIDE_SCALE:
        centre = np.clip(np.round(label), low, high) + 0.0  # -0 is 0
    else:
        step = (high - low) / BINS
        place = np.floor(np.round((label - low) / step, 4))  # a label on an edge goes up, whatever its rounding
        centre = low + step * (np.clip(place, 0, BINS - 1) + 0.5)
    error = predictions["prediction"].to_numpy(float) - label
    table = pd.DataFrame({"centre": centre.round(6), "id": predictions["id"], "error": error, "size": np.abs(error)})
    found = table.groupby("centre").agg(n=("id", "nunique"), mae=("size", "mean"), bias=("error", "mean"))
    found = found.reset_index()
    return found.assign(bin=[f"{c:g}" for c in found["centre"]])[["bin", "centre", "n", "mae", "bias"]]


def _sums(key: str, part: pd.DataFrame, protocol: str) -> pd.DataFrame:
    values = zero_for_undefined(key, part["value"].to_numpy())
    about = {"metric": key, "n": int(part["n"].iloc[0]), "rate": np.nan}
    if protocol == "auilc":
        order = np.argsort(part["rate"].to_numpy())
        if len(order) < 2:
            return pd.DataFrame()
        area = auilc(part["rate"].to_numpy()[order], values[order])
        return pd.DataFrame([about | {"axis": "rate", "condition": AUILC, "value": float(area)}])
    rows = [about | {"axis": ALL, "condition": MEAN, "value": float(values.mean())}]
    axes = part["axis"].to_numpy()
    for axis in dict.fromkeys(axes) if len(set(axes)) > 1 else ():
        rows.append(about | {"axis": axis, "condition": MEAN, "value": float(values[axes == axis].mean())})
    return pd.DataFrame(rows)
