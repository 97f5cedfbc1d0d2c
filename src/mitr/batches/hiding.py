"""The incomplete view of a batch: the complete one without the steps and modalities that masks hide."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mitr.batches.views import Steps, View
from mitr.missing.masks import Mask


def hide(view: View, masks: Mapping[str, Mask], positions: Tensor, unknown_token: int) -> dict[str, Steps]:
    """The incomplete view: hidden rows become zero, hidden tokens unknown, absent modalities lose all steps.

    Args:
        view: the complete view, on the CPU; it is left as it is.
        masks: modality -> Mask over all N samples of the split.
        positions: (B,) int64 rows of the masks that belong to this batch.
        unknown_token: id of the tokenizer's unknown token.
    """
    rows = positions.numpy()
    hidden: dict[str, Steps] = {}
    for m, steps in view.items():
        width = min(steps.valid.shape[1], masks[m].keep.shape[1])  # beyond the masks' width all steps are padding
        keep = torch.zeros_like(steps.valid)
        keep[:, :width] = torch.from_numpy(masks[m].keep[rows, :width])
        absent = torch.from_numpy(masks[m].absent[rows])[:, None]
        valid = steps.valid & ~absent
        available = steps.available & keep & valid
        if steps.values.is_floating_point():
            values = steps.values * available[:, :, None]
        else:
            values = torch.where(available, steps.values, torch.full_like(steps.values, unknown_token))
            values = values * valid
        hidden[m] = Steps(values, valid, available, steps.content & valid)
    return hidden
