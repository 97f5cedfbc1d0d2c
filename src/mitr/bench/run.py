"""Run a benchmark: plan, masks, jobs, tables and report, in a folder that an interrupted call goes on with."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import mitr
from mitr.bench.compare import compare
from mitr.bench.plan import Job, Plan, entries_of, make_plan, slug
from mitr.bench.results import by_label_bin, tidy
from mitr.bench.work import Facts, finished, perform, predictions_path
from mitr.config import RunConfig
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.calibrating import FILE, read_intervals
from mitr.evaluation.intervals import coverage_by_rate
from mitr.evaluation.metrics import family_of
from mitr.files import discard_partials, replacing, write_json
from mitr.missing.exporting import export_masks
from mitr.processes import run_jobs
from mitr.report.bench import Found, write_bench_report

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
    if jobs < 0:
        raise MitrError(f"--jobs is {jobs}; it is a number of processes, or 0 for one per core")
    datasets = [d if isinstance(d, Dataset) else Dataset(d) for d in data]
    workers = jobs or os.cpu_count() or 1
    config = _shared(config or RunConfig(), workers)
    plan = make_plan(datasets, entries_of(models, config, variants), protocols, seeds, per_rate)
    if reference is not None and reference not in plan.entries:
        raise MitrError(f"the reference {reference!r} is not among the models {', '.join(plan.entries)}")
    out = Path(out)
    if out.exists() and any(p.name != "lock" for p in out.iterdir()) and not (out / "plan.json").exists():
        raise MitrError(f"{out} is not empty and holds no benchmark: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        return _carried_out(plan, out, workers, reference, quiet, command)


def _carried_out(
    plan: Plan, out: Path, workers: int, reference: str | None, quiet: bool, command: str | None
) -> BenchResult:
    for folder in (out, out / "predictions"):
        if folder.exists():
            discard_partials(folder)
    write_json(out / "plan.json", plan.to_json() | {"mitr": mitr.__version__, "command": command})
    facts = _perform(plan, out, workers, quiet)
    listed = [_described(job) | facts[job.key] for job in plan.jobs]
    write_json(out / "jobs.json", listed)
    whole = _whole(plan, facts)
    measured = [
        _tables(plan, out, data.info.name, entry, seed, protocol, training)
        for entry, seed, protocol, training in whole
        for data in plan.datasets
    ]
    if not measured:
        errors = "; ".join(sorted({job["error"] for job in facts.values()}))
        raise MitrError(f"no run of {out} succeeded: {errors}")
    results, bins = (pd.concat(parts, ignore_index=True) for parts in zip(*measured, strict=True))
    coverage, shapley = _coverage(plan, out, facts), _shapley(plan, facts)
    comparisons = _comparisons(plan, out, whole, results, reference or next(iter(plan.entries)))
    _write(out / "results.parquet", results)
    tables = {"results": results, "bins": bins, "comparisons": comparisons, "coverage": coverage, "shapley": shapley}
    for name, table in tables.items():
        with replacing(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    _write_masks(plan, out)
    scale = plan.datasets[0].info.label_range
    write_bench_report(
        out,
        Found(results, bins, comparisons, listed, coverage, shapley),
        title=f"{', '.join(plan.entries)} on {', '.join(data.info.name for data in plan.datasets)}",
        facts=_shown_facts(plan, listed, command),
        warnings=_warnings(plan, listed),
        synthetic=any(data.info.synthetic for data in plan.datasets),
        family=family_of(scale),
    )
    return BenchResult(results, bins, comparisons, coverage, shapley, listed, out)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse to work where another call is at work; without such locks (not POSIX), trust the user."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (out / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MitrError(f"another mitr bench is at work in {out}: wait for it, or choose another folder") from None
        yield


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
                say.print(f"failed: {job.key}: {what['error']}", style="red", markup=False, highlight=False)
                write_json(out / "runs" / f"{job.key}.failed.json", what)

        try:
            run_jobs(left, out, workers, done, perform)
        except KeyboardInterrupt:
            raise MitrError(f"interrupted; the same command goes on where it stopped in {out}") from None
    return facts


def _whole(plan: Plan, facts: dict[str, Facts]) -> list[tuple[str, int, str, str]]:
    """(entry, seed, protocol, training) for which every run succeeded, on all data sets; tables hold nothing else."""
    found: dict[tuple[str, int, str, str], bool] = {}
    for job in plan.jobs:
        for check in job.checks:
            key = (job.entry, job.seed, check.protocol, job.training)
            found[key] = found.get(key, True) and facts[job.key]["status"] == "ok"
    return [key for key, succeeded in found.items() if succeeded]


def predictions_of(
    plan: Plan, out: Path, data: str, entry: str, seed: int, protocol: str, training: str
) -> pd.DataFrame:
    """The predictions of one entry and seed under a protocol, of all of its runs together."""
    wanted = (data, entry, seed, training)
    parts = [
        pd.read_parquet(predictions_path(out, job, check))
        for job in plan.jobs
        if (job.data_name, job.entry, job.seed, job.training) == wanted
        for check in job.checks
        if check.protocol == protocol
    ]
    return pd.concat(parts, ignore_index=True)


def _tables(
    plan: Plan, out: Path, data: str, entry: str, seed: int, protocol: str, training: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    scale = next(d.info.label_range for d in plan.datasets if d.info.name == data)
    predictions = predictions_of(plan, out, data, entry, seed, protocol, training)
    about: dict[str, Any] = {"data": data, "model": entry, "protocol": protocol, "training": training, "seed": seed}
    bins = by_label_bin(predictions, scale)
    return tidy(predictions, **about, label_range=scale), bins.assign(**about)


def _comparisons(
    plan: Plan, out: Path, whole: list[tuple[str, int, str, str]], results: pd.DataFrame, reference: str
) -> pd.DataFrame:
    """Every protocol's models beside each other; where the reference has no whole run, against the first that has."""
    scale, names = plan.datasets[0].info.label_range, [data.info.name for data in plan.datasets]
    tables = []
    for protocol, training in dict.fromkeys((protocol, training) for _, _, protocol, training in whole):
        stacked: dict[str, dict[int, pd.DataFrame]] = {}
        for entry, seed in [(e, s) for e, s, p, t in whole if (p, t) == (protocol, training)]:
            parts = [predictions_of(plan, out, name, entry, seed, protocol, training) for name in names]
            if len(names) > 1:  # folds may call their samples alike
                parts = [t.assign(id=name + "/" + t["id"]) for name, t in zip(names, parts, strict=True)]
            stacked.setdefault(entry, {})[seed] = pd.concat(parts, ignore_index=True)
        against = reference if reference in stacked else next(iter(stacked))
        about: dict[str, Any] = {"protocol": protocol, "training": training, "label_range": scale, "reference": against}
        tables.append(compare(stacked, results, **about))
    return pd.concat(tables, ignore_index=True)


def _coverage(plan: Plan, out: Path, facts: dict[str, Facts]) -> pd.DataFrame:
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
            about = {"data": job.data_name, "model": job.entry, "protocol": check.protocol, "training": job.training}
            parts.append(found.assign(**about, seed=job.seed))
    columns = ["condition", "rate", "n", "coverage", "width", "low", "high"]
    none = pd.DataFrame(columns=[*columns, "data", "model", "protocol", "training", "seed"])
    return pd.concat(parts, ignore_index=True) if parts else none


def _shapley(plan: Plan, facts: dict[str, Facts]) -> pd.DataFrame:
    """What each modality added, of the runs that see all conditions."""
    rows = [
        {"data": job.data_name, "model": job.entry, "training": job.training, "seed": job.seed, "modality": m} | entry
        for job in plan.jobs
        if facts[job.key]["status"] == "ok" and job.training == "one-model"
        for m, entry in facts[job.key]["shapley"]["modalities"].items()
    ]
    columns = ["data", "model", "training", "seed", "modality", "mean", "mean_absolute", "share"]
    return pd.DataFrame(rows, columns=columns)


def _write_masks(plan: Plan, out: Path) -> None:
    """The test masks of every data set and protocol, for the text encoder of the first entry."""
    text = next(iter(plan.entries.values())).text
    for data in plan.datasets:
        for protocol in plan.protocols:
            path = out / "masks" / f"{slug(data.info.name)}-{protocol}.npz"
            export_masks(data, protocol, "test", path, text, overwrite=True)


def _warnings(plan: Plan, jobs: list[Facts]) -> list[str]:
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


def _shown_facts(plan: Plan, jobs: list[Facts], command: str | None) -> dict[str, str]:
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
        "Versions": f"mitr {mitr.__version__}, torch {version('torch')}, numpy {version('numpy')}",
        "Code": ", ".join(code) or "an installed package",
    }
    return facts | ({"Command": command} if command else {})


def _described(job: Job) -> dict[str, Any]:
    return {
        "key": job.key,
        "model": job.entry,
        "data": job.data_name,
        "seed": job.seed,
        "training": job.training,
        "protocols": [check.protocol for check in job.checks],
    }


def _write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
