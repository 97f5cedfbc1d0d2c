"""Commands that train and evaluate."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mitr.commands.wording import command_line
from mitr.config import PUBLISHED_SEEDS, ImbalanceConfig, MissingConfig, NormalizeConfig, TextConfig, TrainConfig
from mitr.errors import MitrError

if TYPE_CHECKING:
    from mitr.runs.config import ModelConfig


def train_run(
    data: str | None = None,
    *,
    out: str | None = None,
    resume: str | None = None,
    model: "ModelConfig",
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    quiet: bool = False,
) -> None:
    """Train a model on a data set, or go on with a run that was stopped.

    Args:
        data: the data set's folder; with --resume only if it has moved.
        out: the run folder to make.
        resume: the run folder to go on with; the options that it began with are used.
        model: the model and its options.
        text: the text encoder.
        missing: what the student does not see.
        normalize: scaling of features.
        train: the training loop.
        imbalance: how rare labels are made to count.
        quiet: show no progress bar.
    """
    from mitr import api
    from mitr.runs.config import RunConfig

    if resume is not None:
        if out is not None:
            raise MitrError("--resume names the run folder; --out does not go with it")
        if RunConfig(model, text, missing, normalize, train, imbalance) != RunConfig():
            raise MitrError(
                "a resumed run keeps the options that it began with; leave out all but --resume, DATA and --quiet"
            )
        if api.load(resume).finished:
            print(f"{resume} had finished already")
        try:
            run = api.resume(resume, data, quiet=quiet)
        except KeyboardInterrupt:
            raise _interrupted(resume) from None
    else:
        if data is None or out is None:
            raise MitrError("name a data set and a run folder: mitr train DATA --out RUN (or mitr train --resume RUN)")
        config = RunConfig(model, text, missing, normalize, train, imbalance)
        try:
            run = api.train(data, out, config, quiet=quiet, command=command_line())
        except KeyboardInterrupt:
            raise _interrupted(out) from None
    outcome, select = run.outcome, run.config.train.select
    best = f"best epoch {outcome.best_epoch} of {outcome.epochs}, validation {select} {outcome.best:.4f}"
    print(f"{run.folder}: {best}")


def evaluate(
    run: str,
    *,
    data: str | None = None,
    protocol: str | None = None,
    rates: tuple[float, ...] | None = None,
    out: str,
    split: Literal["train", "valid", "test"] = "test",
    metrics: Literal["auto", "mosi", "sims", "general"] = "auto",
    intervals: float | None = None,
    shapley: bool = False,
    resamples: int = 1000,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Evaluate a run: metrics with confidence intervals, predictions and a report.

    Args:
        run: the run folder.
        data: the data set's folder; otherwise the one that the run was trained on.
        protocol: how the split is made incomplete: complete, auilc, mean, modality-rate, combinations, blocks, rates
            (docs/protocols.md), that of an installed package, or module:NAME; otherwise complete, or rates if
            these are given.
        rates: missing rates of the protocol rates, written as [0.0,0.5].
        out: the folder to make.
        split: the split to evaluate.
        metrics: the definitions to use; auto chooses by the label range.
        intervals: give each prediction an interval that holds this share of labels, such as 0.9, calibrated on the
            validation split.
        shapley: give each modality's Shapley value in each prediction.
        resamples: bootstrap resamples of the metrics' intervals.
        overwrite: replace the folder if it exists.
        quiet: show no progress bar.
    """
    from mitr import api

    evaluation = api.evaluate(
        run,
        data,
        out=out,
        protocol=protocol,
        rates=rates,
        split=split,
        family=None if metrics == "auto" else metrics,
        intervals=intervals,
        explain=shapley,
        resamples=resamples,
        overwrite=overwrite,
        quiet=quiet,
        command=command_line(),
    )
    _print_metrics(evaluation.summary.to_json())
    print(f"{Path(out) / 'report.html'}")


def robustness(
    data: str,
    *,
    out: str,
    protocol: str | None = None,
    per_rate: bool = False,
    seeds: tuple[int, ...] = PUBLISHED_SEEDS,
    rates: tuple[float, ...] | None = None,
    split: Literal["valid", "test"] = "test",
    metrics: Literal["auto", "mosi", "sims", "general"] = "auto",
    model: "ModelConfig",
    text: TextConfig = TextConfig(),  # noqa: B008
    missing: MissingConfig = MissingConfig(),  # noqa: B008
    normalize: NormalizeConfig = NormalizeConfig(),  # noqa: B008
    train: TrainConfig = TrainConfig(),  # noqa: B008
    imbalance: ImbalanceConfig = ImbalanceConfig(),  # noqa: B008
    jobs: int = 1,
    quiet: bool = False,
) -> None:
    """Train over several seeds and report how the model degrades as data go missing; stopped, it can be called again.

    Args:
        data: the data set's folder.
        out: the folder for runs, results and report.
        protocol: how the split is made incomplete: complete, auilc, mean, modality-rate, combinations, blocks, rates
            (docs/protocols.md), that of an installed package, or module:NAME; otherwise auilc, or rates if
            these are given.
        per_rate: one model per missing rate on the published masks, instead of one model for all rates.
        seeds: seeds of the training runs, written as [111,1111].
        rates: missing rates of the protocol rates, written as [0.0,0.5].
        split: the split to report.
        metrics: the definitions to use; auto chooses by the label range.
        model: the model and its options.
        text: the text encoder.
        missing: what the student does not see.
        normalize: scaling of features.
        train: the training loop; its seed is replaced.
        imbalance: how rare labels are made to count.
        jobs: processes at a time; 0 for one per core.
        quiet: show no progress.
    """
    from mitr.bench.robustness import robustness as run_robustness
    from mitr.runs.config import RunConfig

    config = RunConfig(model, text, missing, normalize, train, imbalance)
    try:
        result = run_robustness(
            data,
            out,
            config,
            protocol=protocol,
            rates=rates,
            per_rate=per_rate,
            seeds=seeds,
            split=split,
            family=None if metrics == "auto" else metrics,
            jobs=jobs,
            quiet=quiet,
            command=command_line(),
        )
    except KeyboardInterrupt:
        raise MitrError(f"interrupted; the same command goes on where it stopped in {out}") from None
    _print_metrics(result.aggregate)
    print(f"{Path(out) / 'report.html'}")


def _interrupted(folder: str) -> MitrError:
    if not (Path(folder) / "run.json").exists():
        return MitrError("interrupted before anything was trained; call the same command again")
    return MitrError(f"interrupted; go on with: mitr train --resume {folder}")


def _print_metrics(summary: Mapping[str, Any]) -> None:
    """The metrics in each condition, and over them, of one evaluation or of several seeds (their means)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from mitr.evaluation.metrics import metric

    on_rates = all(entry["axis"] == "rate" for entry in summary["by_rate"])
    names = [f"{e['rate']:g}" if on_rates else e["condition"].removeprefix("available=") for e in summary["by_rate"]]
    rows = {name: e["metrics"] for name, e in zip(names, summary["by_rate"], strict=True)}
    if summary["auilc"]:
        rows["AUILC"] = {k: entry.get("published", entry) for k, entry in summary["auilc"].items()}
        rows["AUILC / range"] = {k: _divided(entry) for k, entry in summary["auilc"].items()}
    if summary["mean"]:
        rows[f"mean to {summary['mean']['rates'][-1]:g}" if on_rates else "mean"] = summary["mean"]["metrics"]
    keys = list(summary["by_rate"][0]["metrics"])
    table = Table(box=box.SIMPLE, padding=0, collapse_padding=True)
    table.add_column("rate" if on_rates else "condition", no_wrap=True)
    for key in keys:
        table.add_column(metric(key).label, justify="right", overflow="fold")
    for name, entries in rows.items():
        values = [entries[key].get("value", entries[key].get("mean")) for key in keys]
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    Console().print(table)


def _divided(entry: dict[str, Any]) -> dict[str, Any]:
    divided = entry["divided_by_range"]
    return divided if isinstance(divided, dict) else {"value": divided}
