r"""Coverage and width of the prediction intervals of benchmarks' runs at each missing rate of protocol A.

    python experiments/intervals.py runs/bench-mosi-intervals --held-out runs/bench-held-out \
        --out docs/results/intervals.json

Every benchmark has test predictions under protocol `auilc`; that of `--held-out` was trained with
`train.calibration_share`. Intervals are calibrated anew from predictions for the validation split, which are kept in
the benchmark's folder. Where a run carries intervals of an older format, theirs stand beside them. The test split is
evidence; one thing was chosen after a look at it, that several divisions are taken together (docs/results.md).
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mitr.data.store import Dataset
from mitr.data.videos import divided_validation, videos_of
from mitr.evaluation.calibrating import FILE, LEVEL, calibration_rows, read_intervals
from mitr.evaluation.conformal import Conformal
from mitr.evaluation.curves import Curves
from mitr.evaluation.intervals import Intervals, absolute_errors, coverage_by_rate
from mitr.evaluation.predicting import predict_under
from mitr.files import read_json, replacing, write_json
from mitr.missing.calibration import calibration_conditions
from mitr.runs.run import Run

DIGITS = 4
Entry = dict[str, Any]


def main() -> None:
    """Calibrate all runs and write one JSON file."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("benchmarks", type=Path, nargs="+")
    reader.add_argument("--held-out", type=Path, nargs="*", default=[])
    reader.add_argument("--out", type=Path, required=True)
    options = reader.parse_args()
    sections = []
    for folder in options.benchmarks:
        models = {}
        for model, of_model in _runs(folder).items():
            entries = [_entry(folder, run) for run in of_model]
            models[model] = _means(entries) | {"runs": len(entries)}
            print(folder, model, flush=True)
        sections.append({"command": _command(folder), "models": models})
    held_out = [
        {"command": _command(folder), "models": {model: _shared(folder, options.benchmarks, runs)}}
        for folder in options.held_out
        for model, runs in _runs(folder).items()
    ]
    write_json(options.out, {"level": LEVEL, "benchmarks": sections, "held_out": held_out})


def _entry(folder: Path, run: Run) -> Entry:
    """Intervals that the run carries if they are of the older format, those of today, and those of other videos."""
    valid, test = _validation(folder, run), _test(folder, run)
    calibrated = _calibrated(valid)
    entry: Entry = {"after": _by_rate(test, calibrated)}
    before = read_intervals(run.folder / FILE) if (run.folder / FILE).exists() else None
    if isinstance(before, Curves):
        entry["before"] = _by_rate(test, before)
    video = np.array(videos_of(valid["id"].tolist()))
    if len(set(video)) < valid["id"].nunique():
        inside = [_calibrated(valid[video != name]).contains(valid[video == name]) for name in sorted(set(video))]
        entry["left_out"] = float(np.concatenate(inside).mean())
        entry["videos"] = len(set(video))
    return entry


def _shared(folder: Path, benchmarks: Iterable[Path], runs: list[Run]) -> Entry:
    """The same clips, kept out of stopping in these runs, and used in runs of the same options in a benchmark."""
    rows: dict[str, list[Entry]] = {"whole split": [], "in stopping": [], "kept out": []}
    for run in runs:
        data, share = run.data(), run.config.train.calibration_share
        kept = set(_ids(data, calibration_rows(run, data)))
        assert kept == set(_ids(data, divided_validation(data, share)[1]))
        other_folder, other = _twin(run, benchmarks)
        rows["kept out"].append(_on(folder, run, kept))
        rows["in stopping"].append(_on(other_folder, other, kept))
        rows["whole split"].append(_on(other_folder, other, set(_ids(data, data.indices("valid")))))
    return {name: _means(entries) | {"runs": len(entries)} for name, entries in rows.items()}


def _on(folder: Path, run: Run, ids: set[str]) -> Entry:
    """Intervals from these validation clips alone, and the errors there and on the test split."""
    valid, test = _validation(folder, run), _test(folder, run)
    chosen = valid[valid["id"].isin(ids)]
    errors = {"mae_calibration": float(absolute_errors(chosen).mean()), "mae_test": float(absolute_errors(test).mean())}
    return {"clips": chosen["id"].nunique()} | errors | _by_rate(test, _calibrated(chosen))


def _twin(run: Run, benchmarks: Iterable[Path]) -> tuple[Path, Run]:
    """The run of a benchmark with the same model, seed and data, whose whole validation split stops training."""
    for folder in benchmarks:
        for other in _runs(folder).get(run.config.model.name, []):
            same_data = other.info.data.sha256 == run.info.data.sha256
            if same_data and other.config.train.seed == run.config.train.seed:
                return folder, other
    raise SystemExit(f"no benchmark has a run with the model, seed and data of {run.folder}")


def _calibrated(valid: pd.DataFrame) -> Conformal:
    return Conformal.fit(valid, LEVEL)


def _by_rate(test: pd.DataFrame, intervals: Intervals) -> Entry:
    table = coverage_by_rate(test, intervals)
    return {name: table[name].tolist() for name in ("rate", "coverage", "width")}


def _validation(folder: Path, run: Run) -> pd.DataFrame:
    """Predictions for the whole validation split under the conditions of calibration; made on first use."""
    path = folder / "calibration" / f"{run.folder.name}.parquet"
    if not path.exists():
        network = run.load_network()
        examples = run.examples(run.data(), "valid", network)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            predict_under(network, examples, calibration_conditions(examples.modalities)).to_parquet(partial)
    table = pd.read_parquet(path)
    return table[table["label"].notna()]


def _test(folder: Path, run: Run) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions" / f"{run.folder.name}-auilc.parquet")


def _runs(folder: Path) -> dict[str, list[Run]]:
    """Model -> the finished runs of a benchmark."""
    found: dict[str, list[Run]] = {}
    for path in sorted((folder / "runs").iterdir()):
        if (path / "done.json").exists():
            run = Run(path)
            found.setdefault(run.config.model.name, []).append(run)
    return found


def _ids(data: Dataset, rows: np.ndarray) -> list[str]:
    return [data.ids[row] for row in rows]


def _command(folder: Path) -> str:
    return str(read_json(folder / "plan.json")["command"])


def _means(entries: list[Entry]) -> Entry:
    """Means over runs, of numbers and lists of numbers, entry by entry."""
    names = [name for name in entries[0] if all(name in entry for entry in entries)]
    means: Entry = {}
    for name in names:
        values = [entry[name] for entry in entries]
        means[name] = _means(values) if isinstance(values[0], dict) else np.mean(values, axis=0).round(DIGITS).tolist()
    return means


if __name__ == "__main__":
    main()
