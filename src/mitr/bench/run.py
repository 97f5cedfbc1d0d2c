"""Run a benchmark: plan, masks, jobs, tables and report, in a folder that an interrupted call goes on with."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import mitr
from mitr.bench.plan import Job, Plan, entries_of, make_plan
from mitr.bench.pool import run_jobs
from mitr.bench.results import by_label_bin, tidy
from mitr.bench.work import Facts, finished, perform, predictions_path
from mitr.config import RunConfig
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import discard_partials, replacing, write_json

STATES_MB = 4096  # of remembered text states in all processes together


@dataclass
class BenchResult:
    """What a benchmark found.

    Attributes:
        results: one row per data set, model, protocol, condition, seed and metric.
        bins: the same per bin of the label.
        jobs: one entry per training run: what it was and cost, or how it failed.
        folder: where everything lies.
    """

    results: pd.DataFrame
    bins: pd.DataFrame
    jobs: list[Facts]
    folder: Path

    @property
    def failed(self) -> list[Facts]:
        """The jobs that failed."""
        return [job for job in self.jobs if job["status"] != "ok"]


def run_bench(
    data: Sequence[Dataset | str | Path],
    out: str | Path,
    *,
    models: Sequence[str],
    protocols: Sequence[str],
    seeds: Sequence[int],
    config: RunConfig | None = None,
    variants: dict[str, Any] | None = None,
    per_rate: bool = False,
    jobs: int = 0,
    reference: str | None = None,
    quiet: bool = False,
    command: str | None = None,
) -> BenchResult:
    """Train and test every model under every protocol; called again, it goes on with what is left.

    Args:
        data: data sets, or folds of one, each under a name of its own.
        out: the folder of the benchmark.
        models: names of the registry.
        protocols: names of `mitr.missing.protocols`.
        seeds: of the training runs.
        config: options of all models; the seed and what is missing in training are set by the plan.
        variants: further entries, name -> sections of options that differ.
        per_rate: protocol `auilc` trains one model per rate.
        jobs: processes; 0: one for each core.
        reference: the model that the others are tested against; None: the first.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: the plan has faults, all of which the message lists; or the folder is not a benchmark's.
    """
    datasets = [d if isinstance(d, Dataset) else Dataset(d) for d in data]
    workers = jobs or os.cpu_count() or 1
    config = _shared(config or RunConfig(), workers)
    plan = make_plan(datasets, entries_of(models, config, variants), protocols, seeds, per_rate)
    if reference is not None and reference not in plan.entries:
        raise MitrError(f"the reference {reference!r} is not among the models {', '.join(plan.entries)}")
    out = Path(out)
    _claim(out, plan, command)
    facts = _perform(plan, out, workers, quiet)
    tables = [table for key in _groups(plan, facts) for table in [_tables(plan, out, *key)]]
    if not tables:
        errors = "; ".join(sorted({job["error"] for job in facts.values()}))
        raise MitrError(f"no run of {out} succeeded: {errors}")
    results, bins = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    for name, table in (("results", results), ("bins", bins)):
        _write(out / f"{name}.parquet", table)
        with replacing(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    listed = [_described(job) | facts[job.key] for job in plan.jobs]
    write_json(out / "jobs.json", listed)
    return BenchResult(results, bins, listed, out)


def _shared(config: RunConfig, workers: int) -> RunConfig:
    """Every process has its share of the cores and of the memory for text states."""
    threads = config.train.threads or max(1, (os.cpu_count() or 1) // workers)
    memory = max(config.text.memory_mb, STATES_MB // workers) if config.text.memory_mb else 0
    return replace(config, train=replace(config.train, threads=threads), text=replace(config.text, memory_mb=memory))


def _perform(plan: Plan, out: Path, workers: int, quiet: bool) -> dict[str, Facts]:
    facts = {job.key: known for job in plan.jobs if (known := finished(job, out)) is not None}
    left = [job for job in plan.jobs if job.key not in facts]
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    say = Console(stderr=True, quiet=quiet)
    with Progress(*columns, TimeRemainingColumn(), console=say, disable=quiet) as progress:
        task = progress.add_task("runs", total=len(plan.jobs), completed=len(facts))

        def done(job: Job, what: Facts) -> None:
            facts[job.key] = what
            progress.advance(task)
            if what["status"] != "ok":
                say.print(f"[red]failed[/red] {job.key}: {what['error']}", highlight=False)
                write_json(out / "runs" / f"{job.key}.failed.json", what)

        try:
            run_jobs(left, out, workers, done, perform)
        except KeyboardInterrupt:
            raise MitrError(f"interrupted; the same command goes on where it stopped in {out}") from None
    return facts


def _groups(plan: Plan, facts: dict[str, Facts]) -> list[tuple[str, str, int, str, str]]:
    """(data, entry, seed, protocol, training) for which every run succeeded."""
    found: dict[tuple[str, str, int, str, str], bool] = {}
    for job in plan.jobs:
        for check in job.checks:
            key = (job.data_name, job.entry, job.seed, check.protocol, job.training)
            found[key] = found.get(key, True) and facts[job.key]["status"] == "ok"
    return [key for key, whole in found.items() if whole]


def predictions_of(plan: Plan, out: Path, data: str, entry: str, seed: int, protocol: str) -> pd.DataFrame:
    """The predictions of one entry and seed under a protocol, of all of its runs together."""
    parts = [
        pd.read_parquet(predictions_path(out, job, check))
        for job in plan.jobs
        for check in job.checks
        if (job.data_name, job.entry, job.seed, check.protocol) == (data, entry, seed, protocol)
    ]
    return pd.concat(parts, ignore_index=True)


def _tables(
    plan: Plan, out: Path, data: str, entry: str, seed: int, protocol: str, training: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    scale = next(d.info.label_range for d in plan.datasets if d.info.name == data)
    predictions = predictions_of(plan, out, data, entry, seed, protocol)
    about: dict[str, Any] = {"data": data, "model": entry, "protocol": protocol, "training": training, "seed": seed}
    bins = by_label_bin(predictions, scale)
    return tidy(predictions, **about, label_range=scale), bins.assign(**about)


def _described(job: Job) -> dict[str, Any]:
    return {
        "key": job.key,
        "model": job.entry,
        "data": job.data_name,
        "seed": job.seed,
        "training": job.training,
        "protocols": [check.protocol for check in job.checks],
    }


def _claim(out: Path, plan: Plan, command: str | None) -> None:
    if out.exists() and any(out.iterdir()) and not (out / "plan.json").exists():
        raise MitrError(f"{out} is not empty and holds no benchmark: choose another folder")
    for folder in (out, out / "predictions"):
        if folder.exists():
            discard_partials(folder)
    write_json(out / "plan.json", plan.to_json() | {"mitr": mitr.__version__, "command": command})


def _write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
