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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Targets, View, with_cls
from mitr.config import LossConfig, ModelConfig
from mitr.losses.task import Task
from mitr.models.base import Model, check_options, read_options
from mitr.nn.dropout import dropout
from mitr.nn.utterance import PooledEncoder, RecurrentEncoder

ORDER = ("audio", "vision", "text")  # of the product's axes


@dataclass
class TfnOptions:
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
    """

    text_hidden: int = 128
    text: int = 32
    audio: int = 32
    vision: int = 128
    head: int = 64
    dropout_audio: float = 0.3
    dropout_vision: float = 0.3
    dropout_head: float = 0.5

    def __post_init__(self) -> None:
        check_options(self)


class TFN(Model):
    """The network.

    Args:
        dims: modality -> its feature width, for the modalities that the data set has.
        config: its `options` are those of `TfnOptions`.
        loss: weight of the task's term.
        task: what is predicted; None: one number, by its absolute error.

    Attributes:
        bounds: (2,) the lowest and highest prediction, label units; saved with the weights.
    """

    bounds: Tensor

    def __init__(self, dims: dict[str, int], config: ModelConfig, loss: LossConfig, task: Task | None = None):
        super().__init__()
        self.loss = loss
        self.task = task or Task()
        o = self.options = read_options(TfnOptions, config)
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
        with torch.autocast(hidden.device.type, enabled=False):  # bf16 would leave a score two or three digits
            last = self.head_out(hidden.float())
            if self.task.outputs > 1:
                return self.task.answer(last)
            low, high = self.bounds
            return self.task.answer(low + (high - low) * last.sigmoid())

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

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view, and its error; there is nothing to learn from a teacher."""
        prediction = self(incomplete)
        seen = ~self.nothing_observed(complete)
        return prediction, {"task_student": self.task.loss(prediction, targets, seen)}

    def weight_of(self, term: str) -> float:
        """There is one term."""
        return self.loss.task_student
