"""Run a benchmark: plan, masks, jobs, tables and report, in a folder that an interrupted call goes on with."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.bench.jobs import alone_in, listed, perform_all, prepare
from mitr.bench.plan import Plan, plan_of, slug
from mitr.bench.tables import (
    bins_of,
    comparisons_of,
    complete_answers,
    coverage_of,
    over_seeds,
    predictions_of,
    shapley_of,
    summary_of,
)
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.mask_files import export_masks
from mitr.evaluation.table import write_results
from mitr.files import read_json, write_csv, write_json
from mitr.processes import JobResult
from mitr.report.plan import Findings, write_plan_report
from mitr.runs.config import RunConfig
from mitr.version import VERSION

STATES_MB = 4096  # of remembered text states in all processes together


@dataclass
class BenchResult:
    """What a benchmark found.

    Attributes:
        results: one row per data set, model, protocol, condition, seed and metric.
        bins: the same per bin of the label.
        comparisons: one row per protocol, training and model (`mitr.bench.compare.compare`).
        coverage: per run and condition how often prediction intervals held the label (`coverage_by_rate`).
        shapley: per run and modality what it added on complete data (`mitr.evaluation.shapley.summary`).
        jobs: one entry per training run: what it was and cost, or how it failed.
        folder: where everything lies.
    """

    results: pd.DataFrame
    bins: pd.DataFrame
    comparisons: pd.DataFrame
    coverage: pd.DataFrame
    shapley: pd.DataFrame
    jobs: list[JobResult]
    folder: Path

    @property
    def failed(self) -> list[JobResult]:
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
    variants: Mapping[str, Any] | None = None,
    per_rate: bool = False,
    rates: Sequence[float] | None = None,
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
        protocols: names of `mitr.missing.protocols`, or `rates`.
        seeds: of the training runs.
        config: options of all models; the seed and what is missing in training are set by the plan.
        variants: further entries, name -> sections of options that differ.
        per_rate: protocols `auilc` and `rates` train one model per rate.
        rates: missing rates of the protocol `rates`.
        jobs: processes; 0: one for each core.
        reference: the model that the others are tested against; None: the first.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: the plan has faults, all of which the message lists; or the folder is not a benchmark's.
    """
    if jobs < 0:
        raise MitrError(f"--jobs is {jobs}; it is a number of processes, or 0 for one per core")
    datasets = [d if isinstance(d, Dataset) else Dataset(d) for d in data]
    workers = jobs or os.cpu_count() or 1
    config = shared_among(config or RunConfig(), workers)
    plan = plan_of(datasets, models, config, variants, protocols, seeds, per_rate, rates)
    if reference is not None and reference not in plan.entries:
        raise MitrError(f"the reference {reference!r} is not among the models {', '.join(plan.entries)}")
    out = Path(out)
    if out.exists() and any(p.name != "lock" for p in out.iterdir()) and not (out / "plan.json").exists():
        raise MitrError(f"{out} is not empty and holds no benchmark: choose another folder")
    if (out / "plan.json").exists() and "entries" not in read_json(out / "plan.json"):
        raise MitrError(f"{out} holds the runs of mitr robustness: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out):
        return _carried_out(plan, out, workers, reference, quiet, command)


def _carried_out(
    plan: Plan, out: Path, workers: int, reference: str | None, quiet: bool, command: str | None
) -> BenchResult:
    prepare(out)
    write_json(out / "plan.json", plan.to_json() | {"mitr": VERSION, "command": command})
    facts = perform_all(plan, out, workers, quiet)
    entries = listed(plan, facts)
    write_json(out / "jobs.json", entries)
    whole = complete_answers(plan, facts)
    if not whole:
        errors = "; ".join(sorted({job["error"] for job in facts.values()}))
        raise MitrError(f"no run of {out} succeeded: {errors}")
    pairs = [(data, answers) for answers in whole for data in plan.datasets]
    summaries, each_rows, each_bins = [], [], []
    for data, answers in pairs:
        predictions = predictions_of(plan, out, data.info.name, answers)
        summary, rows = summary_of(plan, data, answers, predictions)
        summaries.append((answers, summary))
        each_rows.append(rows)
        each_bins.append(bins_of(plan, data, answers, predictions))
    results, bins = (pd.concat(tables, ignore_index=True) for tables in (each_rows, each_bins))
    alone = len(plan.entries) == len(plan.datasets) == 1
    aggregates = over_seeds(summaries) if alone else {}
    coverage, shapley = coverage_of(plan, out, facts), shapley_of(plan, facts)
    comparisons = comparisons_of(plan, out, whole, results, reference or next(iter(plan.entries)))
    write_results(results, out)
    tables = {"bins": bins, "comparisons": comparisons, "coverage": coverage, "shapley": shapley}
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table)
    _write_masks(plan, out)
    write_plan_report(
        out,
        Findings(results, entries, comparisons, bins, coverage, shapley, aggregates),
        title=f"{', '.join(plan.entries)} on {', '.join(data.info.name for data in plan.datasets)}",
        facts=_shown_facts(plan, entries, command),
        warnings=_warnings(plan, entries),
        synthetic=any(data.info.synthetic for data in plan.datasets),
        family=plan.datasets[0].info.scale.family,
    )
    return BenchResult(results, bins, comparisons, coverage, shapley, entries, out)


def shared_among(config: RunConfig, workers: int) -> RunConfig:
    """Every process has its share of the cores and of the memory for text states."""
    threads = config.train.threads or max(1, (os.cpu_count() or 1) // workers)
    memory = max(config.text.memory_mb, STATES_MB // workers) if config.text.memory_mb else 0
    return replace(config, train=replace(config.train, threads=threads), text=replace(config.text, memory_mb=memory))


def _write_masks(plan: Plan, out: Path) -> None:
    """The test masks of every data set and protocol, for the text encoder of the first entry."""
    text = next(iter(plan.entries.values())).text
    for data in plan.datasets:
        for protocol in plan.protocols:
            path = out / "masks" / f"{slug(data.info.name)}-{protocol.file_name}.npz"
            export_masks(data, protocol, "test", path, text, overwrite=True)


def _warnings(plan: Plan, jobs: list[JobResult]) -> list[str]:
    named = len(plan.datasets) > 1
    found = [f"{data.info.name}: {note}" if named else note for data in plan.datasets for note in data.info.notes]
    failed = sum(job["status"] != "ok" for job in jobs)
    if failed:
        found.append(
            f"{failed} of {len(jobs)} runs failed and are listed below; a model's seed is left out of a protocol's "
            "tables where one of its runs failed"
        )
    commits = {job["git"]["commit"] for job in jobs if job.get("git")}
    if len(commits) > 1:
        found.append(f"the runs come from {len(commits)} versions of the code")
    return list(dict.fromkeys(found))


def _shown_facts(plan: Plan, jobs: list[JobResult], command: str | None) -> dict[str, str]:
    """Rows of the table "how this was made"."""
    config = next(iter(plan.entries.values()))
    code = dict.fromkeys(
        f"{git['commit']}{' with changes' if git['modified'] else ''}" for job in jobs if (git := job.get("git"))
    )
    facts = {
        "Data": "\n".join(f"{data.info.name} (SHA-256 {data.info.content_sha256})" for data in plan.datasets),
        "Models": ", ".join(plan.entries),
        "Seeds": ", ".join(map(str, plan.seeds)),
        "Text encoder": f"{config.text.encoder}, {'fine-tuned' if config.text.finetune else 'frozen'}",
        "Training": f"at most {config.train.max_epochs} epochs, learning rate {config.train.lr:g}, "
        f"{config.train.lr_schedule}, batch {config.train.batch_size}",
        "Versions": f"mitr {VERSION}, torch {version('torch')}, numpy {version('numpy')}",
        "Code": ", ".join(code) or "an installed package",
    }
    return facts | ({"Command": command} if command else {})
