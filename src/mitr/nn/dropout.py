"""Dropout, by PyTorch's own or by the kernel for CPUs."""

from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.cpu import dropout as kernel
from mitr.nn.cpu.switch import used


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """In training, each value becomes 0 with probability `rate`, and the others grow to make up for it."""
    if not training or rate == 0:
        return x
    if used("dropout", x.device) and kernel.pays(x.numel(), rate):
        return kernel.dropout(x, rate)
    return F.dropout(x, rate)


class Dropout(nn.Dropout):
    """`nn.Dropout` by `dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Values of any shape."""
        return dropout(input, self.p, self.training)


def replace_dropout(model: nn.Module) -> None:
    """Replace every `nn.Dropout` in a model, such as one of Hugging Face's, by `Dropout`."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
