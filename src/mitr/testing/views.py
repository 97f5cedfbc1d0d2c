"""Small random views, with modalities that are absent and steps that are missing, for tests of models."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from mitr.batches.hiding import hide
from mitr.batches.views import Steps, Targets
from mitr.missing import masks

DIMS = {"text": 6, "audio": 5, "vision": 8}
# five samples; no two alike, and each modality is absent from one of them
LENGTHS: dict[str, Sequence[int]] = {"text": (4, 7, 0, 6, 3), "audio": (9, 0, 5, 12, 7), "vision": (6, 8, 10, 0, 4)}
ALL_PRESENT: dict[str, Sequence[int]] = {"text": (4, 7, 5, 6, 3), "audio": (9, 4, 5, 12, 7), "vision": (6, 8, 10, 5, 4)}
GARBAGE = 1e6


def make_steps(lengths: Sequence[int], dim: int, seed: int) -> Steps:
    """Random features (B, T, D), all available, for samples of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.arange(max(2, *lengths))[None] < torch.tensor(lengths)[:, None]
    values = torch.randn(*valid.shape, dim, generator=generator) * valid[:, :, None]
    return Steps(values, valid, valid, valid)


def make_view(lengths: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, Steps]:
    """A complete view of samples of these lengths."""
    return {m: make_steps(lengths[m], DIMS[m], seed + i) for i, m in enumerate(lengths)}


def drop_half(view: Mapping[str, Steps], seed: int = 0) -> dict[str, Steps]:
    """About half of the steps hidden, never all of a sample."""
    generator = np.random.default_rng(seed)
    lengths = {m: steps.valid.sum(dim=1).numpy() for m, steps in view.items()}
    drawn = {m: masks.random_steps(lengths[m], 0.5, generator, steps.valid.shape[1]) for m, steps in view.items()}
    shown = {m: masks.keep_special_tokens(drawn[m], lengths[m]) for m in view}
    return hide(view, shown, torch.arange(len(next(iter(lengths.values())))), unknown_token=0)


def pad(view: Mapping[str, Steps], extra: int, fill: float = 0.0) -> dict[str, Steps]:
    """`extra` further steps of padding, and `fill` in all of the padding."""

    def longer(part: torch.Tensor, value: float) -> torch.Tensor:
        return torch.cat([part, part.new_full((len(part), extra, *part.shape[2:]), value)], dim=1)

    padded = {}
    for m, steps in view.items():
        _, valid, available, content = (longer(part, 0) for part in steps[:4])
        values = longer(steps.values, 0)
        padded[m] = Steps(torch.where(valid[:, :, None], values, fill), valid, available, content)
    return padded


def choose(view: Mapping[str, Steps], rows: Sequence[int]) -> dict[str, Steps]:
    """Some samples of a view."""
    return {m: Steps(*(part[list(rows)] for part in steps[:4])) for m, steps in view.items()}


def take_away(view: Mapping[str, Steps], modality: str, rows: Sequence[int]) -> dict[str, Steps]:
    """The samples `rows` lose a modality; its values stay where they are, as padding."""
    steps = view[modality]
    there = torch.ones_like(steps.valid)
    there[list(rows)] = False
    lost = Steps(steps.values, steps.valid & there, steps.available & there, steps.content & there)
    return {**view, modality: lost}


def targets(labels: torch.Tensor, rows: Sequence[int] | None = None) -> Targets:
    """Targets of all five samples, or of the given rows of them."""
    if rows is None:
        return Targets.plain(labels)
    return Targets(labels[list(rows)], torch.tensor(list(rows)), torch.ones(len(rows)))
