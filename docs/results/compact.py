"""What docs/results.md needs of a benchmark, small enough to commit: `python compact.py BENCH OUT.json`."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.evaluation.summary import SUMS, headline_of
from mitr.files import read_json, replacing

KEYS = ["mae", "corr", "acc7", "acc5", "acc2_has0", "acc2_non0"]
DIGITS = 5
OF_ALL_MODELS = ("protocol", "training", "model", "headline", "reference", "clusters", "conditions")


def main(folder: Path, out: Path) -> None:
    """Write the file."""
    with replacing(out) as partial:
        partial.write_text(json.dumps(compact(folder), indent=1) + "\n", encoding="utf-8")


def compact(folder: Path) -> dict[str, Any]:
    """The tables of a benchmark's folder, means over its runs."""
    plan, jobs = read_json(folder / "plan.json"), read_json(folder / "jobs.json")
    results, comparisons = pd.read_parquet(folder / "results.parquet"), pd.read_csv(folder / "comparisons.csv")
    coverage, shapley = (pd.read_csv(folder / f"{name}.csv") for name in ("coverage", "shapley"))
    bins = pd.read_csv(folder / "bins.csv")
    parts = comparisons[["protocol", "training"]].drop_duplicates().itertuples(index=False)
    good = [job for job in jobs if job["status"] == "ok"]
    return {
        "command": plan["command"],
        "data": [{"name": data["name"], "sha256": data["sha256"]} for data in plan["data"]],
        "seeds": plan["seeds"],
        "code": sorted({job["git"]["commit"][:12] for job in good if job["git"]}),
        "failed": [job["key"] for job in jobs if job["status"] != "ok"],
        "protocols": [
            of_protocol(_of(results, *part), _of(comparisons, *part), _of(coverage, *part), _of(bins, *part), *part)
            for part in parts
        ],
        "shapley": {
            model: {m: _mean(rows["share"]) for m, rows in part.groupby("modality", sort=False)}
            for model, part in (shapley.groupby("model", sort=False) if len(shapley) else ())
        },
        "costs": {
            model: {
                "parameters": int(part["parameters"].iloc[0]),
                "train_seconds": _mean(part["train_seconds"]),
                "milliseconds_per_sample": _mean(part["milliseconds_per_sample"]),
            }
            for model, part in pd.DataFrame(good).groupby("model", sort=False)
        },
    }


def of_protocol(
    results: pd.DataFrame,
    comparisons: pd.DataFrame,
    coverage: pd.DataFrame,
    bins: pd.DataFrame,
    protocol: str,
    training: str,
) -> dict[str, Any]:
    """One protocol: its conditions, and each model's numbers."""
    condition, axis = headline_of(protocol)
    sums = results[(results["condition"] == condition) & (results["axis"] == axis)]
    each = results[~results["condition"].isin(SUMS)]
    conditions = each.drop_duplicates("condition")[["condition", "axis", "rate"]]
    names = conditions["condition"].tolist()
    keys = [key for key in KEYS if (results["metric"] == key).any()]
    models = {}
    for row in comparisons.to_dict("records"):
        own = sums[sums["model"] == row["model"]]
        own_each = each[each["model"] == row["model"]]
        held = coverage[coverage["model"] == row["model"]] if len(coverage) else coverage
        errors = bins[bins["model"] == row["model"]]
        weighted = errors.assign(mae=errors["mae"] * errors["n"]).groupby("centre")[["mae", "n"]].sum()
        models[row["model"]] = {
            "runs": len(own[["data", "seed"]].drop_duplicates()),
            "headline": {
                k: [_mean(own.loc[own["metric"] == k, "value"]), _number(own.loc[own["metric"] == k, "value"].std())]
                for k in keys
            },
            "by_condition": {k: _by_condition(own_each[own_each["metric"] == k], "value", names) for k in keys},
            "coverage": _by_condition(held, "coverage", names) if len(held) else None,
            "width": _by_condition(held, "width", names) if len(held) else None,
            "mae_by_label": {f"{c:g}": _number(v["mae"] / v["n"]) for c, v in weighted.iterrows()},
        }
        models[row["model"]] |= {str(name): _number(value) for name, value in row.items() if name not in OF_ALL_MODELS}
    return {
        "protocol": protocol,
        "training": training,
        "reference": comparisons["reference"].iloc[0],
        "clusters": comparisons["clusters"].iloc[0],
        "conditions": [[n, a, _number(r)] for n, a, r in conditions.itertuples(index=False)],
        "models": models,
    }


def _of(table: pd.DataFrame, protocol: str, training: str) -> pd.DataFrame:
    return table[(table["protocol"] == protocol) & (table["training"] == training)] if len(table) else table


def _by_condition(table: pd.DataFrame, column: str, names: list[str]) -> list[float | None]:
    means = table.groupby("condition")[column].mean()
    return [_number(means.get(name)) for name in names]


def _mean(values: pd.Series) -> float | None:
    return _number(values.mean())


def _number(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    return round(float(value), DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
