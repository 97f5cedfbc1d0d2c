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
from mitr.evaluation.calibrating import calibrated
from mitr.evaluation.intervals import coverage_by_rate
from mitr.evaluation.metrics import chosen_family
from mitr.evaluation.predicting import predict_at_rates
from mitr.evaluation.shapley import shapley
from mitr.evaluation.shapley import summary as shapley_summary
from mitr.evaluation.summary import Protocol, Summary, rates_of, summarise, write_by_rate
from mitr.files import check_free, new_folder, replacing, write_json
from mitr.report.html import write_evaluation_report
from mitr.training.run import Run


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        predictions: one row per sample and rate (see `predict_at_rates`), with the prediction interval `low`, `high` if
            intervals were asked for.
        summary: metrics per rate with intervals, AUILC and mean.
        folder: where it was written, if it was.
        coverage: how often the prediction intervals held the label, a row a rate (`coverage_by_rate`), if asked for.
        shapley: what each modality added to each prediction on the split as it is (`shapley`), if asked for.
    """

    predictions: pd.DataFrame
    summary: Summary
    folder: Path | None = None
    coverage: pd.DataFrame | None = None
    shapley: pd.DataFrame | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics at the lowest rate, by name."""
        first = self.summary.to_json()["by_rate"][0]["metrics"]
        return {name: entry["value"] for name, entry in first.items()}


def predict(run: Run, data: Dataset, split: str, rates: Sequence[float], quiet: bool = False) -> pd.DataFrame:
    """Predictions of a run for the labelled samples of a split, at several missing rates.

    Raises:
        MitrError: the data do not fit the run, or no sample of the split has a label.
    """
    network = run.network()
    if run.config.train.device != "cpu" and torch.cuda.is_available():
        network.to_device(torch.device("cuda"))
    examples = run.examples(data, split, network)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(f"predicting {split}", total=len(rates) * len(examples))
        table = predict_at_rates(network, examples, rates, tick=lambda answers: progress.advance(task, answers))
    known = np.isfinite(table["label"])
    if not known.any():
        raise MitrError(f"{data.folder}: the {split} split has no labels to evaluate against")
    if not known.all():
        warnings.warn(f"{int((~known).sum() / len(rates))} samples without a label were left out", stacklevel=2)
    return table[known].reset_index(drop=True)


def evaluate(
    run: Run | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    out: str | Path | None = None,
    protocol: Protocol = "complete",
    split: str = "test",
    family: str | None = None,
    intervals: float | None = None,
    explain: bool = False,
    resamples: int = 1000,
    overwrite: bool = False,
    quiet: bool = False,
    command: str | None = None,
) -> Evaluation:
    """Evaluate a run.

    Args:
        run: a trained run, or its folder.
        data: a store or its folder; None: the one it was trained on.
        out: folder to make, with predictions.parquet, metrics.json, by_rate.csv, report.html and its pictures.
        protocol: `complete`, `auilc` or `mean` (see `rates_of`).
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
        MitrError: the run is not trained, the data do not fit it, or `out` exists.
    """
    run = run if isinstance(run, Run) else Run(run)
    dataset = data if isinstance(data, Dataset) else run.data(data)
    out = Path(out) if out else None
    if out:
        check_free(out, "metrics.json", overwrite)  # before the work, not after it
    scale = dataset.info.label_range
    family = chosen_family(family, scale, dataset.info.classes)
    conformal = None if intervals is None else calibrated(run, intervals)  # before the work: it may be refused
    predictions = predict(run, dataset, split, rates_of(protocol, scale), quiet)
    summary = summarise(predictions, protocol=protocol, label_range=scale, family=family, resamples=resamples)
    coverage = None
    if conformal is not None:
        predictions = predictions.assign(**conformal.interval(predictions, scale))
        named = predictions.assign(condition=[f"{rate:g}" for rate in predictions["rate"]])
        coverage = coverage_by_rate(named, conformal).drop(columns="condition")
    values = _explained(run, dataset, split) if explain else None
    if out is None:
        return Evaluation(predictions, summary, None, coverage, values)
    facts = {"model": run.about["network"]["model"], "seed": run.config.train.seed, "split": split}
    about: dict[str, Any] = facts | {"data": data_facts(dataset), "run": run.about, "command": command}
    history = run.folder / "history.csv"  # not yet there if training was killed in its first epoch
    with new_folder(out, "metrics.json", overwrite) as folder:
        with replacing(folder / "predictions.parquet") as partial:
            predictions.to_parquet(partial, index=False)
        if conformal is not None and coverage is not None:
            rows = coverage.to_dict("records")
            about["intervals"] = {"level": intervals, "clips": conformal.clips}
            about["intervals"]["by_rate"] = rows
        if values is not None:
            about["shapley"] = shapley_summary(values)
            with replacing(folder / "shapley.csv") as partial:
                values.to_csv(partial, index=False)
        write_json(folder / "metrics.json", summary.to_json() | about)
        write_by_rate(summary, folder / "by_rate.csv")
        write_evaluation_report(
            folder,
            title=f"{run.about['network']['model']} on {dataset.info.name}",
            summary_json=summary.to_json(),
            predictions=predictions,
            history=pd.read_csv(history) if history.exists() else None,
            facts=shown_facts(run, dataset, split, command),
            warnings=warnings_for(run, dataset) + _caution(conformal is not None and split == "valid"),
            synthetic=dataset.info.synthetic,
            classes=dataset.info.classes,
            intervals=about.get("intervals"),
            shapley=about.get("shapley"),
        )
    return Evaluation(predictions, summary, out, coverage, values)


def _caution(calibrated_here: bool) -> list[str]:
    if not calibrated_here:
        return []
    return ["the prediction intervals were calibrated on this split: their coverage here is no evidence"]


def _explained(run: Run, data: Dataset, split: str) -> pd.DataFrame:
    network = run.network()
    return shapley(network, run.examples(data, split, network))


def data_facts(data: Dataset) -> dict[str, Any]:
    """What results record of the data set."""
    return {"name": data.info.name, "sha256": data.info.content_sha256, "synthetic": data.info.synthetic}


def warnings_for(run: Run, data: Dataset) -> list[str]:
    """What a reader of the results must know."""
    found = list(data.info.notes)
    if data.info.content_sha256 != run.about["data"]["sha256"]:
        found.append(f"the run was trained on other data ({run.about['data']['name']}) than it is evaluated on")
    if not run.finished:
        found.append("training has not finished: these are the numbers of its best epoch so far")
    return found


def shown_facts(run: Run, data: Dataset, split: str, command: str | None) -> dict[str, str]:
    """Rows of the table "how this was made"."""
    about = run.about
    text = about["network"]["text"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    git = about["git"]
    facts = {
        "Data": f"{data.info.name}, {split} split",
        "Data SHA-256": str(data.info.content_sha256),
        "Source": f"{data.info.source.name} (SHA-256 {data.info.source.sha256})",
        "Model": f"{about['network']['model']}, {about['parameters']:,} trained parameters",
        "Text encoder": f"{text['name']}, {'fine-tuned' if run.config.text.finetune else 'frozen'}" if text else "none",
        "Seed": str(run.config.train.seed),
        "Selection": about["selection"],
        "Epochs": f"best {about['best_epoch']} of {about['epochs']} (from 0)"
        if run.finished
        else "training not finished",
        "Missingness in training": run.config.missing.schedule,
        "Missingness here": f"published masks, seeds {', '.join(map(str, PUBLISHED_SEEDS))}",
        "Versions": versions,
        "Code": f"{git['commit']}{' with changes' if git['modified'] else ''}" if git else "an installed package",
    }
    return facts | ({"Command": command} if command else {})
