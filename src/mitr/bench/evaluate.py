"""Evaluate a run on a split, under a protocol, and write what it says."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mitr.config import PUBLISHED_SEEDS
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.bootstrap import RESAMPLES
from mitr.evaluation.calibrating import calibrated
from mitr.evaluation.intervals import coverage_by_rate
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import shapley
from mitr.evaluation.shapley import summary as shapley_summary
from mitr.evaluation.summary import Summary, summarise, write_by_rate
from mitr.evaluation.table import tidy, write_results
from mitr.files import check_free, new_folder, write_csv, write_json, write_parquet
from mitr.missing.protocols import CHOSEN, Condition, protocol_named
from mitr.report.one_model import run_method, run_sections, subtitle
from mitr.report.page import Report, write_page
from mitr.runs.history import HISTORY_CSV
from mitr.runs.run import Run


@dataclass
class Evaluation:
    """The results of an evaluation.

    Attributes:
        predictions: one row per sample and condition (see `predict_under`), with the prediction interval `low`, `high`
            if intervals were asked for.
        summary: metrics per condition with intervals, AUILC and mean.
        results: the tidy table (`mitr.evaluation.table.tidy`).
        folder: where it was written, if it was.
        coverage: how often the prediction intervals held the label, a row a condition (`coverage_by_rate`), if asked
            for.
        shapley: what each modality added to each prediction on the split as it is (`shapley`), if asked for.
    """

    predictions: pd.DataFrame
    summary: Summary
    results: pd.DataFrame
    folder: Path | None = None
    coverage: pd.DataFrame | None = None
    shapley: pd.DataFrame | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics under the first condition (the lowest missing rate), by name."""
        first = self.summary.to_json()["by_rate"][0]["metrics"]
        return {name: entry["value"] for name, entry in first.items()}


def predict(run: Run, data: Dataset, split: str, conditions: Sequence[Condition], quiet: bool = False) -> pd.DataFrame:
    """Predictions of a run for the labelled samples of a split, under several conditions.

    Raises:
        MitrError: the data do not fit the run, or no sample of the split has a label.
    """
    network = run.load_network()
    if run.config.train.device != "cpu" and torch.cuda.is_available():
        network.to_device(torch.device("cuda"))
    examples = run.examples(data, split, network)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(f"predicting {split}", total=len(conditions) * len(examples))
        table = predict_under(network, examples, conditions, tick=lambda answers: progress.advance(task, answers))
    known = np.isfinite(table["label"])
    if not known.any():
        raise MitrError(f"{data.folder}: the {split} split has no labels to evaluate against")
    if not known.all():
        left = int((~known).sum() / len(conditions))
        warnings.warn(f"{left} samples without a label were left out", stacklevel=2)
    return table[known].reset_index(drop=True)


def evaluate(
    run: Run | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    out: str | Path | None = None,
    protocol: str | None = None,
    rates: Sequence[float] | None = None,
    split: str = "test",
    family: str | None = None,
    intervals: float | None = None,
    explain: bool = False,
    resamples: int = RESAMPLES,
    overwrite: bool = False,
    quiet: bool = False,
    command: str | None = None,
) -> Evaluation:
    """Evaluate a run.

    Args:
        run: a trained run, or its folder.
        data: a store or its folder; None: the one it was trained on.
        out: folder to make, with predictions.parquet, metrics.json, results.parquet, results.csv, by_rate.csv,
            report.html and its pictures.
        protocol: a name of `mitr.missing.protocols`, or `rates`; None: `rates` if these are given, else `complete`.
        rates: missing rates of the protocol `rates`.
        split: train, valid or test.
        family: metrics `mosi`, `sims` or `general`; None: by the label range, or those of classes.
        intervals: the share of labels that prediction intervals are to hold, such as 0.9; they are calibrated on the
            validation split of the run's own data. None: there are none.
        explain: what each modality added to each prediction, as Shapley values on the split as it is.
        resamples: bootstrap resamples of the confidence intervals.
        overwrite: replace `out` if it exists.
        quiet: show no progress bar.
        command: the command line to record.

    Raises:
        MitrError: the run is not trained, the data do not fit it or cannot serve the protocol, or `out` exists.
    """
    chosen = protocol_named(protocol or ("complete" if rates is None else CHOSEN), rates)
    run = run if isinstance(run, Run) else Run(run)
    dataset = data if isinstance(data, Dataset) else run.data(data)
    out = Path(out) if out else None
    if out:
        check_free(out, "metrics.json", overwrite)  # before the work, not after it
    scale = dataset.info.scale.measured_as(family)
    if problems := chosen.problems(dataset, split):
        raise MitrError(f"{dataset.folder}: {'; '.join(problems)}")
    conformal = None if intervals is None else calibrated(run, intervals)  # before the work: it may be refused
    predictions = predict(run, dataset, split, chosen.conditions_of(dataset), quiet)
    summary = summarise(predictions, protocol=chosen.name, scale=scale, resamples=resamples)
    model, seed = run.info.network.model, run.config.train.seed
    results = tidy(summary, data=dataset.info.name, model=model, seed=seed, run=run.folder.resolve().name)
    coverage = None
    if conformal is not None:
        predictions = predictions.assign(**conformal.interval(predictions, scale.ends))
        coverage = coverage_by_rate(predictions, conformal)
    values = _explained(run, dataset, split) if explain else None
    if out is None:
        return Evaluation(predictions, summary, results, None, coverage, values)
    facts = {"model": model, "seed": seed, "split": split}
    about: dict[str, Any] = facts | {"data": data_facts(dataset), "run": run.info.to_json(), "command": command}
    said = summary.to_json()
    history = run.folder / HISTORY_CSV  # not yet there if training was killed in its first epoch
    with new_folder(out, "metrics.json", overwrite) as folder:
        write_parquet(folder / "predictions.parquet", predictions)
        if conformal is not None and coverage is not None:
            rows = coverage.astype(object).where(coverage.notna(), None).to_dict("records")  # JSON has no NaN
            about["intervals"] = {"level": intervals, "clips": conformal.clips}
            about["intervals"]["by_rate"] = rows
        if values is not None:
            about["shapley"] = shapley_summary(values)
            write_csv(folder / "shapley.csv", values)
        write_json(folder / "metrics.json", said | about)
        write_by_rate(summary, folder / "by_rate.csv")
        write_results(results, folder)
        sections = run_sections(
            said,
            predictions,
            history=pd.read_csv(history) if history.exists() else None,
            classes=dataset.info.classes,
            intervals=about.get("intervals"),
            shapley=about.get("shapley"),
        )
        report = Report(
            title=f"{model} on {dataset.info.name}",
            subtitle=subtitle(said),
            sections=sections,
            method=run_method(said),
            family=scale.family,
            keys=list(said["by_rate"][0]["metrics"]),
            facts=shown_facts(run, dataset, split, command),
            warnings=warnings_for(run, dataset) + _caution(conformal is not None and split == "valid"),
            synthetic=dataset.info.synthetic,
        )
        write_page(folder, report)
    return Evaluation(predictions, summary, results, out, coverage, values)


def _caution(calibrated_here: bool) -> list[str]:
    if not calibrated_here:
        return []
    return ["the prediction intervals were calibrated on this split: their coverage here is no evidence"]


def _explained(run: Run, data: Dataset, split: str) -> pd.DataFrame:
    network = run.load_network()
    return shapley(network, run.examples(data, split, network))


def data_facts(data: Dataset) -> dict[str, Any]:
    """What results record of the data set."""
    return {"name": data.info.name, "sha256": data.info.content_sha256, "synthetic": data.info.synthetic}


def warnings_for(run: Run, data: Dataset) -> list[str]:
    """What a reader of the results must know."""
    found = list(data.info.notes)
    if not run.trained_on(data):
        found.append(f"the run was trained on other data ({run.info.data.name}) than it is evaluated on")
    if not run.finished:
        found.append("training has not finished: these are the numbers of its best epoch so far")
    return found


def shown_facts(run: Run, data: Dataset, split: str, command: str | None) -> dict[str, str]:
    """Rows of the table "how this was made"."""
    info, text, git, outcome = run.info, run.info.network.text, run.info.git, run.info.outcome
    facts = {
        "Data": f"{data.info.name}, {split} split",
        "Data SHA-256": str(data.info.content_sha256),
        "Source": f"{data.info.source.name} (SHA-256 {data.info.source.sha256})",
        "Model": f"{info.network.model}, {info.parameters:,} trained parameters",
        "Text encoder": f"{text.name}, {'fine-tuned' if run.config.text.finetune else 'frozen'}" if text else "none",
        "Seed": str(run.config.train.seed),
        "Selection": info.selection,
        "Epochs": f"best {outcome.best_epoch} of {outcome.epochs} (from 0)" if outcome else "training not finished",
        "Missingness in training": run.config.missing.schedule,
        "Missingness here": f"published masks, seeds {', '.join(map(str, PUBLISHED_SEEDS))}",
        "Versions": ", ".join(f"{name} {number}" for name, number in info.versions.items()),
        "Code": f"{git.commit}{' with changes' if git.modified else ''}" if git else "an installed package",
    }
    return facts | ({"Command": command} if command else {})
