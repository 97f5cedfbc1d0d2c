"""What every model offers. A subclass writes its options, its layers and `forward`; all else has a default."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Literal

import torch
from torch import Tensor, nn

from mitr.batches.views import Targets, View, all_missing
from mitr.losses.task import Task
from mitr.models.options import LOSS, ModelOptions, OptionsT


class Model(nn.Module, ABC, Generic[OptionsT]):
    """A model over encoded views: text arrives as states or embeddings, like audio and vision.

    Args:
        dims: modality -> its feature width, for the modalities that the data set has.
        options: an `options_class`; None: its defaults.
        task: what is predicted; None: one number, by its absolute error.

    Attributes:
        options_class: the dataclass of the model's options; `ModelOptions` itself has none.
        defined_for: the modalities that the model is defined for; None: any.
        hidden_tokens: what its text encoder reads where a token is hidden, if `text.hidden` is `auto`.
        learns_classes: it can be given a classification as its task.
        learns_unimodal: it learns from labels of single modalities (`Targets.unimodal`), weighted by `loss.unimodal`.
        own_rates: the `nn.ModuleDict` whose audio and vision members have learning rates of their own.
    """

    options_class: ClassVar[type[ModelOptions]] = ModelOptions
    defined_for: ClassVar[tuple[str, ...] | None] = None
    hidden_tokens: ClassVar[Literal["unknown", "skip"]] = "unknown"
    learns_classes: ClassVar[bool] = True
    learns_unimodal: ClassVar[bool] = False
    own_rates: ClassVar[str | None] = None
    options: OptionsT

    def __init__(self, dims: dict[str, int], options: OptionsT | None = None, task: Task | None = None):
        super().__init__()
        self.dims = dims
        defaults: Any = self.options_class
        self.options = defaults() if options is None else options
        self.task = task or Task()

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """A view -> predictions, in the shape that the task gives them: (B,) for a regression, (B, C) for classes."""

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions of the incomplete view and the unweighted loss terms by name.

        Here those of a supervised model: the error of the incomplete view's predictions, under the name `task_student`.

        Args:
            complete: all that the samples have; it may itself lack modalities and steps.
            incomplete: what is left of it.
            targets: labels (B,), NaN where not known, and weights.
            teacher: a frozen model of the same class for the complete view, which only a model with `TeacherOptions`
                is given.
        """
        prediction = self(incomplete)
        return prediction, {"task_student": self.task_loss(prediction, complete, targets)}

    def task_loss(self, prediction: Tensor, complete: View, targets: Targets) -> Tensor:
        """The task's mean error over the samples that have a label and of which anything was observed."""
        return self.task.loss(prediction, targets, ~self.nothing_observed(complete))

    def score(self, head: nn.Module, hidden: Tensor) -> Tensor:
        """The task's answer from the last layer, in float32: bfloat16 would leave a score two or three digits.

        Args:
            head: the last layer, (B, H) -> (B, outputs).
            hidden: (B, H), in any floating-point type.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            return self.task.answer(head(hidden.float()))

    def weight_of(self, term: str) -> float:
        """The weight of a loss term in the total: the option `loss_<term>`, the term with or without its modality.

        Raises:
            AttributeError: the options have no weight for this term.
        """
        name = f"{LOSS}{term}"
        weight: float = getattr(self.options, name if hasattr(self.options, name) else name.rpartition("_")[0])
        return weight

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by learning rate: `audio` and `vision` (their members of `own_rates`), and all `other`."""
        modules: Any = getattr(self, self.own_rates) if self.own_rates else {}
        groups = {m: list(modules[m].parameters()) for m in ("audio", "vision") if m in modules}
        special = {id(p) for group in groups.values() for p in group}
        return groups | {"other": [p for p in self.parameters() if id(p) not in special]}

    def begin(self, targets: Targets) -> None:
        """Called once before training, with the targets of the whole train split in its order."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch, numbered from 0."""

    def after_step(self) -> None:
        """Called after each step of the optimiser."""

    def training_state(self) -> dict[str, Tensor]:
        """What a resumed training needs beyond the weights, by name; it is not part of the trained model."""
        return {}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Take up what `training_state` gave; called after `begin`."""

    @staticmethod
    def nothing_observed(view: View) -> Tensor:
        """(B,) bool: the view holds no evidence at all; such samples teach nothing."""
        return all_missing(view)
