"""How one model degrades as data go missing: a plan of several seeds, one model for all conditions or one per rate."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.bench.evaluate import data_facts, shown_facts, warnings_for
from mitr.bench.jobs import alone_in, listed, perform_all, perform_here, prepare
from mitr.bench.plan import PER_RATE, Job, Plan, trainings
from mitr.bench.run import shared_among
from mitr.bench.tables import Answers, coverage_of, over_seeds, predictions_of, shapley_of, summary_of
from mitr.config import PUBLISHED_SEEDS
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.table import write_results
from mitr.files import read_json, write_csv, write_json
from mitr.missing.protocols import AREA, CHOSEN, PROTOCOLS, Protocol, protocol_named
from mitr.processes import JobResult
from mitr.report.plan import Findings, write_plan_report
from mitr.runs.config import RunConfig
from mitr.runs.run import Run
from mitr.training.settling import settle


@dataclass
class Robustness:
    """The results of `robustness`.

    Attributes:
        aggregate: mean and standard deviation over seeds (`mitr.evaluation.over_seeds.aggregate`).
        results: the tidy table (`mitr.evaluation.table.tidy`), a row a seed, condition and metric.
        folder: of the experiment.
    """

    aggregate: Mapping[str, Any]
    results: pd.DataFrame
    folder: Path


def robustness(
    data: Dataset | str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    protocol: str | None = None,
    rates: Sequence[float] | None = None,
    per_rate: bool = False,
    seeds: Sequence[int] = PUBLISHED_SEEDS,
    split: str = "test",
    family: str | None = None,
    jobs: int = 1,
    quiet: bool = False,
    command: str | None = None,
) -> Robustness:
    """Train and evaluate under a protocol over seeds. Called again on the same folder, it goes on where it stopped.

    Args:
        data: a store, or its folder.
        out: folder for the runs, `results.csv`, `summary.json`, `report.html` and pictures.
        config: training options; its seed is replaced by `seeds`.
        protocol: a name of `mitr.missing.protocols`, or `rates`; None: `rates` if these are given, else `auilc`.
        rates: missing rates of the protocol `rates`.
        per_rate: train one model per rate on the published fixed masks and test it at that rate (the field's protocol);
            otherwise one model for all conditions, trained as the protocol says.
        seeds: one training run (per rate) each.
        split: the split to report.
        family: metrics `mosi`, `sims` or `general`; None: by the label range, or those of classes.
        jobs: processes; 1: this one; 0: one for each core.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: seeds or rates repeated or out of range, data that cannot serve the protocol, a run that failed, or
            the folder belongs to another experiment.
    """
    if jobs < 0:
        raise MitrError(f"--jobs is {jobs}; it is a number of processes, or 0 for one per core")
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    config = settle(config or RunConfig(), dataset.info)
    chosen = _protocol(dataset, protocol, rates, per_rate, split)
    if len(set(seeds)) != len(seeds) or not seeds:
        raise MitrError(f"the seeds {list(seeds)} must be different from each other, and at least one")
    dataset.info.scale.measured_as(family)  # may be refused, before the work
    workers = jobs or os.cpu_count() or 1
    shared = config if workers == 1 else shared_among(config, workers)
    each = tuple(_jobs(dataset, shared, chosen, seeds, per_rate, split))
    plan = Plan((dataset,), {config.model.name: shared}, (chosen,), tuple(seeds), per_rate, each, family)
    known = {
        "config": config.to_json(),
        "per_rate": per_rate,
        "protocol": chosen.name,
        "rates": [c.level for c in chosen.conditions_of(dataset)],
        "data": data_facts(dataset),
        "split": split,
    }
    out = Path(out)
    _claim(out, known)
    with alone_in(out):
        prepare(out)
        facts = perform_here(plan, out, quiet) if workers == 1 else perform_all(plan, out, workers, quiet)
        return _reported(plan, out, facts, known, command)


def _protocol(data: Dataset, name: str | None, rates: Sequence[float] | None, per_rate: bool, split: str) -> Protocol:
    chosen = protocol_named(name or (AREA if rates is None else CHOSEN), rates)
    published = PROTOCOLS[AREA]
    if chosen.rates and chosen.conditions_of(data) == published.conditions_of(data):
        chosen = published
    if per_rate and chosen.name not in PER_RATE:
        raise MitrError(f"--per-rate is for the protocols {' and '.join(PER_RATE)}, not for {chosen.name}")
    if problems := chosen.problems(data, split):
        raise MitrError(f"{data.folder}: {'; '.join(problems)}")
    return chosen


def _jobs(
    data: Dataset, config: RunConfig, protocol: Protocol, seeds: Sequence[int], per_rate: bool, split: str
) -> Iterator[Job]:
    """The runs; a folder holds one experiment, so that their names need no digest of the options."""
    place, name, model = str(data.folder), data.info.name, config.model.name
    for seed in seeds:
        seeded = replace(config, train=replace(config.train, seed=seed))
        for training in trainings(data, (protocol,), per_rate):
            key = f"seed-{seed}" if training.rate is None else f"rate-{training.rate}-seed-{seed}"
            trained = replace(seeded, missing=training.missing(config.missing))
            yield Job(key, model, place, name, seed, training.training, trained, (training.check,), split)


def _reported(
    plan: Plan, out: Path, facts: dict[str, JobResult], known: dict[str, Any], command: str | None
) -> Robustness:
    (dataset,), (protocol,), model = plan.datasets, plan.protocols, next(iter(plan.entries))
    entries = listed(plan, facts)
    write_json(out / "jobs.json", entries)
    if failed := [f"{key}: {job['error']}" for key, job in facts.items() if job["status"] != "ok"]:
        raise MitrError("\n".join([f"{len(failed)} of {len(plan.jobs)} runs failed; call again to go on", *failed]))
    training = "per-rate" if plan.per_rate else "one-model"
    each = [Answers(model, seed, protocol.name, training) for seed in plan.seeds]
    found = [
        (answers, *summary_of(plan, dataset, answers, predictions_of(plan, out, dataset.info.name, answers)))
        for answers in each
    ]
    aggregates = over_seeds([(answers, summary) for answers, summary, _ in found])
    (together,) = aggregates.values()
    results = pd.concat([rows for _, _, rows in found], ignore_index=True)
    coverage, shapley = coverage_of(plan, out, facts), shapley_of(plan, facts)
    write_results(results, out)
    write_csv(out / "coverage.csv", coverage)
    write_csv(out / "shapley.csv", shapley)
    summaries = [summary.to_json() | {"seed": answers.seed} for answers, summary, _ in found]
    about = {"training": training, "summaries": summaries, "command": command}
    write_json(out / "summary.json", dict(together) | about | known)
    run = Run(out / "runs" / plan.jobs[-1].key)
    shown = shown_facts(run, dataset, plan.jobs[-1].split, command)
    shown |= {"Training": training, "Seed": ", ".join(map(str, plan.seeds))}
    if plan.per_rate:
        last = f"missing rates {plan.jobs[-1].config.missing.rate}"
        shown |= {"Selection": run.info.selection.replace(last, "each model's own missing rate")}
    shown.pop("Epochs")  # each run has its own
    write_plan_report(
        out,
        Findings(results, entries, coverage=coverage, shapley=shapley, aggregates=aggregates),
        title=f"{model} on {dataset.info.name}: robustness, {training.replace('-', ' ')}",
        facts=shown,
        family=together["family"],
        warnings=warnings_for(run, dataset),
        synthetic=dataset.info.synthetic,
    )
    return Robustness(together, results, out)


def _claim(out: Path, plan: dict[str, Any]) -> None:
    """Write `plan.json`, or refuse a folder that holds something else; one that an older version began goes on."""
    path = out / "plan.json"
    if path.exists():
        old, new = read_json(path), json.loads(json.dumps(plan))  # tuples are lists in JSON
        if not isinstance(old, dict) or "config" not in old:
            raise MitrError(f"{out} belongs to a benchmark of several models: choose another folder")
        recorded = RunConfig.from_json(old["config"], str(path), recorded=True)  # perhaps of an older version
        old["config"] = json.loads(json.dumps(recorded.to_json()))
        if "protocol" not in old:  # older versions had missing rates alone
            old["protocol"] = new["protocol"] if new["protocol"] in (AREA, CHOSEN) else AREA
        changed = sorted(key for key in new if old.get(key) != new[key])
        if changed:
            raise MitrError(f"{out} belongs to another experiment ({', '.join(changed)} differ): choose another folder")
    elif out.exists() and any(p.name != "lock" for p in out.iterdir()):
        raise MitrError(f"{out} is not empty and holds no robustness experiment: choose another folder")
    write_json(path, plan)
