"""TFN (Zadeh, Chen, Poria, Cambria, Morency: Tensor Fusion Network for Multimodal Sentiment Analysis, EMNLP 2017,
arXiv 1707.07250), in the version that the field compares with (MMSA).

Audio and vision are averaged over time, text is read by an LSTM; each becomes a vector with a 1 put in front. The outer
product of the three holds every single, pairwise and threefold product of their features, and a small network reads it.
It is trained on the incomplete view alone.

Departures from the release: averages and the LSTM end with the sample, not with the padding; predictions lie between
the lowest and the highest training label, not always between -3 and 3; classes are not bounded. What the release
cannot do: a modality that a sample lacks is a vector of zeros behind its 1, so that the product keeps what the others
say; one that the data set lacks is no factor. Hidden steps count as the zeros that they are shown as.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Targets, View, with_cls
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, dropout_rate, size, weight
from mitr.nn.dropout import dropout
from mitr.nn.utterance import PooledEncoder, RecurrentEncoder

ORDER = ("audio", "vision", "text")  # of the product's axes


@dataclass(frozen=True)
class TfnOptions(ModelOptions):
    """Sizes and dropout rates; the defaults are those released for CMU-MOSI.

    Args:
        text_hidden: width of text's LSTM.
        text: width of text's vector.
        audio: width of audio's vector.
        vision: width of vision's vector.
        head: width of the two layers that read the product.
        dropout_audio: on audio's average.
        dropout_vision: on vision's average.
        dropout_head: on the product.
        loss_task_student: the error of the prediction.
    """

    source: ClassVar[str] = "released for CMU-MOSI (MMSA)"

    text_hidden: int = size(128)
    text: int = size(32)
    audio: int = size(32)
    vision: int = size(128)
    head: int = size(64)
    dropout_audio: float = dropout_rate(0.3)
    dropout_vision: float = dropout_rate(0.3)
    dropout_head: float = dropout_rate(0.5)
    loss_task_student: float = weight(1.0)


class TFN(Model[TfnOptions]):
    """The network.

    Attributes:
        bounds: (2,) the lowest and highest prediction, label units; saved with the weights.
    """

    options_class = TfnOptions
    bounds: Tensor

    def __init__(self, dims: dict[str, int], options: TfnOptions | None = None, task: Task | None = None):
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
        self.head_in = nn.Linear(math.prod(getattr(o, m) + 1 for m in dims), o.head)
        self.head_inner = nn.Linear(o.head, o.head)
        self.head_out = nn.Linear(o.head, self.task.outputs)
        self.register_buffer("bounds", torch.tensor([-3.0, 3.0]))

    def begin(self, targets: Targets) -> None:
        """Predictions are bounded by the training labels."""
        known = targets.labels[targets.known]
        if len(known):
            self.bounds.copy_(torch.stack([known.min(), known.max()]))

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        hidden = dropout(self.product(view), self.options.dropout_head, self.training)
        hidden = F.relu(self.head_inner(F.relu(self.head_in(hidden))))
        if self.task.outputs > 1:
            return self.score(self.head_out, hidden)
        low, high = self.bounds
        return low + (high - low) * self.score(self.head_out, hidden).sigmoid()

    def product(self, view: View) -> Tensor:
        """A view -> the outer product of the modalities' vectors, (B, P), the last one's entries running fastest."""
        vectors = self.vectors(view)
        product = torch.ones_like(next(iter(vectors.values()))[:, :1])
        for m in (m for m in ORDER if m in vectors):
            with_one = F.pad(vectors[m], (1, 0), value=1.0)  # (B, 1 + W)
            product = (product[:, :, None] * with_one[:, None]).flatten(1)
        return product

    def vectors(self, view: View) -> dict[str, Tensor]:
        """A view -> modality -> (B, W), zero where the modality is absent."""
        return {m: encode(with_cls(view[m]) if m == "text" else view[m]) for m, encode in self.encoder.items()}
