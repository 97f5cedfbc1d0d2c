"""What every model offers, and nothing more."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mitr.views import View, all_missing


class Model(nn.Module, ABC):
    """A model over encoded views: text arrives as states or embeddings, like audio and vision."""

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""

    @abstractmethod
    def losses(
        self, complete: View, incomplete: View, labels: Tensor, teacher: "Model | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view and the unweighted loss terms by name; labels (B,) may hold NaN."""

    @abstractmethod
    def weight_of(self, term: str) -> float:
        """The weight of a loss term in the total."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by learning-rate group: `audio`, `vision`, `other`; all are `other` unless a model says more."""
        return {"other": list(self.parameters())}

    @staticmethod
    def nothing_observed(view: View) -> Tensor:
        """(B,) bool: the view holds no evidence at all; such samples teach nothing."""
        return all_missing(view)
