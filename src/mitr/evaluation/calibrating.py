"""A run's prediction intervals: calibrated on its validation split once, and kept in its folder."""

from contextlib import suppress

import numpy as np
import pandas as pd

from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.conformal import Conformal, calibration_conditions, clips_needed
from mitr.evaluation.predicting import predict_under
from mitr.files import read_json, sha256, write_json
from mitr.models.network import Network
from mitr.runs.run import Run

FILE = "conformal.json"
LEVEL = 0.9  # of prediction intervals, unless another is asked for
BETWEEN = "$_$"  # stands between video and clip in MMSA's ids
FEWEST_VIDEOS, PARTS = 5, 10
STEP = 0.005  # between the levels that are tried


def calibrated(
    run: Run, level: float = LEVEL, *, data: Dataset | None = None, network: Network | None = None
) -> Conformal:
    """The intervals of a run, from `conformal.json` of its folder, or made and written there.

    Args:
        run: a trained run. Intervals that were made for other weights of it are made again.
        level: share of new clips whose label the interval is to contain, in (0, 1).
        data: the data set that the run was trained on; None: at the place that the run remembers.
        network: the run's, if it is at hand.

    Returns:
        The intervals; their own `level` is higher than the wanted one where clips of a video are alike
        (`level_across_videos`).

    Raises:
        MitrError: labels are classes, the data are not those of the run, or too few validation clips have a label.
    """
    path, weights = run.folder / FILE, run.weights
    if not weights.exists():
        raise MitrError(f"{run.folder} has no model yet: train it to its first epoch at least")
    made_for = {"level": level, "model": sha256(weights), "data": run.info.data.sha256}
    if path.exists():
        known = read_json(path)
        if isinstance(known, dict) and {name: known.get(name) for name in made_for} == made_for:
            return Conformal.from_json(known.get("intervals"), str(path))
    dataset = data or run.data()
    if dataset.info.content_sha256 != made_for["data"]:
        raise MitrError(f"{dataset.folder} is not the data set of {run.folder}, whose validation split calibrates it")
    if dataset.info.classes is not None:
        raise MitrError(f"{dataset.folder}: intervals are for labels on a scale, and its labels are classes")
    network = network or run.load_network()
    examples = run.examples(dataset, "valid", network)
    table = predict_under(network, examples, calibration_conditions(examples.modalities))
    found = Conformal.fit(table, level_across_videos(table, level))
    with suppress(OSError):  # a run that may only be read has them made anew each time
        write_json(path, made_for | {"intervals": found.to_json()})
    return found


def calibrate_if_possible(run: Run, data: Dataset, level: float = LEVEL) -> Conformal | None:
    """`calibrated`, or None where the validation split cannot: its labels are classes, or too few."""
    if data.info.classes is not None or not enough_clips(data, level):
        return None
    return calibrated(run, level, data=data)


def enough_clips(data: Dataset, level: float = LEVEL) -> bool:
    """The validation split has enough labelled clips to calibrate intervals of a level."""
    labelled = np.isfinite(data.labels[data.indices("valid")])
    return int(labelled.sum()) >= clips_needed(level)


def carried(run: Run) -> tuple[float, Conformal] | None:
    """The wanted level and the intervals in the folder of a run, if they were made for its weights."""
    path, weights = run.folder / FILE, run.weights
    if not path.exists() or not weights.exists():
        return None
    known = read_json(path)
    if not isinstance(known, dict) or known.get("model") != sha256(weights):
        return None
    level = known.get("level")
    if not isinstance(level, float) or not 0 < level < 1:
        raise MitrError(f"{path} is damaged (level {level!r}); delete it, and the run calibrates itself again")
    return level, Conformal.from_json(known.get("intervals"), str(path))


def level_across_videos(table: pd.DataFrame, level: float) -> float:
    """The level at which intervals calibrated on some videos contain `level` of the labels of other videos.

    Clips of one video have a speaker and a topic in common, so they are not exchangeable with those of another video,
    as conformal prediction takes them to be. The videos of the validation split are therefore put into up to ten parts;
    each part is predicted with intervals from the others, and the level is raised until that covers enough.

    Args:
        table: rows of `predict_under` under `calibration_conditions`.
        level: the wanted one, in (0, 1).

    Returns:
        `level` itself where ids name no videos or too few.
    """
    table = table[table["label"].notna()]
    video = table["id"].str.rpartition(BETWEEN)[0]
    code, names = pd.factorize(video)
    if len(names) < FEWEST_VIDEOS or (video == "").any():
        return level
    part = code % min(PARTS, len(names))
    clips = [table.loc[part != p, "id"].nunique() for p in np.unique(part)]
    weight = 1 / table["id"].map(table["id"].value_counts()).to_numpy(float)
    raised = level
    while raised < 1 - STEP and clips_needed(raised + STEP) <= min(clips):
        inside = np.empty(len(table), bool)
        for p in np.unique(part):
            inside[part == p] = Conformal.fit(table[part != p], raised).contains(table[part == p])
        if np.average(inside, weights=weight) >= level:
            return raised
        raised = round(raised + STEP, 6)
    return raised
