"""One job of a benchmark: train or go on training, test under every protocol, say what it cost."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from mitr.batches.examples import Examples
from mitr.bench.cost import milliseconds_per_sample, peak_memory_mb, reset_peak_memory
from mitr.bench.plan import Check, Job
from mitr.data.store import Dataset
from mitr.evaluation.calibrating import FILE, calibrated, can_calibrate
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import shapley, summary
from mitr.files import read_json, write_json, write_parquet
from mitr.missing.protocols import Condition
from mitr.models.network import Network
from mitr.processes import JobResult
from mitr.runs.history import read_history
from mitr.runs.info import RUN_JSON
from mitr.runs.run import Run
from mitr.training.train import resume, train


def perform(job: Job, folder: Path, quiet: bool = True) -> JobResult:
    """Do what is left of a job; its facts are in `done.json` of its run folder. `quiet` shows no progress."""
    place = folder / "runs" / job.key
    reset_peak_memory()
    dataset = Dataset(job.data)
    if place.exists() and not (place / RUN_JSON).exists():
        shutil.rmtree(place)  # stopped before there was anything to go on with
    if (place / RUN_JSON).exists():
        run = resume(place, dataset, quiet=quiet)
    else:
        run = train(dataset, place, job.config, quiet=quiet)
    network = run.load_network()
    tested = run.examples(dataset, job.split, network)
    for check in job.checks:
        path = predictions_path(folder, job, check)
        if not path.exists():
            write_parquet(path, _predict(network, tested, check))
    earlier = read_json(place / "done.json") if (place / "done.json").exists() else {}
    if can_calibrate(run, dataset):
        calibrated(run, data=dataset, network=network)
    facts = {
        "status": "ok",
        "parameters": run.info.parameters,
        "epochs": run.outcome.epochs,
        "best_epoch": run.outcome.best_epoch,
        "validation": run.outcome.best,
        "train_seconds": round(sum(float(row["seconds"]) for row in read_history(place)), 1),
        "milliseconds_per_sample": round(milliseconds_per_sample(network, tested), 3),
        "peak_mb": max(filter(None, [peak_memory_mb(), earlier.get("peak_mb")]), default=None),
        "checks": [check.protocol.name for check in job.checks],
        "shapley": earlier.get("shapley") or summary(shapley(network, tested)),
        "git": None if run.info.git is None else asdict(run.info.git),
    }
    write_json(place / "done.json", facts)
    return facts


def finished(job: Job, folder: Path) -> JobResult | None:
    """What an earlier call said of the job, if nothing of it is left to do."""
    path = folder / "runs" / job.key / "done.json"
    if not path.exists() or not all(predictions_path(folder, job, check).exists() for check in job.checks):
        return None
    facts: JobResult = read_json(path)
    calibrated_here = (path.parent / FILE).exists() or not can_calibrate(Run(path.parent), Dataset(job.data))
    return facts if calibrated_here and "shapley" in facts else None


def predictions_path(folder: Path, job: Job, check: Check) -> Path:
    """Where the predictions of a job under a protocol lie."""
    split = "" if job.split == "test" else f"-{job.split}"
    return folder / "predictions" / f"{job.key}-{check.protocol.file_name}{split}.parquet"


def conditions_of(dataset: Dataset, check: Check) -> list[Condition]:
    """The conditions of a protocol for a data set, those that the check names."""
    return [c for c in check.protocol.conditions_of(dataset) if check.conditions is None or c.name in check.conditions]


def _predict(network: Network, examples: Examples, check: Check) -> pd.DataFrame:
    table = predict_under(network, examples, conditions_of(examples.data, check))
    return table[np.isfinite(table["label"])].reset_index(drop=True)
