"""From a table of predictions to what is reported: metrics per condition, AUILC, means, and bootstrap intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.evaluation.bootstrap import LEVEL, RESAMPLES, bootstrap, interval
from mitr.evaluation.groups import Groups, groups_of
from mitr.evaluation.metrics import Array, auilc, defined, measure, zero_for_undefined
from mitr.files import write_csv
from mitr.missing.protocols import AREA

OBSERVED = ("observed_text", "observed_audio", "observed_vision")
COLUMNS = ("id", "rate", "label", "prediction", "all_missing", *OBSERVED)
RATE = "rate"  # the axis of the published masks
AUILC, AUILC_DIVIDED, MEAN, ALL = "AUILC", "AUILC/range", "mean", "all"
SUMS = (AUILC, AUILC_DIVIDED, MEAN)  # conditions of the tidy table that sum up others
MEAN_UP_TO = 0.9  # at rate 1 nothing is left to see, and the mean says how well what is left is used


class Sum(NamedTuple):
    """One metric over conditions.

    Attributes:
        condition: `AUILC` (not divided by the range of rates, as published), `AUILC/range` or `mean`.
        axis: of the conditions that it sums up; `all` over several or all axes.
        metric: its key.
        value: NaN where undefined.
        low: lower end of the bootstrap interval.
        high: upper end.
        zeroed: names of the conditions whose undefined correlation counts as 0.
    """

    condition: str
    axis: str
    metric: str
    value: float
    low: float
    high: float
    zeroed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The metrics of one table of predictions.

    Attributes:
        protocol: its name.
        scale: of the labels.
        level: confidence level of the intervals.
        resamples: bootstrap resamples behind them.
        groups: what the resamples draw, videos or clips.
        by_condition: one row per condition and metric: `condition`, `axis`, `rate` (NaN where the condition has no
            number), `metric`, `value`, `low`, `high` (NaN where undefined), `n` (samples), `all_missing` (share of
            samples without any modality), and the mean `observed_*` shares.
        sums: metrics over conditions.
    """

    protocol: str
    scale: Scale
    level: float
    resamples: int
    groups: Groups
    by_condition: pd.DataFrame
    sums: tuple[Sum, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`: finite numbers, texts and None; docs/benchmark.md lists its keys."""
        entries = []
        for name, rows in self.by_condition.groupby("condition", sort=False):
            first = rows.iloc[0]
            metrics = {
                row.metric: {"value": defined(row.value), "low": defined(row.low), "high": defined(row.high)}
                for row in rows.itertuples()
            }
            observed = {m.removeprefix("observed_"): defined(first[m]) for m in OBSERVED}
            entry: dict[str, Any] = {"condition": str(name), "axis": str(first["axis"]), "rate": defined(first["rate"])}
            entry |= {"n": int(first["n"]), "all_missing": float(first["all_missing"]), "observed": observed}
            entries.append(entry | {"metrics": metrics})
        return {
            "protocol": self.protocol,
            "family": self.scale.family,
            "label_range": list(self.scale.ends),
            "n": entries[0]["n"],
            "rates": [entry["rate"] for entry in entries],
            "conditions": [entry["condition"] for entry in entries],
            "level": self.level,
            "resamples": self.resamples,
            "groups": {"unit": self.groups.unit, "count": self.groups.count},
            "by_rate": entries,
            "auilc": self._area(entries),
            "mean": self._mean(entries),
        }

    def _area(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        plain, divided = ({s.metric: s for s in self.sums if s.condition == name} for name in (AUILC, AUILC_DIVIDED))
        found: dict[str, Any] = {}
        for key, area in plain.items():
            other = divided[key]
            entry = {"value": defined(area.value), "low": defined(area.low), "high": defined(area.high)}
            entry["divided_by_range"] = defined(other.value)
            entry |= {"divided_low": defined(other.low), "divided_high": defined(other.high)}
            found[key] = entry | _zeroed(area, entries)
        return found or None

    def _mean(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        kept = [entries[index] for index in averaged([entry["rate"] for entry in entries], self.axes)]
        means = [s for s in self.sums if (s.condition, s.axis) == (MEAN, ALL)]
        if len(kept) < 2:
            return None
        metrics = {
            s.metric: {"value": defined(s.value), "low": defined(s.low), "high": defined(s.high)} | _zeroed(s, entries)
            for s in means
        }
        names = {"rates": [entry["rate"] for entry in kept], "conditions": [entry["condition"] for entry in kept]}
        return names | {"metrics": metrics}

    @property
    def axes(self) -> list[str]:
        """The axis of each condition."""
        return self.by_condition.drop_duplicates("condition")["axis"].tolist()


def summarise(
    predictions: pd.DataFrame,
    *,
    protocol: str,
    scale: Scale,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Summary:
    """Metrics per condition with paired bootstrap intervals, and their AUILC and means over the conditions.

    AUILC covers all rates, under the protocol `auilc`; the mean covers all conditions, of rates those up to 0.9. In
    both an undefined correlation (a constant answer) counts as 0; another undefined metric makes the sum undefined.

    Args:
        predictions: one row per sample and condition with the columns of `COLUMNS`: `id` (text), `rate` (0 to 1, NaN
            where the condition has no number), `label` and `prediction` (label units), `all_missing` (bool),
            `observed_*` (0 to 1), and `condition` and `axis`; without these two, each rate is a condition. Every
            condition has the same samples.
        protocol: the name of the protocol of the conditions.
        scale: of the labels.
        resamples: bootstrap resamples.
        seed: of the bootstrap.
        level: confidence level in (0, 1).

    Raises:
        MitrError: a column is missing, a value is not finite, or the conditions differ in samples or labels.
    """
    stack = _stacked(predictions)
    groups = groups_of(stack.ids)
    draws = bootstrap(scale, stack.prediction, stack.truth, groups, resamples=resamples, seed=seed)
    values = measure(scale, stack.prediction, stack.truth)
    rows, conditions = [], stack.conditions.to_dict("records")
    for key, each in values.items():
        lows, highs = interval(draws[key], level)
        for index, known in enumerate(conditions):
            unknown = np.isnan(each[index])  # an interval around an undefined value would only mislead
            bounds = (np.nan, np.nan) if unknown else (lows[index], highs[index])
            row = {"metric": key, "value": each[index], "low": bounds[0], "high": bounds[1], "n": stack.truth.size}
            rows.append({name: known[name] for name in ("condition", "axis", "rate")} | row | known)
    by_condition = pd.DataFrame(rows)
    order = {name: i for i, name in enumerate(by_condition["condition"].unique())}
    by_condition = by_condition.sort_values("condition", key=lambda c: c.map(order), kind="stable", ignore_index=True)
    sums = tuple(
        _sum(reduction, key, stack, values[key], draws[key], level)
        for reduction in _reductions(protocol, stack)
        for key in values
    )
    return Summary(protocol, scale, level, resamples, groups, by_condition, sums)


def headline_of(protocol: str) -> tuple[str, str]:
    """(condition, axis) of the rows that sum a protocol up in one number: the area, or the mean over its conditions."""
    return (AUILC, RATE) if protocol == AREA else (MEAN, ALL)


def averaged(rates: Sequence[float | None], axes: Sequence[str]) -> list[int]:
    """Positions of the conditions that the mean is over: all, or of missing rates those up to 0.9 where there are."""
    if set(axes) != {RATE}:
        return list(range(len(axes)))
    low = [i for i, rate in enumerate(rates) if rate is not None and rate <= MEAN_UP_TO + 1e-9]
    return low or list(range(len(axes)))


def wide(summary: Summary) -> pd.DataFrame:
    """One row per condition: `condition, axis, rate, n, all_missing, observed_*`, then each metric with its interval.

    A metric has the columns `<metric>, <metric>_low, <metric>_high`.
    """
    known = ["rate", "n", "all_missing", *OBSERVED]
    first = summary.by_condition.drop_duplicates("condition").reset_index(drop=True)
    table = first[known].copy()
    for key, rows in summary.by_condition.groupby("metric", sort=False):
        for column, name in (("value", f"{key}"), ("low", f"{key}_low"), ("high", f"{key}_high")):
            table[name] = rows[column].to_numpy()
    return table.assign(condition=first["condition"], axis=first["axis"])


def write_by_rate(summary: Summary, path: Path) -> None:
    """Write `wide` as CSV (`by_rate.csv`), undefined values empty, replacing `path` at once."""
    write_csv(path, wide(summary))


class Stack(NamedTuple):
    """Predictions of the same samples under each condition.

    Attributes:
        conditions: a row for each of the K conditions: `condition`, `axis`, `rate`, `all_missing` and `observed_*`.
        ids: of the n samples.
        prediction: (K, n).
        truth: (n,) labels.
    """

    conditions: pd.DataFrame
    ids: list[str]
    prediction: Array
    truth: Array

    @property
    def rates(self) -> list[float]:
        """(K,), NaN where a condition has no number."""
        rates: list[float] = self.conditions["rate"].tolist()
        return rates

    @property
    def axes(self) -> list[str]:
        """(K,)."""
        axes: list[str] = self.conditions["axis"].tolist()
        return axes


def _stacked(predictions: pd.DataFrame) -> Stack:
    table = _checked(predictions)
    names = table["condition"].drop_duplicates().tolist()
    first = table[table["condition"] == names[0]]
    ids, truth = first["id"].tolist(), first["label"].to_numpy(np.float64)
    rows, conditions = [], []
    for name, part in table.groupby("condition", sort=False):
        part = part.set_index("id")
        if len(part) != len(ids) or not part.index.isin(ids).all():
            raise MitrError(f"{names[0]} and {name} have different samples; every condition needs the same ones")
        part = part.loc[ids]
        if not np.array_equal(part["label"].to_numpy(np.float64), truth, equal_nan=True):
            raise MitrError(f"labels at {name} differ from those at {names[0]}")
        rows.append(part["prediction"].to_numpy(np.float64))
        known = {"condition": str(name), "axis": str(part["axis"].iloc[0]), "rate": float(part["rate"].iloc[0])}
        shares = {column: float(part[column].astype(float).mean()) for column in OBSERVED}
        conditions.append(known | {"all_missing": float(part["all_missing"].astype(float).mean())} | shares)
    return Stack(pd.DataFrame(conditions), ids, np.stack(rows), truth)


def _checked(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with `condition` and `axis`; missing rates rounded and in rising order."""
    if absent := [column for column in COLUMNS if column not in predictions]:
        raise MitrError(f"the predictions table has no column {', '.join(absent)}")
    if predictions.empty:
        raise MitrError("the predictions table is empty: there is nothing to evaluate")
    table = predictions.assign(rate=predictions["rate"].astype(float).round(6))  # 0.1 * 3 is the rate 0.3
    if "condition" not in table:
        table = table.assign(condition=[f"rate={rate}" for rate in table["rate"]], axis=RATE)
    only_rates = bool((table["axis"] == RATE).all())
    if not (table["rate"].between(0, 1) | (table["rate"].isna() & ~only_rates)).all():
        raise MitrError("the predictions table has a missing rate outside [0, 1]")
    if table.duplicated(["id", "condition"]).any():
        row = table[table.duplicated(["id", "condition"])].iloc[0]
        raise MitrError(f"the predictions table has sample {row['id']!r} twice at {row['condition']}")
    return table.sort_values("rate", kind="stable", ignore_index=True) if only_rates else table


class Reduction(NamedTuple):
    """How values at some conditions become one.

    Attributes:
        condition: what the sum is called.
        axis: of the conditions, or `all`.
        kept: positions of the k conditions.
        reduce: (..., k) -> (...).
    """

    condition: str
    axis: str
    kept: list[int]
    reduce: Callable[[Array], Array]


def _reductions(protocol: str, stack: Stack) -> list[Reduction]:
    rates, axes = stack.rates, stack.axes
    found = []
    if protocol == AREA and len(rates) > 1:
        for name, divided in ((AUILC, False), (AUILC_DIVIDED, True)):
            found.append(Reduction(name, RATE, list(range(len(rates))), partial(_area, rates, divided)))
    found.append(Reduction(MEAN, ALL, averaged(rates, axes), _average))
    for axis in dict.fromkeys(axes) if len(set(axes)) > 1 else ():
        found.append(Reduction(MEAN, axis, [i for i, name in enumerate(axes) if name == axis], _average))
    return found


def _area(rates: Sequence[float], divided: bool, values: Array) -> Array:
    return np.asarray(auilc(rates, values, divided))


def _average(values: Array) -> Array:
    return np.asarray(values.mean(-1))


def _sum(reduction: Reduction, key: str, stack: Stack, values: Array, draws: Array, level: float) -> Sum:
    values, draws = values[reduction.kept], draws[reduction.kept].T  # (k,), (R, k)
    point = float(reduction.reduce(zero_for_undefined(key, values)))
    low = high = np.asarray(np.nan)
    if not np.isnan(point):
        low, high = interval(reduction.reduce(zero_for_undefined(key, draws)), level)
    names = stack.conditions["condition"].iloc[reduction.kept][np.isnan(values)].tolist()
    zeroed = tuple(names) if key == "corr" else ()
    return Sum(reduction.condition, reduction.axis, key, point, float(low), float(high), zeroed)


def _zeroed(total: Sum, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rates (of conditions without a number, the names) at which a correlation counts as 0."""
    counted = [e["condition"] if e["rate"] is None else e["rate"] for e in entries if e["condition"] in total.zeroed]
    return {"undefined_as_zero": counted} if counted else {}
