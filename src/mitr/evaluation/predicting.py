"""From a trained network and masks to a table of predictions."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from mitr.batches.examples import Examples
from mitr.batches.hiding import hide
from mitr.batches.views import View, to_device, trimmed
from mitr.config import PUBLISHED_SEEDS
from mitr.data.schema import MODALITIES
from mitr.evaluation.distinct_views import DistinctViews
from mitr.missing.protocols import Condition, at_rates
from mitr.models.network import Network, Output


def predict_under(
    network: Network,
    examples: Examples,
    conditions: Sequence[Condition],
    *,
    batch_size: int = 64,
    tick: Callable[[int], None] = lambda answers: None,
) -> pd.DataFrame:
    """Predict a split under several conditions of a protocol.

    A view of a sample that several conditions show alike is predicted once, and batches hold views of about the same
    length whatever their condition. So an answer may differ by rounding from the one that the condition alone gives.

    Args:
        network: in evaluation mode.
        examples: the split.
        conditions: ways in which the split is incomplete.
        batch_size: samples a batch.
        tick: called after each batch with the number of rows that it answers.

    Returns:
        One row per sample and condition: `id, condition, axis, rate` (the condition's level, NaN where it has none),
        `label, prediction` (and `probability_<class>`), `all_missing` and `observed_<modality>`, the share of the
        sample's steps (text: without [CLS] and [SEP]) that the model saw, 0 where the modality is absent.
    """
    views = DistinctViews(examples, conditions, network.text is not None and network.text.skip_hidden)
    rows_of = np.bincount(views.same, minlength=len(views.same))
    if network.remembers_texts:
        network.prepare(*([{"text": steps} for steps in batches] for batches in views.text_sets(batch_size)))
    parts = []
    for numbers in views.batches(batch_size):
        complete, view = _shown(views, numbers, network.prior.device)
        with torch.inference_mode():
            output = network(view)
        part = answered(output, examples.data.info.classes) | {"all_missing": output.all_missing.cpu().numpy()}
        parts.append(pd.DataFrame(part | observed_shares(complete, view)).set_axis(numbers))
        tick(int(rows_of[numbers].sum()))
    answers = pd.concat(parts).loc[views.same].reset_index(drop=True)
    levels = [np.nan if condition.level is None else condition.level for condition in conditions]
    known = {
        "id": examples.ids * len(conditions),
        "condition": np.repeat([condition.name for condition in conditions], len(examples)),
        "axis": np.repeat([condition.axis for condition in conditions], len(examples)),
        "rate": np.repeat(levels, len(examples)),
        "label": np.tile(examples.labels, len(conditions)),
    }
    return pd.concat([pd.DataFrame(known), answers], axis=1)


def _shown(views: DistinctViews, numbers: np.ndarray, device: torch.device) -> tuple[View, View]:
    """The complete samples of some views, and what is left of them."""
    examples, positions = views.examples, views.positions(numbers)
    loaded = {position: examples[position] for position in dict.fromkeys(positions)}
    batch = to_device(examples.collate([loaded[position] for position in positions]), device)
    view = hide(batch.view, views.masks(numbers), torch.arange(len(numbers)), examples.unknown)
    return batch.view, {m: trimmed(steps) for m, steps in view.items()}


def predict_at_rates(
    network: Network,
    examples: Examples,
    rates: Sequence[float],
    *,
    seeds: tuple[int, int, int] = PUBLISHED_SEEDS,
    batch_size: int = 64,
    tick: Callable[[int], None] = lambda answers: None,
) -> pd.DataFrame:
    """`predict_under` the published masks of these seeds at several rates, without `condition` and `axis`."""
    table = predict_under(network, examples, at_rates(rates, seeds), batch_size=batch_size, tick=tick)
    return table.drop(columns=["condition", "axis"])


def answered(output: Output, classes: Sequence[str] | None) -> dict[str, np.ndarray]:
    """`prediction` -> (B,); where labels are classes that is an index, and `probability_<class>` -> (B,) go with it."""
    columns = {"prediction": output.label.float().cpu().numpy()}
    if classes is not None:
        shares = output.prediction.float().softmax(dim=1).cpu().numpy()  # (B, C)
        columns |= {f"probability_{name}": shares[:, i] for i, name in enumerate(classes)}
    return columns


def observed_shares(complete: View, shown: View) -> dict[str, np.ndarray]:
    """`observed_<modality>` -> (B,), the share of each sample's content that is shown; 0 for modalities it lacks."""
    shares: dict[str, np.ndarray] = {}
    for m in MODALITIES:
        if m not in shown:
            shares[f"observed_{m}"] = np.zeros(len(next(iter(shown.values())).valid))
            continue
        content = complete[m].content.sum(dim=1)
        seen = (shown[m].available & shown[m].content).sum(dim=1)
        shares[f"observed_{m}"] = (seen / content.clamp(min=1)).cpu().numpy()
    return shares
