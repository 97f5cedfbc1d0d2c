"""LMF (Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency: Efficient Low-rank Multimodal Fusion with Modality-Specific
Factors, ACL 2018, arXiv 1806.00064), in the version that the field compares with (MMSA).

Modalities become vectors as in TFN. A linear read-out of their outer product, whose weights are a tensor of low rank,
needs no such product: each modality is projected to the ranks, and the projections are multiplied. It is trained on the
incomplete view alone.

Departures from the release: averages and the LSTM end with the sample, not with the padding; the mixture of the ranks
is trained (the release hands it to no optimiser, by a slip). What the release cannot do: a modality that a sample lacks
is a vector of zeros, so that its factor is a learned constant; one that the data set lacks is no factor. Hidden steps
count as the zeros that they are shown as.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mitr.batches.views import View, with_cls
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, dropout_rate, size, weight
from mitr.nn.utterance import PooledEncoder, RecurrentEncoder


@dataclass(frozen=True)
class LmfOptions(ModelOptions):
    """Sizes and dropout rates; the defaults are those released for CMU-MOSI.

    Args:
        text_hidden: width of text's LSTM.
        text: width of text's vector.
        audio: width of audio's vector.
        vision: width of vision's vector.
        rank: rank of the weights' tensor.
        dropout_audio: on audio's average.
        dropout_vision: on vision's average.
        loss_task_student: the error of the prediction.
    """

    source: ClassVar[str] = "released for CMU-MOSI (MMSA)"

    text_hidden: int = size(128)
    text: int = size(64)
    audio: int = size(16)
    vision: int = size(128)
    rank: int = size(3)
    dropout_audio: float = dropout_rate(0.3)
    dropout_vision: float = dropout_rate(0.3)
    loss_task_student: float = weight(1.0)


class LMF(Model[LmfOptions]):
    """The network."""

    options_class = LmfOptions

    def __init__(self, dims: dict[str, int], options: LmfOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        self.encoder = nn.ModuleDict(
            {
                m: RecurrentEncoder(dim, o.text_hidden, o.text)
                if m == "text"
                else PooledEncoder(dim, getattr(o, m), getattr(o, f"dropout_{m}"))
                for m, dim in dims.items()
            }
        )
        self.factor = nn.ModuleDict({m: _factor(getattr(o, m), o.rank, self.task.outputs) for m in dims})
        self.mixture = nn.Parameter(math.sqrt(2 / (1 + o.rank)) * torch.randn(o.rank))
        self.bias = nn.Parameter(torch.zeros(self.task.outputs))

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        ranks = self.ranks(view)
        with torch.autocast(ranks.device.type, enabled=False):  # bf16 would leave a score two or three digits
            return self.task.answer(torch.einsum("bor,r->bo", ranks.float(), self.mixture) + self.bias)

    def ranks(self, view: View) -> Tensor:
        """A view -> what each rank of the tensor gives for each output, (B, outputs, R)."""
        factors = [self.factor[m](vector) for m, vector in self.vectors(view).items()]
        return torch.stack(factors).prod(dim=0).unflatten(1, (self.task.outputs, -1))

    def vectors(self, view: View) -> dict[str, Tensor]:
        """A view -> modality -> (B, W), zero where the modality is absent."""
        return {m: encode(with_cls(view[m]) if m == "text" else view[m]) for m, encode in self.encoder.items()}


def _factor(width: int, rank: int, outputs: int) -> nn.Linear:
    """A projection to the ranks of all outputs; its bias is the weight of the 1 before the vector."""
    factor = nn.Linear(width, outputs * rank)
    for part in factor.parameters():
        nn.init.normal_(part, std=math.sqrt(2 / (1 + width + rank)))
    return factor
