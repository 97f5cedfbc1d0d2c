"""From a trained network and masks to a table of predictions."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from mitr.config import PUBLISHED_SEEDS
from mitr.data.schema import MODALITIES
from mitr.examples import Batches, Examples
from mitr.missing.protocols import Condition, at_rates
from mitr.missing.schedules import Masks
from mitr.models.network import Network, Output
from mitr.views import Batch, View, hide, to_device


def predict_under(
    network: Network,
    examples: Examples,
    conditions: Sequence[Condition],
    *,
    batch_size: int = 64,
    tick: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Predict a split under several conditions of a protocol.

    Args:
        network: in evaluation mode.
        examples: the split.
        conditions: ways in which the split is incomplete.
        batch_size: samples a batch.
        tick: called after each batch.

    Returns:
        One row per sample and condition: `id, condition, axis, rate` (the condition's level, NaN where it has none),
        `label, prediction` (and `probability_<class>`), `all_missing` and `observed_<modality>`, the share of the
        sample's steps (text: without [CLS] and [SEP]) that the model saw, 0 where the modality is absent.
    """
    extents = examples.extents()
    tables = []
    for condition in conditions:
        masks = condition.masks(extents)
        if network.remembers_texts:
            texts = (view["text"] for _, _, view in _shown(network, examples, masks, batch_size))
            network.prepare([{"text": steps} for steps in texts])
        parts = []
        order: list[int] = []
        for positions, batch, view in _shown(network, examples, masks, batch_size):
            order += positions
            with torch.inference_mode():
                output = network(view)
            part = answered(output, examples.data.info.classes) | {"all_missing": output.all_missing.cpu().numpy()}
            parts.append(pd.DataFrame(part | observed_shares(batch.view, view)))
            tick()
        level = np.nan if condition.level is None else condition.level
        about = {"condition": condition.name, "axis": condition.axis, "rate": level}
        known = pd.DataFrame({"id": examples.ids} | about | {"label": examples.labels})
        answers = pd.concat(parts, ignore_index=True).set_axis(order).sort_index()
        tables.append(pd.concat([known, answers], axis=1))
    return pd.concat(tables, ignore_index=True)


def _shown(
    network: Network, examples: Examples, masks: Masks, batch_size: int
) -> Iterator[tuple[list[int], Batch, View]]:
    for positions in Batches(examples.costs(), batch_size):
        batch = to_device(examples.collate([examples[p] for p in positions]), network.prior.device)
        yield positions, batch, hide(batch.view, masks, batch.positions, examples.unknown)


def predict_at_rates(
    network: Network,
    examples: Examples,
    rates: Sequence[float],
    *,
    seeds: tuple[int, int, int] = PUBLISHED_SEEDS,
    batch_size: int = 64,
    tick: Callable[[], None] = lambda: None,
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
