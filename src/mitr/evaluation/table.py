"""The tidy table that evaluations, robustness and benchmarks write alike: `results.parquet` and `results.csv`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mitr.evaluation.summary import Summary
from mitr.files import write_csv, write_parquet

RESULTS = "results"  # the files' name without ending
COLUMNS = ("data", "model", "run", "training", "protocol", "axis", "condition", "rate", "seed", "metric", "value")
INTERVAL = ("low", "high", "n", "groups")


def tidy(
    summary: Summary, *, data: str, model: str, seed: int, training: str = "one-model", run: str | Mapping[str, str]
) -> pd.DataFrame:
    """One row per condition and metric, and per sum over conditions and metric.

    Args:
        summary: of the predictions of one model and seed.
        data: name of the data set.
        model: name of the model in tables.
        seed: of the training run.
        training: `one-model` for all conditions, or `per-rate`.
        run: name of the run's folder; with a model per rate, condition -> name.

    Returns:
        `data, model, run, training, protocol, axis, condition, rate, seed, metric, value, low, high, n, groups`. Rows
        `AUILC` (not divided by the range of rates), `AUILC/range` and `mean` are over conditions; they have no rate,
        and no run where several runs answered. `low` and `high` are the 95 % bootstrap interval over `groups` (videos
        or clips) of the n samples.
    """
    each = summary.by_condition[["axis", "condition", "rate", "metric", "value", "low", "high", "n"]]
    columns = ["axis", "condition", "metric", "value", "low", "high"]
    sums = pd.DataFrame([[getattr(total, name) for name in columns] for total in summary.sums], columns=columns)
    sums = sums.assign(rate=np.nan, n=int(each["n"].iloc[0]))
    table = pd.concat([each, sums], ignore_index=True) if len(sums) else each.copy()
    runs = run if isinstance(run, str) else [run.get(str(name), "") for name in table["condition"]]
    table = table.assign(data=data, model=model, run=runs, training=training, protocol=summary.protocol, seed=seed)
    return table.assign(groups=summary.groups.unit)[[*COLUMNS, *INTERVAL]]


def write_results(table: pd.DataFrame, folder: Path) -> None:
    """Write the tidy table as `results.parquet` and `results.csv`."""
    write_parquet(folder / f"{RESULTS}.parquet", table)
    write_csv(folder / f"{RESULTS}.csv", table)
