"""What a model predicts: the shape of its answer and the error that it is trained on."""

from torch import Tensor, nn

from mitr.losses import masked
from mitr.views import Targets


class Regression(nn.Module):
    """One number per sample, trained on its absolute error (the published task loss).

    Attributes:
        outputs: width of a model's last layer.
    """

    outputs = 1

    def answer(self, last: Tensor) -> Tensor:
        """The last layer's (B, 1) -> predictions (B,)."""
        return last.squeeze(1)

    def loss(self, prediction: Tensor, targets: Targets, mask: Tensor) -> Tensor:
        """Weighted mean error of (B,) predictions over the samples in the mask (B,) that have a label."""
        return masked.l1(prediction, targets.labels, mask & targets.known, targets.weights)


Task = Regression
