"""Fit a model that has a solution in closed form: data, masks and choice on validation as in the training loop."""

import time

import numpy as np
import torch

from mitr.batches.examples import Examples
from mitr.evaluation.metrics import compute
from mitr.missing import schedules
from mitr.missing.schedules import Masks
from mitr.models.network import Network
from mitr.models.yardsticks import Solved
from mitr.runs.config import RunConfig
from mitr.runs.history import EpochRow

DRAWS = 5  # epochs whose masks the solution is fitted on, where masks differ between epochs
BATCH = 64


def solve(network: Network, train: Examples, valid: Examples, config: RunConfig) -> EpochRow:
    """Set the network's model to the candidate with the best validation score.

    Returns:
        The row of the history.

    Raises:
        ValueError: the model has no closed form.
    """
    model = network.model
    if not isinstance(model, Solved):
        raise ValueError(f"{type(model).__name__} is trained by steps")
    started = time.perf_counter()
    network.eval()
    draws = DRAWS if config.missing.schedule in ("random-rate", "fresh") else 1
    shown = [
        _features(network, train, schedules.for_epoch(config.missing, train.extents(), config.train.seed, epoch))
        for epoch in range(draws)
    ]
    known = np.tile(np.isfinite(train.labels), draws)
    candidates = model.solutions(np.concatenate(shown)[known], np.tile(train.labels, draws)[known].astype(np.float64))
    checks = [
        _features(network, valid, masks) for masks in schedules.for_validation(config.missing, valid.extents()).values()
    ]
    scored = [(_scores(valid, [x @ weight + bias for x in checks]), weight, bias) for weight, bias in candidates]
    chosen = "corr" if config.train.select == "corr" else "mae"  # the loss is the MAE here
    scores, weight, bias = min(scored, key=lambda s: -s[0]["corr"] if chosen == "corr" else s[0]["mae"])
    model.weight.copy_(torch.from_numpy(weight))
    model.bias.copy_(torch.tensor(bias))
    row: EpochRow = {"epoch": 0, "best": True, "seconds": round(time.perf_counter() - started, 3)}
    return row | {f"valid_{name}": value for name, value in scores.items()}


def _features(network: Network, examples: Examples, masks: Masks) -> np.ndarray:
    assert isinstance(network.model, Solved)
    if not network.model.weight.numel():  # a constant needs no encoded text
        return np.zeros((len(examples), 0))
    batches = list(examples.batches(BATCH, masks))
    network.prepare([batch.incomplete for batch in batches])
    with torch.inference_mode():
        rows = [network.model.features(network.encode(batch.incomplete)).double().numpy() for batch in batches]
    order = torch.cat([batch.positions for batch in batches]).numpy()
    return np.concatenate(rows)[np.argsort(order)]


def _scores(valid: Examples, predictions: list[np.ndarray]) -> dict[str, float]:
    scale, known = valid.data.info.scale, np.isfinite(valid.labels)
    scores = [compute(scale, p[known], valid.labels[known]) for p in predictions]
    return {name: float(np.mean([values[name] or 0.0 for values in scores])) for name in ("mae", "corr")}
