"""What a model is given: a view is a mapping from modality to `Steps`; what is missing is data, not a special case.

B samples, T steps (at least 1, so that a batch without a modality needs no exception), D features.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor


class Steps(NamedTuple):
    """One modality of a batch.

    Attributes:
        values: (B, T, D) features, zero where not available; or (B, T) int64 token ids, unknown where not available.
        valid: (B, T) bool, True inside the true length; an absent modality has none.
        available: (B, T) bool, True where the step was observed; never outside `valid`.
        content: (B, T) bool, `valid` without [CLS] and [SEP].
        summary: (B, D), a text encoder's state of the whole text ([CLS]); None for modalities without one.
    """

    values: Tensor
    valid: Tensor
    available: Tensor
    content: Tensor
    summary: Tensor | None = None

    @property
    def present(self) -> Tensor:
        """(B,) bool: the sample has at least one step of this modality."""
        return self.valid.any(dim=1)

    @property
    def observed(self) -> Tensor:
        """(B,) bool: at least one step with content was observed."""
        return (self.available & self.content).any(dim=1)

    def to(self, device: torch.device) -> "Steps":
        """The same on another device."""
        tensors = {name: tensor for name, tensor in self._asdict().items() if tensor is not None}
        return Steps(**{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


View = Mapping[str, Steps]
NO_LABELS: Mapping[str, Tensor] = MappingProxyType({})


class Batch(NamedTuple):
    """Samples on their way through a model.

    Attributes:
        positions: (B,) int64, place of each sample in its split, which finds its masks.
        labels: (B,) float32, or class indices; NaN where not known.
        view: the complete view, everything that the samples have (the teacher's view).
        incomplete: the complete view without what masks hide (the student's view); without masks, `view` itself.
        unimodal: modality -> labels (B,) of that modality alone, NaN where not known; without modalities not labelled.
    """

    positions: Tensor
    labels: Tensor
    view: View
    incomplete: View
    unimodal: Mapping[str, Tensor] = NO_LABELS


class Targets(NamedTuple):
    """What a model is to learn of a batch.

    Attributes:
        labels: (B,) float32, or class indices; NaN where not known.
        positions: (B,) int64, place of each sample in the train split.
        weights: (B,) float32, how much each sample counts; 1 unless the options say more.
        unimodal: modality -> labels (B,) of that modality alone, NaN where not known; without modalities not labelled.
    """

    labels: Tensor
    positions: Tensor
    weights: Tensor
    unimodal: Mapping[str, Tensor] = NO_LABELS

    @classmethod
    def plain(cls, labels: Tensor, unimodal: Mapping[str, Tensor] = NO_LABELS) -> "Targets":
        """Targets of samples that count alike, numbered in their order."""
        return cls(labels, torch.arange(len(labels), device=labels.device), torch.ones_like(labels), unimodal)

    @property
    def known(self) -> Tensor:
        """(B,) bool: the sample has a label."""
        return self.labels.isfinite()


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch."""
    view = {m: steps.to(device) for m, steps in batch.view.items()}
    incomplete = view
    if batch.incomplete is not batch.view:
        incomplete = {m: steps.to(device) for m, steps in batch.incomplete.items()}
    unimodal = {m: labels.to(device, non_blocking=True) for m, labels in batch.unimodal.items()}
    positions, labels = (tensor.to(device, non_blocking=True) for tensor in (batch.positions, batch.labels))
    return Batch(positions, labels, view, incomplete, unimodal)


def trimmed(steps: Steps) -> Steps:
    """Without the steps that are padding in all samples; two stay, as where samples are padded."""
    longest = max(2, int(steps.valid.sum(dim=1).max()))
    values, valid, available, content = (part[:, :longest] for part in steps[:4])
    return Steps(values, valid, available, content, steps.summary)


def without_cls(steps: Steps) -> Steps:
    """Make the first step, [CLS], the summary of the others."""
    values, valid, available, content = (part[:, 1:] for part in steps[:4])
    return Steps(values, valid, available, content, steps.values[:, 0])


def with_cls(steps: Steps) -> Steps:
    """Make the summary the first step again, an observed one without content; steps without a summary stay."""
    if steps.summary is None:
        return steps
    present = steps.present[:, None]
    values = torch.cat([steps.summary[:, None], steps.values], dim=1)
    valid, available = (torch.cat([present, mask], dim=1) for mask in (steps.valid, steps.available))
    content = torch.cat([torch.zeros_like(present), steps.content], dim=1)
    return Steps(values, valid, available, content)


def in_front(steps: Steps) -> Steps:
    """Move the valid steps of each sample to its front, in their order: models take padding to be behind."""
    step = torch.arange(steps.valid.shape[1], device=steps.valid.device)
    order = torch.where(steps.valid, step, step + steps.valid.shape[1]).argsort(dim=1)  # no two keys are alike
    valid, available, content = (part.gather(1, order) for part in steps[1:4])
    values = steps.values.gather(1, order[:, :, None].expand_as(steps.values)) * valid[:, :, None]
    return Steps(values, valid, available, content, steps.summary)


def all_missing(view: View) -> Tensor:
    """(B,) bool: nothing of the sample was observed in any modality."""
    return ~torch.stack([steps.observed for steps in view.values()]).any(dim=0)
