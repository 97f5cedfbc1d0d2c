"""What an export is checked on: random views for parity with PyTorch, the validation split for the cost of int8."""

from typing import Any

import numpy as np
import torch

from mitr.batches.views import Steps
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE
from mitr.models.network import Network
from mitr.runs.run import Run

TOLERANCE = 1e-4
BATCHES = ((1, 1), (1, 9), (2, 30), (13, 40))  # samples, longest


def largest_difference(network: Network, exported: Network, dims: dict[str, int], seed: int = 0) -> float:
    """How far the predictions of a run and its export lie apart at most, over random samples.

    Args:
        network: the run's, in evaluation mode.
        exported: its export.
        dims: modality -> the width of its features; of text with an encoder it does not matter.
        seed: of the samples: of many lengths, in part hidden, without modalities, and without anything.

    Raises:
        MitrError: they disagree on what holds nothing, or by more than 1e-4 of the largest prediction (or of 1).
    """
    random = np.random.default_rng(seed)
    worst = 0.0
    for samples, longest in BATCHES:
        view = random_view(random, network, dims, samples, longest)
        with torch.inference_mode():
            ours, theirs = network(view), exported(view)
        apart = float((ours.prediction - theirs.prediction).abs().max())
        worst = max(worst, apart)
        allowed = TOLERANCE * max(1.0, float(ours.prediction.abs().max()))
        if not torch.equal(ours.all_missing, theirs.all_missing) or not apart <= allowed:
            raise MitrError(
                f"the export is not written, since it does not answer as the run does: predictions of random samples "
                f"differ by {apart:.2g}, and at most {allowed:.2g} is allowed. Please report this with the model's name"
            )
    return worst


def random_view(
    random: np.random.Generator, network: Network, dims: dict[str, int], samples: int, longest: int
) -> dict[str, Steps]:
    """A made batch: its first sample is whole, the last has nothing, the others lack modalities and steps."""
    view = {}
    for m, dim in dims.items():
        encoder = network.text if m == "text" else None
        special = encoder is not None or (m == "text" and network.special_tokens)
        lengths = random.integers(1, longest + 1, samples) + 2 * special
        lengths[1:] *= random.random(samples - 1) > 0.25
        steps = np.arange(max(2, lengths.max()))[None]
        valid = steps < lengths[:, None]
        content = (steps > 0) & (steps < lengths[:, None] - 1) if special else valid
        keep = random.random(valid.shape) > np.linspace(0, 1, samples)[:, None]  # the last: nothing
        available = valid & (keep | ~content)
        if encoder is not None:
            values = _ids(random, encoder, valid, content, available)
        else:
            values = random.standard_normal((*valid.shape, dim)).astype(np.float32) * available[:, :, None]
        view[m] = Steps(*(torch.from_numpy(part) for part in (values, valid, available, content)))
    return view


def _ids(
    random: np.random.Generator, text: Any, valid: np.ndarray, content: np.ndarray, available: np.ndarray
) -> np.ndarray:
    ids = random.integers(0, text.vocabulary_size, valid.shape)
    first = np.arange(valid.shape[1])[None] == 0
    ids = np.where(content, ids, np.where(first, text.cls, text.sep))
    return np.where(available, ids, text.unknown) * valid


def cost_of_int8(run: Run, data: Dataset, whole: Network, reduced: Network, split: str = "valid") -> dict[str, Any]:
    """What a split's predictions, from all that its samples have, lose by an int8 text encoder.

    Args:
        run: the run.
        data: its data set.
        whole: its network, or the export in float32.
        reduced: the export with int8.
        split: which samples.

    Returns:
        `split`, `samples`, `labelled`; of labels on a scale: `mae_float32`, `mae_int8` (of the labelled samples),
        `mae_change`, and `mean_difference` and `max_difference` of predictions; of classes: `accuracy_float32`,
        `accuracy_int8`, `accuracy_change`, `changed` (share of samples whose class is another), and the differences are
        of probabilities.
    """
    exact, rough = (predict_under(net, run.examples(data, split, net), [COMPLETE]) for net in (whole, reduced))
    known = exact["label"].notna().to_numpy()
    found: dict[str, Any] = {"split": split, "samples": len(exact), "labelled": int(known.sum())}
    answers = {"float32": exact["prediction"].to_numpy(float), "int8": rough["prediction"].to_numpy(float)}
    labels = exact["label"].to_numpy(float)
    classes = data.info.classes
    name = "mae" if classes is None else "accuracy"
    for kind, answer in answers.items():
        errors = np.abs(answer - labels)[known] if classes is None else (answer == labels)[known]
        found[f"{name}_{kind}"] = float(errors.mean()) if known.any() else None
    if known.any():
        found[f"{name}_change"] = found[f"{name}_int8"] - found[f"{name}_float32"]
    columns = ["prediction"] if classes is None else [f"probability_{c}" for c in classes]
    if classes is not None:
        found["changed"] = float((answers["float32"] != answers["int8"]).mean())
    apart = np.abs(exact[columns].to_numpy() - rough[columns].to_numpy())
    return found | {"mean_difference": float(apart.mean()), "max_difference": float(apart.max())}
