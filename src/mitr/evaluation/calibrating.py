"""A run's prediction intervals: calibrated on its validation split once, and kept in its folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.store import Dataset
from mitr.data.videos import divided_validation
from mitr.errors import MitrError
from mitr.evaluation.conformal import FORMAT, Conformal, clips_needed
from mitr.evaluation.curves import intervals_from_json
from mitr.evaluation.intervals import Intervals
from mitr.evaluation.predicting import predict_under
from mitr.files import read_json, sha256, write_json
from mitr.missing.calibration import calibration_conditions
from mitr.models.network import Network
from mitr.runs.run import Run

FILE = "conformal.json"
LEVEL = 0.9  # of prediction intervals, unless another is asked for


def calibrated(
    run: Run, level: float = LEVEL, *, data: Dataset | None = None, network: Network | None = None
) -> Conformal:
    """The intervals of a run, from `conformal.json` of its folder, or made and written there.

    They are calibrated on the validation split, or on the videos of it that `train.calibration_share` kept out of
    stopping and of the choice of the epoch.

    Args:
        run: a trained run. Intervals that were made for other weights, or by an older version, are made again.
        level: share of new clips whose label the interval is to contain, in (0, 1).
        data: the data set that the run was trained on; None: at the place that the run remembers.
        network: the run's, if it is at hand.

    Raises:
        MitrError: labels are classes, the data are not those of the run, or too few validation clips have a label.
    """
    path, weights = run.folder / FILE, run.weights
    if not weights.exists():
        raise MitrError(f"{run.folder} has no model yet: train it to its first epoch at least")
    made_for = {"level": level, "model": sha256(weights), "data": run.info.data.sha256}
    kept = read_json(path) if path.exists() else None
    if isinstance(kept, dict) and {name: kept.get(name) for name in made_for} == made_for and not _older(kept):
        return Conformal.from_json(kept.get("intervals"), str(path))
    dataset = data or run.data()
    if dataset.info.content_sha256 != made_for["data"]:
        raise MitrError(f"{dataset.folder} is not the data set of {run.folder}, whose validation split calibrates it")
    if dataset.info.classes is not None:
        raise MitrError(f"{dataset.folder}: intervals are for labels on a scale, and its labels are classes")
    network = network or run.load_network()
    examples = run.examples(dataset, "valid", network, calibration_rows(run, dataset))
    table = predict_under(network, examples, calibration_conditions(examples.modalities))
    intervals = Conformal.fit(table, level)
    with suppress(OSError):  # a run that may only be read has them made anew each time
        write_json(path, made_for | {"intervals": intervals.to_json()})
    return intervals


def calibrate_if_possible(run: Run, data: Dataset, level: float = LEVEL) -> Conformal | None:
    """`calibrated`, or None where the validation split cannot."""
    return calibrated(run, level, data=data) if can_calibrate(run, data, level) else None


def calibration_rows(run: Run, data: Dataset) -> np.ndarray:
    """The rows of the data set whose clips calibrate the intervals of a run."""
    return divided_validation(data, run.config.train.calibration_share)[1]


def can_calibrate(run: Run, data: Dataset, level: float = LEVEL) -> bool:
    """Labels lie on a scale, and the clips that calibrate the intervals of a run have enough of them for a level."""
    labels = data.labels[calibration_rows(run, data)]
    return data.info.classes is None and int(np.isfinite(labels).sum()) >= clips_needed(level)


def carried(run: Run) -> tuple[float, Intervals] | None:
    """The wanted level and the intervals in the folder of a run, if they were made for its weights.

    Intervals that an older version made answer as they did with it.
    """
    path, weights = run.folder / FILE, run.weights
    if not path.exists() or not weights.exists():
        return None
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("model") != sha256(weights):
        return None
    level = kept.get("level")
    if not isinstance(level, float) or not 0 < level < 1:
        raise MitrError(f"{path} is damaged (level {level!r}); delete it, and the run calibrates itself again")
    return level, read_intervals(path)


def read_intervals(path: Path) -> Intervals:
    """The intervals in a `conformal.json` of this or an older version.

    Raises:
        MitrError: there are none.
    """
    kept = read_json(path)
    return intervals_from_json(kept.get("intervals") if isinstance(kept, dict) else None, str(path))


def _older(kept: dict[str, Any]) -> bool:
    """The intervals of a file are of an older format than this version writes."""
    intervals = kept.get("intervals")
    written = intervals.get("format") if isinstance(intervals, dict) else None
    return isinstance(written, int) and written < FORMAT
