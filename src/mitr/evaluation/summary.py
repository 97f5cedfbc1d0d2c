"""From the predictions table to what is reported: metrics per missing rate, AUILC, means, and intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mitr.errors import MitrError
from mitr.evaluation.bootstrap import bootstrap, interval
from mitr.evaluation.metrics import Array, auilc, defined, ends_of, family_of, measure, zero_for_undefined
from mitr.files import replacing

Protocol = Literal["complete", "auilc", "mean", "rates"]
PROTOCOLS = ("complete", "auilc", "mean", "rates")
OBSERVED = ("observed_text", "observed_audio", "observed_vision")
COLUMNS = ("id", "rate", "label", "prediction", "all_missing", *OBSERVED)
MEAN_UP_TO = 0.9  # at rate 1 nothing is left to see, and the mean says how well what is left is used


@dataclass
class Summary:
    """What one evaluation says.

    Args:
        protocol: `complete`, `auilc`, `mean`, or `rates` for others than these have.
        family: metric family.
        label_range: lowest and highest label of the scale.
        level: confidence level of the intervals.
        resamples: bootstrap resamples behind them.
        by_rate: one row per rate and metric: `rate`, `metric`, `value`, `low`, `high` (NaN where undefined),
            `n` (samples), `all_missing` (share of samples without any modality), and the mean `observed_*`
            shares.
        over_rates: the JSON sections `auilc` and `mean` (None where the rates do not allow them).
    """

    protocol: str
    family: str
    label_range: tuple[float, float]
    level: float
    resamples: int
    by_rate: pd.DataFrame
    over_rates: dict[str, dict[str, Any] | None]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary of finite numbers, texts and None, for `summary.json`."""
        rates = []
        for _, rows in self.by_rate.groupby("rate", sort=True):
            first = rows.iloc[0]
            metrics = {
                row.metric: {"value": defined(row.value), "low": defined(row.low), "high": defined(row.high)}
                for row in rows.itertuples()
            }
            observed = {name.removeprefix("observed_"): defined(first[name]) for name in OBSERVED}
            entry = {
                "rate": float(first["rate"]),
                "n": int(first["n"]),
                "all_missing": float(first["all_missing"]),
            }
            rates.append(entry | {"observed": observed, "metrics": metrics})
        return {
            "protocol": self.protocol,
            "family": self.family,
            "label_range": list(self.label_range),
            "n": rates[0]["n"],
            "rates": [entry["rate"] for entry in rates],
            "level": self.level,
            "resamples": self.resamples,
            "by_rate": rates,
            **self.over_rates,
        }


def summarise(
    predictions: pd.DataFrame,
    *,
    protocol: Protocol,
    label_range: Sequence[float],
    family: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Summary:
    """Metrics per missing rate with paired bootstrap intervals, and their AUILC and mean over the rates.

    `auilc` covers all rates, under the protocol of that name (else None); `mean` covers the rates up to 0.9 (None
    with fewer than two). In both an undefined correlation (a constant answer) counts as 0, and
    `undefined_as_zero` lists the rates; another undefined metric makes the sum None.

    Args:
        predictions: one row per sample and rate with the columns of `COLUMNS`: `id` (text), `rate` (0 to 1),
            `label` and `prediction` (label units), `all_missing` (bool), `observed_*` (0 to 1). Every rate
            has the same samples.
        protocol: how the rates came about.
        label_range: lowest and highest label of the scale.
        family: metric family; None chooses it by `label_range`.
        resamples: bootstrap resamples.
        seed: seed of the bootstrap.
        level: confidence level in (0, 1).

    Raises:
        MitrError: a column is missing, a value is not finite, or the rates differ in samples or labels.
    """
    if protocol not in PROTOCOLS:
        raise MitrError(f"no protocol is called {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    family = family or family_of(label_range)
    low, high = ends_of(label_range)
    rates, prediction, truth, about = _tables(predictions)
    draws = bootstrap(family, prediction, truth, (low, high), resamples=resamples, seed=seed)
    values = measure(family, prediction, truth, (low, high))
    rows = []
    for key, at_rates in values.items():
        lows, highs = interval(draws[key], level)
        for index, rate in enumerate(rates):
            unknown = np.isnan(at_rates[index])  # an interval around an undefined value would only mislead
            bounds = (np.nan, np.nan) if unknown else (lows[index], highs[index])
            row = {"rate": rate, "metric": key, "value": at_rates[index], "low": bounds[0], "high": bounds[1]}
            rows.append(row | {"n": truth.size} | about[index])
    by_rate = pd.DataFrame(rows).sort_values("rate", kind="stable", ignore_index=True)
    over = {
        "auilc": _area(rates, values, draws, level) if protocol == "auilc" else None,
        "mean": _mean(rates, values, draws, level),
    }
    return Summary(protocol, family, (low, high), level, resamples, by_rate, over)


def wide(summary: Summary) -> pd.DataFrame:
    """One row per rate: `rate, n, all_missing, observed_*`, then `<metric>, <metric>_low, <metric>_high`."""
    about = ["rate", "n", "all_missing", *OBSERVED]
    table = summary.by_rate.drop_duplicates("rate")[about].reset_index(drop=True)
    for key, rows in summary.by_rate.groupby("metric", sort=False):
        for column, name in (("value", f"{key}"), ("low", f"{key}_low"), ("high", f"{key}_high")):
            table[name] = rows[column].to_numpy()
    return table


def write_by_rate(summary: Summary, path: Path) -> None:
    """Write `wide` as CSV (`by_rate.csv`), undefined values empty, replacing `path` at once."""
    with replacing(path) as partial:
        wide(summary).to_csv(partial, index=False)


def _tables(predictions: pd.DataFrame) -> tuple[list[float], Array, Array, list[dict[str, float]]]:
    """Rates, predictions (rates, n), labels (n,), and what was observed at each rate."""
    if absent := [column for column in COLUMNS if column not in predictions]:
        raise MitrError(f"the predictions table has no column {', '.join(absent)}")
    if predictions.empty:
        raise MitrError("the predictions table is empty: there is nothing to evaluate")
    if not predictions["rate"].between(0, 1).all():
        raise MitrError("the predictions table has a missing rate outside [0, 1]")
    table = predictions.assign(rate=predictions["rate"].astype(float).round(6))  # 0.1 * 3 is the rate 0.3
    if table.duplicated(["id", "rate"]).any():
        row = table[table.duplicated(["id", "rate"])].iloc[0]
        raise MitrError(f"the predictions table has sample {row['id']!r} twice at rate {row['rate']:g}")
    rates = sorted(table["rate"].unique().tolist())
    first = table[table["rate"] == rates[0]]
    ids, truth = first["id"].tolist(), first["label"].to_numpy(np.float64)
    rows, about = [], []
    for rate in rates:
        part = table[table["rate"] == rate].set_index("id")
        if len(part) != len(ids) or not part.index.isin(ids).all():
            raise MitrError(f"rates {rates[0]:g} and {rate:g} have different samples; every rate needs the same ones")
        part = part.loc[ids]
        if not np.array_equal(part["label"].to_numpy(np.float64), truth, equal_nan=True):
            raise MitrError(f"labels at rate {rate:g} differ from those at rate {rates[0]:g}")
        rows.append(part["prediction"].to_numpy(np.float64))
        shares = {name: float(part[name].astype(float).mean()) for name in OBSERVED}
        about.append({"all_missing": float(part["all_missing"].astype(float).mean())} | shares)
    return rates, np.stack(rows), truth, about


def _area(rates: list[float], values: dict[str, Array], draws: dict[str, Array], level: float) -> Any:
    if len(rates) < 2:
        return None
    result = {}
    for key, at_rates in values.items():
        entry: dict[str, Any] = {}
        for divided, (value, low, high) in {
            False: ("value", "low", "high"),
            True: ("divided_by_range", "divided_low", "divided_high"),
        }.items():
            point = auilc(rates, zero_for_undefined(key, at_rates), divided)
            resampled = auilc(rates, zero_for_undefined(key, draws[key].T), divided)  # (resamples,)
            entry |= _with_interval(point, resampled, level, (value, low, high))
        result[key] = entry | _undefined(key, rates, at_rates)
    return result


def _mean(rates: list[float], values: dict[str, Array], draws: dict[str, Array], level: float) -> Any:
    keep = [index for index, rate in enumerate(rates) if rate <= MEAN_UP_TO + 1e-9]
    if len(keep) < 2:
        return None
    metrics, kept = {}, [rates[index] for index in keep]
    for key, at_rates in values.items():
        point = zero_for_undefined(key, at_rates[keep]).mean()
        resampled = zero_for_undefined(key, draws[key][keep]).mean(0)
        entry = _with_interval(point, resampled, level, ("value", "low", "high"))
        metrics[key] = entry | _undefined(key, kept, at_rates[keep])
    return {"rates": kept, "metrics": metrics}


def _with_interval(point: float, resampled: Array, level: float, names: tuple[str, str, str]) -> dict[str, Any]:
    low, high = interval(resampled, level) if not np.isnan(point) else (np.float64("nan"),) * 2
    return {names[0]: defined(point), names[1]: defined(low), names[2]: defined(high)}


def _undefined(key: str, rates: list[float], at_rates: Array) -> dict[str, list[float]]:
    zeroed = [rate for rate, value in zip(rates, at_rates, strict=True) if np.isnan(value)]
    return {"undefined_as_zero": zeroed} if key == "corr" and zeroed else {}


def aggregate(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of the JSON of `Summary.to_json`, each with its `seed` added.

    Returns:
        The JSON of one summary without intervals: where that has a metric's value, this has `{"mean", "std",
        "seeds", "values"}`: `std` with ddof 1 (None below two seeds), `seeds` how many have a defined value,
        `values` one entry a seed in the order of the top-level `seeds` (None where undefined). AUILC entries
        are `{"published": …, "divided_by_range": …}`.

    Raises:
        MitrError: nothing to aggregate, a seed missing or given twice, or different test sets, scales,
            protocols or rates.
    """
    if not summaries:
        raise MitrError("there is no summary to aggregate")
    seeds = [summary.get("seed") for summary in summaries]
    if None in seeds or len(set(seeds)) != len(seeds):
        raise MitrError(f"each summary needs a seed of its own to be aggregated, not {seeds}")
    shared = {}
    for key in ("protocol", "family", "label_range", "n", "rates"):
        shared[key] = summaries[0][key]
        if any(summary[key] != shared[key] for summary in summaries):
            raise MitrError(f"summaries of different {key} cannot be aggregated: {[s[key] for s in summaries]}")
    by_rate = []
    for entries in zip(*(summary["by_rate"] for summary in summaries), strict=True):
        metrics = {k: _over_seeds([e["metrics"][k]["value"] for e in entries]) for k in entries[0]["metrics"]}
        missing = float(np.mean([entry["all_missing"] for entry in entries]))
        observed = {k: _over_seeds([e["observed"][k] for e in entries])["mean"] for k in entries[0]["observed"]}
        about = {
            "rate": entries[0]["rate"],
            "n": entries[0]["n"],
            "all_missing": missing,
            "observed": observed,
        }
        by_rate.append(about | {"metrics": metrics})
    areas, means = [s["auilc"] for s in summaries], [s["mean"] for s in summaries]
    result: dict[str, Any] = shared | {"seeds": seeds, "by_rate": by_rate, "auilc": None, "mean": None}
    if all(areas):
        result["auilc"] = {
            key: {
                "published": _over_seeds([area[key]["value"] for area in areas]),
                "divided_by_range": _over_seeds([area[key]["divided_by_range"] for area in areas]),
            }
            | _zeroed([area[key] for area in areas])
            for key in areas[0]
        }
    if all(means):
        metrics = {}
        for key in means[0]["metrics"]:
            of_seeds = [mean["metrics"][key] for mean in means]
            metrics[key] = _over_seeds([entry["value"] for entry in of_seeds]) | _zeroed(of_seeds)
        result["mean"] = {"rates": means[0]["rates"], "metrics": metrics}
    return result


def results_table(summaries: Sequence[dict[str, Any]], *, model: str, training: str) -> pd.DataFrame:
    """A long table of single values, to be stacked over models.

    Args:
        summaries: JSON of `Summary.to_json` with `seed` added (None where it is absent).
        model: name for the `model` column.
        training: `one-model` (one model for all rates) or `per-rate`.

    Returns:
        Columns `model, protocol, training, rate, seed, metric, value`. Values over rates have an empty `rate`
        and the metrics `auilc.<metric>`, `auilc_divided.<metric>` and `mean.<metric>`; undefined values are
        NaN.

    Raises:
        MitrError: `training` is neither of the two.
    """
    if training not in ("one-model", "per-rate"):
        raise MitrError(f"training is 'one-model' or 'per-rate', not {training!r}")
    rows = []
    for summary in summaries:
        about = (model, summary["protocol"], training)
        seed = summary.get("seed")
        for entry in summary["by_rate"]:
            rows += [(*about, entry["rate"], seed, key, m["value"]) for key, m in entry["metrics"].items()]
        for key, area in (summary["auilc"] or {}).items():
            rows.append((*about, None, seed, f"auilc.{key}", area["value"]))
            rows.append((*about, None, seed, f"auilc_divided.{key}", area["divided_by_range"]))
        for key, mean in (summary["mean"] or {"metrics": {}})["metrics"].items():
            rows.append((*about, None, seed, f"mean.{key}", mean["value"]))
    columns = ["model", "protocol", "training", "rate", "seed", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"rate": float, "value": float, "seed": "Int64"})


def _zeroed(entries: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    rates = sorted({rate for entry in entries for rate in entry.get("undefined_as_zero", [])})
    return {"undefined_as_zero": rates} if rates else {}


def _over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    kept = [value for value in values if value is not None]
    mean = float(np.mean(kept)) if kept else None
    std = float(np.std(kept, ddof=1)) if len(kept) > 1 else None
    return {"mean": mean, "std": std, "seeds": len(kept), "values": list(values)}
