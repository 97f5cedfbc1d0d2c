"""The yardsticks that every table needs: the mean of the training labels, and a ridge regression on time averages.

They are models like any other, but are solved and not trained by steps (`mitr.training.solving`).
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mitr.batches.views import View
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions
from mitr.nn.masked import masked_mean

PENALTIES: tuple[float, ...] = tuple(np.logspace(0, 5, 21).tolist())


class Solved(Model[ModelOptions]):
    """A model with a solution in closed form, one for each of its candidate settings.

    Attributes:
        weight: (F,) the chosen solution; (0,) for a constant.
        bias: ().
    """

    learns_classes = False
    weight: Tensor
    bias: Tensor

    def __init__(
        self, dims: dict[str, int], options: ModelOptions | None = None, task: Task | None = None, width: int = 0
    ):
        super().__init__(dims, options, task)
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("bias", torch.zeros(()))

    @abstractmethod
    def solutions(self, features: np.ndarray, labels: np.ndarray) -> Sequence[tuple[np.ndarray, float]]:
        """Candidate (weight (F,), bias) of features (n, F) and labels (n,); validation chooses among them."""

    def features(self, view: View) -> Tensor:
        """A view -> (B, F)."""
        return next(iter(view.values())).values.new_zeros((next(iter(view.values())).valid.shape[0], 0))

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.features(view) @ self.weight + self.bias

    def weight_of(self, term: str) -> float:
        """There is one term."""
        return 1.0


class MeanLabel(Solved):
    """The mean of the training labels, whatever is shown."""

    def solutions(self, features: np.ndarray, labels: np.ndarray) -> Sequence[tuple[np.ndarray, float]]:
        """One candidate."""
        return [(np.zeros(0), float(labels.mean()))]

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.bias.expand(next(iter(view.values())).valid.shape[0])


class Ridge(Solved):
    """Ridge regression on each modality's average over time, joined; what is hidden or absent counts as it is shown:
    zero rows, or the states of unknown tokens.
    """

    def __init__(self, dims: dict[str, int], options: ModelOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task, sum(dims.values()))

    def features(self, view: View) -> Tensor:
        """(B, F), F the widths of all modalities together."""
        return torch.cat([masked_mean(view[m].values, view[m].valid).float() for m in self.dims], dim=1)

    def solutions(self, features: np.ndarray, labels: np.ndarray) -> Sequence[tuple[np.ndarray, float]]:
        """One candidate a penalty, on standardised features."""
        centre, spread = features.mean(axis=0), features.std(axis=0)
        scale = np.where(spread > 1e-8, spread, 1.0)
        x, y = (features - centre) / scale, labels - labels.mean()
        values, vectors = np.linalg.eigh(x.T @ x)
        turned = vectors.T @ (x.T @ y)
        found = []
        for penalty in PENALTIES:
            weight = vectors @ (turned / (np.maximum(values, 0) + penalty)) / scale
            found.append((weight, float(labels.mean() - centre @ weight)))
        return found
