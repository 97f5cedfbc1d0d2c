"""What every model offers, and nothing more."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from mitr.batches.views import Targets, View, all_missing
from mitr.config import ModelConfig
from mitr.errors import MitrError

Options = TypeVar("Options")


class Model(nn.Module, ABC):
    """A model over encoded views: text arrives as states or embeddings, like audio and vision.

    A subclass takes (dims, config, loss, task), as `MitrDNet` does, and stands in `models.registry.MODELS`.

    Attributes:
        hidden_tokens: what its text encoder reads where a token is hidden (`TextConfig.hidden`).
        learns_classes: it can be given a classification as its task.
        learns_unimodal: it can learn from `Targets.unimodal` (`LossConfig.unimodal`).
    """

    hidden_tokens: ClassVar[Literal["unknown", "skip"]] = "unknown"
    learns_classes: ClassVar[bool] = True
    learns_unimodal: ClassVar[bool] = False

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """A view -> predictions, in the shape that the task gives them: (B,) for a regression, (B, C) for classes."""

    @abstractmethod
    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions of the incomplete view and the unweighted loss terms by name; labels may hold NaN."""

    @abstractmethod
    def weight_of(self, term: str) -> float:
        """The weight of a loss term in the total."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by learning-rate group: `audio`, `vision`, `other`; all are `other` unless a model says more."""
        return {"other": list(self.parameters())}

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


def read_options(kind: type[Options], config: ModelConfig) -> Options:
    """A model's own options, a dataclass, from `config.options`.

    Raises:
        MitrError: an option that the model does not have, or a value out of range.
    """
    known: list[str] = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(config.options) - set(known))
    if unknown:
        raise MitrError(
            f"model.options: {config.name} has no option {', '.join(unknown)}; its options are {', '.join(known)}"
        )
    given: dict[str, Any] = dict(config.options)
    return kind(**given)


def check_options(options: Any) -> None:
    """Refuse sizes below 1, dropout rates outside [0, 1) and other negative numbers of a model's own options.

    Raises:
        MitrError: naming the option.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        where = f"model.options.{field.name} is {value}"
        if field.name.startswith("dropout"):
            if not 0 <= value < 1:
                raise MitrError(f"{where}; it must lie in [0, 1)")
        elif isinstance(field.default, int) and not isinstance(field.default, bool):
            if value < 1:
                raise MitrError(f"{where}; it must be at least 1")
        elif isinstance(field.default, float) and value < 0:
            raise MitrError(f"{where}; it must not be negative")
