"""A run's prediction intervals: calibrated on its validation split once, and kept in its folder."""

from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.conformal import Conformal, calibration_conditions
from mitr.evaluation.predicting import predict_under
from mitr.files import read_json, sha256, write_json
from mitr.models.network import Network
from mitr.training.run import Run

FILE = "conformal.json"


def calibrated(
    run: Run, level: float = 0.9, *, data: Dataset | None = None, network: Network | None = None
) -> Conformal:
    """The intervals of a run, from `conformal.json` of its folder, or made and written there.

    Args:
        run: a trained run. Intervals that were made for other weights of it are made again.
        level: share of new clips whose label the interval is to contain, in (0, 1).
        data: the data set that the run was trained on; None: at the place that the run remembers.
        network: the run's, if it is at hand.

    Raises:
        MitrError: labels are classes, the data are not those of the run, or too few validation clips have a label.
    """
    path = run.folder / FILE
    weights = run.folder / "model.safetensors"
    if not weights.exists():
        raise MitrError(f"{run.folder} has no model yet: train it to its first epoch at least")
    made_for = {"level": level, "model": sha256(weights), "data": run.about["data"]["sha256"]}
    if path.exists():
        known = read_json(path)
        if {name: known.get(name) for name in made_for} == made_for:
            return Conformal.from_json(known.get("intervals"), str(path))
    dataset = data or run.data()
    if dataset.info.content_sha256 != made_for["data"]:
        raise MitrError(f"{dataset.folder} is not the data set of {run.folder}, whose validation split calibrates it")
    if dataset.info.classes is not None:
        raise MitrError(f"{dataset.folder}: intervals are for labels on a scale, and its labels are classes")
    network = network or run.network()
    examples = run.examples(dataset, "valid", network)
    table = predict_under(network, examples, calibration_conditions(examples.modalities))
    found = Conformal.fit(table, level)
    write_json(path, made_for | {"intervals": found.to_json()})
    return found
