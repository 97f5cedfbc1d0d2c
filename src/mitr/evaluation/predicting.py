"""From a trained network and masks to a table of predictions."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from mitr.config import PUBLISHED_SEEDS
from mitr.data.schema import MODALITIES
from mitr.examples import Batches, Examples
from mitr.missing import schedules
from mitr.models.network import Network
from mitr.views import View, hide, to_device


def predict_at_rates(
    network: Network,
    examples: Examples,
    rates: Sequence[float],
    *,
    seeds: tuple[int, int, int] = PUBLISHED_SEEDS,
    batch_size: int = 64,
    tick: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Predict a split at several missing rates, with the published masks.

    Args:
        network: in evaluation mode.
        examples: the split.
        rates: shares of steps to hide, the same in all modalities.
        seeds: of the masks for text, audio and vision.
        batch_size: samples a batch.
        tick: called after each batch.

    Returns:
        One row per sample and rate: `id, rate, label, prediction, all_missing` and `observed_<modality>`, the share of
        the sample's steps (text: without [CLS] and [SEP]) that the model saw, 0 where the modality is absent.
    """
    extents = examples.extents()
    tables = []
    for rate in rates:
        masks = schedules.at_rate(extents, rate, seeds)
        parts = []
        order: list[int] = []
        for positions in Batches(examples.costs(), batch_size):
            order += positions
            batch = to_device(examples.collate([examples[p] for p in positions]), network.prior.device)
            view = hide(batch.view, masks, batch.positions, examples.unknown)
            with torch.inference_mode():
                output = network(view)
            part = {
                "prediction": output.prediction.float().cpu().numpy(),
                "all_missing": output.all_missing.cpu().numpy(),
            }
            parts.append(pd.DataFrame(part | observed_shares(batch.view, view)))
            tick()
        known = pd.DataFrame({"id": examples.ids, "rate": rate, "label": examples.labels})
        answers = pd.concat(parts, ignore_index=True).set_axis(order).sort_index()
        tables.append(pd.concat([known, answers], axis=1))
    return pd.concat(tables, ignore_index=True)


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
