"""What a model predicts: the shape of its answer and the error that it is trained on."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from mitr.batches.views import Targets
from mitr.config import ImbalanceConfig
from mitr.losses import imbalance, masked

Error = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # prediction, truth, mask, weights, each (B,) -> ()


class Regression(nn.Module):
    """One number per sample.

    Args:
        error: the training loss; by default the absolute error, as published.

    Attributes:
        outputs: width of a model's last layer.
    """

    outputs = 1

    def __init__(self, error: Error = masked.l1):
        super().__init__()
        self.error = error

    def answer(self, last: Tensor) -> Tensor:
        """The last layer's (B, outputs) -> predictions, (B,)."""
        return last.squeeze(1)

    def loss(self, prediction: Tensor, targets: Targets, mask: Tensor) -> Tensor:
        """Weighted mean error of predictions over the samples in the mask (B,) that have a label."""
        return self.error(prediction, targets.labels, mask & targets.known, targets.weights)


class Classification(Regression):
    """One of C classes per sample, trained on the cross-entropy; the answer is (B, C) logits.

    Args:
        classes: their names; a label is an index into them.
    """

    def __init__(self, classes: Sequence[str]):
        super().__init__(masked.cross_entropy)
        self.classes = tuple(classes)
        self.outputs = len(self.classes)

    def answer(self, last: Tensor) -> Tensor:
        """The last layer's (B, C), which are the logits."""
        return last


Task = Regression  # the type of any task: a classification is a subclass


def task_of(config: ImbalanceConfig, classes: Sequence[str] | None) -> Task:
    """The task of a data set: its classes, or a regression with the loss that the options name."""
    if classes is not None:
        return Classification(classes)
    if config.loss == "balanced-mse":
        return Regression(partial(imbalance.balanced_mse, noise=config.noise))
    return Regression()
