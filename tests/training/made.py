"""A model of one linear layer that records what the training loop gives it, and trainers of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mitr.batches.examples import Examples
from mitr.batches.views import Targets, View
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.losses.masked import l1
from mitr.missing.schedules import Masks
from mitr.models.base import Model
from mitr.models.network import Network
from mitr.runs.building import network_info
from mitr.runs.config import RunConfig
from mitr.training.loop import Trainer
from mitr.training.settling import settle


class Recorder(Model):
    """Predicts from the mean of all features, and keeps the views, targets and calls of the training loop.

    Args:
        dims: modality -> feature width.
        weight: of its only loss term.

    Attributes:
        answered: views that were asked for predictions alone.
        taught: (complete view, incomplete view, targets) of every call of `losses`.
        calls: names of the calls, in order; `losses` and `answer` with the mode of the model.
    """

    def __init__(self, dims: Mapping[str, int], weight: float = 1.0):
        super().__init__(dims)
        torch.manual_seed(0)
        self.layer = nn.Linear(sum(dims.values()), 1)
        self.weight = weight
        self.answered: list[View] = []
        self.taught: list[tuple[View, View, Targets]] = []
        self.calls: list[str] = []

    def forward(self, view: View) -> Tensor:
        self.calls.append(f"answer in {self._mode()}")
        self.answered.append(view)
        return self._predicted(view)

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: Model | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls.append(f"losses in {self._mode()}")
        self.taught.append((complete, incomplete, targets))
        prediction = self._predicted(incomplete)
        return prediction, {"task_student": l1(prediction, targets.labels, targets.known, targets.weights)}

    def weight_of(self, term: str) -> float:
        return self.weight

    def begin(self, targets: Targets) -> None:
        self.calls.append(f"begin with {len(targets.labels)}")

    def begin_epoch(self, epoch: int) -> None:
        self.calls.append(f"epoch {epoch}")

    def after_step(self) -> None:
        self.calls.append("step")

    def _predicted(self, view: View) -> Tensor:
        means = [steps.values.sum(dim=1) / steps.values.shape[1] for steps in view.values()]
        return self.layer(torch.cat(means, dim=1)).squeeze(1)

    def _mode(self) -> str:
        return "training" if self.training else "evaluation"


class Counter(Recorder):
    """Predicts the number of observed steps of all modalities, so that it answers differently about every view."""

    def _predicted(self, view: View) -> Tensor:
        counted = sum(steps.available.sum(dim=1) for steps in view.values()) / 100
        return counted + 0 * self.layer.weight.sum()


def splits(data: Dataset, config: RunConfig) -> tuple[Examples, Examples]:
    """The train and the validation split of data without raw text."""
    normalizer = Normalizer.fit(data, config.normalize)
    train, valid = (Examples(data, data.indices(split), normalizer, None) for split in ("train", "valid"))
    return train, valid


def trainer(data: Dataset, folder: Path, config: RunConfig, model: Model | None = None) -> Trainer:
    """A trainer of `model`, or of a `Recorder`, in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = settle(config, data.info)
    network = Network(model or Recorder(dims_of(data)))
    return Trainer(network, *splits(data, config), config, folder, network_info(data, config), quiet=True)


def dims_of(data: Dataset) -> dict[str, int]:
    """Modality -> feature width."""
    return {m: about.dim or 0 for m, about in data.info.modalities.items()}


def counted(examples: Examples, masks: Masks) -> np.ndarray:
    """What `Counter` predicts of each sample of a split under masks, (N,), from the store and the masks alone."""
    total = np.zeros(len(examples))
    for position in range(len(examples)):
        for m, (_, available) in examples[position][1].items():
            if not masks[m].absent[position]:
                total[position] += (available & masks[m].keep[position, : len(available)]).sum()
    return total / 100
