"""From the predictions of a plan's jobs to its tables: results, label bins, comparisons, coverage, Shapley values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mitr.bench.bins import by_label_bin
from mitr.bench.compare import compare
from mitr.bench.plan import Plan
from mitr.bench.work import predictions_path
from mitr.data.store import Dataset
from mitr.evaluation.calibrating import FILE, read_intervals
from mitr.evaluation.intervals import coverage_by_rate
from mitr.evaluation.over_seeds import aggregate
from mitr.evaluation.summary import Summary, summarise
from mitr.evaluation.table import tidy
from mitr.processes import JobResult


class Answers(NamedTuple):
    """What a table is made of: the jobs of one entry and seed, trained in one way, tested under one protocol.

    Attributes:
        entry: the model's name in the tables.
        seed: of the training runs.
        protocol: its name.
        training: `one-model` or `per-rate`.
    """

    entry: str
    seed: int
    protocol: str
    training: str


def complete_answers(plan: Plan, facts: Mapping[str, JobResult]) -> list[Answers]:
    """Those for which every run succeeded, on all data sets; tables hold nothing else."""
    found: dict[Answers, bool] = {}
    for job in plan.jobs:
        for check in job.checks:
            key = Answers(job.entry, job.seed, check.protocol.name, job.training)
            found[key] = found.get(key, True) and facts[job.key]["status"] == "ok"
    return [key for key, succeeded in found.items() if succeeded]


def predictions_of(plan: Plan, out: Path, data: str, answers: Answers) -> pd.DataFrame:
    """The predictions on one data set of all runs of one entry and seed together, with each row's `run`."""
    wanted = (data, answers.entry, answers.seed, answers.training)
    parts = [
        pd.read_parquet(predictions_path(out, job, check)).assign(run=job.key)
        for job in plan.jobs
        if (job.data_name, job.entry, job.seed, job.training) == wanted
        for check in job.checks
        if check.protocol.name == answers.protocol
    ]
    return pd.concat(parts, ignore_index=True)


def summary_of(plan: Plan, data: Dataset, answers: Answers, predictions: pd.DataFrame) -> tuple[Summary, pd.DataFrame]:
    """The summary of one entry's and seed's `predictions_of` one data set, and its rows of the tidy table."""
    first = predictions.drop_duplicates("condition")
    runs: dict[str, str] = dict(zip(first["condition"], first["run"], strict=True))
    run = next(iter(runs.values())) if len(set(runs.values())) == 1 else runs
    summary = summarise(predictions, protocol=answers.protocol, scale=plan.scale_of(data))
    known: dict[str, Any] = {"data": data.info.name, "model": answers.entry, "training": answers.training}
    return summary, tidy(summary, **known, seed=answers.seed, run=run)


def over_seeds(summaries: Sequence[tuple[Answers, Summary]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(protocol, training) -> the summaries of one model on one data set over its seeds (`aggregate`)."""
    each: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for answers, summary in summaries:
        each.setdefault((answers.protocol, answers.training), []).append(summary.to_json() | {"seed": answers.seed})
    return {pair: aggregate(found) for pair, found in each.items()}


def bins_of(plan: Plan, data: Dataset, answers: Answers, predictions: pd.DataFrame) -> pd.DataFrame:
    """MAE and bias per bin of the label."""
    bins = by_label_bin(predictions, plan.scale_of(data))
    known: dict[str, Any] = {"data": data.info.name, "model": answers.entry, "training": answers.training}
    return bins.assign(**known, seed=answers.seed, protocol=answers.protocol)


def comparisons_of(plan: Plan, out: Path, whole: list[Answers], results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Every protocol's models beside each other; where the reference has no whole run, against the first that has."""
    scale, names = plan.scale_of(plan.datasets[0]), [data.info.name for data in plan.datasets]
    tables = []
    for protocol, training in dict.fromkeys((answers.protocol, answers.training) for answers in whole):
        stacked: dict[str, dict[int, pd.DataFrame]] = {}
        for answers in [a for a in whole if (a.protocol, a.training) == (protocol, training)]:
            parts = [predictions_of(plan, out, name, answers) for name in names]
            if len(names) > 1:  # folds may call their samples alike
                parts = [t.assign(id=name + "/" + t["id"]) for name, t in zip(names, parts, strict=True)]
            stacked.setdefault(answers.entry, {})[answers.seed] = pd.concat(parts, ignore_index=True)
        against = reference if reference in stacked else next(iter(stacked))
        tables.append(compare(stacked, results, protocol=protocol, training=training, scale=scale, reference=against))
    return pd.concat(tables, ignore_index=True)


def coverage_of(plan: Plan, out: Path, facts: Mapping[str, JobResult]) -> pd.DataFrame:
    """How often the intervals of each run hold the label, of the runs that have intervals."""
    parts = []
    for job in plan.jobs:
        path = out / "runs" / job.key / FILE
        if facts[job.key]["status"] != "ok" or not path.exists():
            continue
        intervals = read_intervals(path)
        for check in job.checks:
            predictions = pd.read_parquet(predictions_path(out, job, check))
            found = coverage_by_rate(predictions, intervals)
            about = {
                "data": job.data_name,
                "model": job.entry,
                "protocol": check.protocol.name,
                "training": job.training,
            }
            parts.append(found.assign(**about, seed=job.seed))
    columns = ["condition", "rate", "n", "coverage", "width", "low", "high"]
    none = pd.DataFrame(columns=[*columns, "data", "model", "protocol", "training", "seed"])
    return pd.concat(parts, ignore_index=True) if parts else none


def shapley_of(plan: Plan, facts: Mapping[str, JobResult]) -> pd.DataFrame:
    """What each modality added, of the runs that see all conditions."""
    rows = [
        {"data": job.data_name, "model": job.entry, "training": job.training, "seed": job.seed, "modality": m} | entry
        for job in plan.jobs
        if facts[job.key]["status"] == "ok" and job.training == "one-model"
        for m, entry in facts[job.key]["shapley"]["modalities"].items()
    ]
    columns = ["data", "model", "training", "seed", "modality", "mean", "mean_absolute", "share"]
    return pd.DataFrame(rows, columns=columns)
