"""TFR-Net (Yuan, Li, Xu, Yu: Transformer-based Feature Reconstruction Network for Robust Multimodal Sentiment Analysis,
ACM Multimedia 2021, doi 10.1145/3474085.3475585), in the version that the field compares with (EMT-DLFR's repository).

A convolution brings each modality to a common width; each then reads itself and the others by encoders of its own, and
the results side by side are its aligned sequence. From that, one branch restores the dropped steps; the other, a gated
recurrent network and a maximum over time, makes the vectors from which the sentiment is predicted. The complete view is
a target only.

Departures from the release, all undone by `TfrNetOptions.released`: the encoder before the restoration attends over the
steps of one sample, where the release's attends over the samples of a batch and fits one padded length only; padding
takes part in nothing, and lengths are the true ones in the causal mask and for the maximum; every step has a position.
Without a switch: text targets are constants; the term between central moments, which the release's settings switch
off, is left out; what a sample lacks is not read, and a learned vector stands for it; a modality that the data
set lacks has no encoders.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Targets, View, with_cls
from mitr.data.schema import MODALITIES
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.crossmodal import CrossmodalOptions
from mitr.models.options import choice, dropout_rate, kernel, size, weight
from mitr.nn.crossmodal import CrossmodalEncoder, StepProjection
from mitr.nn.dropout import dropout
from mitr.nn.masked import MaskedBatchNorm
from mitr.nn.recurrent import Recurrent


@dataclass(frozen=True)
class TfrNetOptions(CrossmodalOptions):
    """The common options, at what was released for CMU-MOSI, and more.

    Args:
        text_hidden: width of text's vector, and of each direction of its recurrent network.
        audio_hidden: the same for audio.
        vision_hidden: the same for vision.
        recurrent_layers: of each recurrent network.
        head: width of the layer before the last.
        dropout_vector: on each modality's vector.
        dropout_head: before the last layer.
        released: the lengths to which text, audio and vision are padded, for the release's habits; None: ours.
        loss_task_student: the error of the prediction.
        loss_reconstruction: a common factor of the restorations of all modalities.
        loss_reconstruction_text: smooth-L1 of what was dropped of text.
        loss_reconstruction_audio: smooth-L1 of what was dropped of audio.
        loss_reconstruction_vision: smooth-L1 of what was dropped of vision.
    """

    source: ClassVar[str] = "released for CMU-MOSI (EMT-DLFR's repository, Sun et al. 2023)"
    former: ClassVar[dict[str, str]] = {
        f"reconstruction_{m}": f"loss_reconstruction_{m}" for m in ("text", "audio", "vision")
    }

    width: int = size(30)
    heads: int = size(6)
    layers: int = size(3)
    kernel_text: int = kernel(1)
    kernel_audio: int = kernel(5)
    kernel_vision: int = kernel(3)
    dropout_text: float = dropout_rate(0.2)
    dropout_read_text: float = dropout_rate(0.2)
    dropout_read_audio: float = dropout_rate(0.1)
    dropout_read_vision: float = dropout_rate(0.0)
    dropout_inner: float = dropout_rate(0.2)
    dropout_residual: float = dropout_rate(0.2)
    dropout_embedding: float = dropout_rate(0.2)
    text_hidden: int = size(36)
    audio_hidden: int = size(20)
    vision_hidden: int = size(48)
    recurrent_layers: int = size(3)
    head: int = size(128)
    dropout_vector: float = dropout_rate(0.2)
    dropout_head: float = dropout_rate(0.0)
    released: tuple[int, int, int] | None = choice(None, "chosen by us")
    loss_task_student: float = weight(1.0)
    loss_reconstruction: float = weight(1.0, "chosen by us: no further factor")
    loss_reconstruction_text: float = weight(5.0)
    loss_reconstruction_audio: float = weight(2.0)
    loss_reconstruction_vision: float = weight(20.0)


class States(NamedTuple):
    """What the network makes of one view; the mappings are by modality.

    Attributes:
        prediction: (B,).
        aligned: (B, T, W), what the modality has read of itself and of the others; text from [CLS] on.
        valid: (B, T) bool, the steps that take part.
        vector: (B, H), from which the sentiment is predicted.
    """

    prediction: Tensor
    aligned: dict[str, Tensor]
    valid: dict[str, Tensor]
    vector: dict[str, Tensor]


class TFRNet(Model[TfrNetOptions]):
    """The network."""

    options_class = TfrNetOptions

    def __init__(self, dims: dict[str, int], options: TfrNetOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        self.restores = True
        aligned = o.width * len(dims)

        def encoder(layers: int, read: str) -> CrossmodalEncoder:
            return CrossmodalEncoder(o.width, o.heads, layers, o.dropouts(read), "nonzero" if o.released else "all")

        self.project = nn.ModuleDict(
            {m: StepProjection(d, o.width, getattr(o, f"kernel_{m}")) for m, d in dims.items()}
        )
        self.own = nn.ModuleDict({m: encoder(o.own_layers, "text") for m in dims})
        self.cross = nn.ModuleDict({f"{m}_reads_{n}": encoder(o.layers, n) for m, n in permutations(dims, 2)})
        lengths = dict(zip(MODALITIES, o.released or (aligned,) * 3, strict=True))
        self.gather = nn.ModuleDict(
            {
                m: CrossmodalEncoder(lengths[m], 1, o.own_layers, o.dropouts("text"), "none", bool(o.released))
                for m in dims
            }
        )
        self.restore = nn.ModuleDict({m: nn.Linear(aligned, dim) for m, dim in dims.items()})
        hidden = {m: getattr(o, f"{m}_hidden") for m in dims}
        self.summary = nn.ModuleDict({m: GatedSummary(aligned, hidden[m], o.recurrent_layers) for m in dims})
        self.absence = nn.ParameterDict({m: nn.Parameter(torch.zeros(hidden[m])) for m in dims})
        self.head_norm = MaskedBatchNorm(sum(hidden.values()))
        self.head_in = nn.Linear(sum(hidden.values()), o.head)
        self.head_out = nn.Linear(o.head, self.task.outputs)

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.states(view).prediction

    def states(self, view: View) -> States:
        """What the prediction and the restoration need of one view."""
        o = self.options
        whole = {m: with_cls(view[m]) for m in self.dims}
        valid = {m: torch.ones_like(s.valid) if o.released else s.valid for m, s in whole.items()}
        values = {
            m: self.project[m](dropout(s.values, o.dropout_text if m == "text" else 0.0, self.training), valid[m])
            for m, s in whole.items()
        }  # (B, T, D)
        aligned, vector = {}, {}
        for m, steps in whole.items():
            others = [n for n in self.dims if n != m]
            read = [self.cross[f"{m}_reads_{n}"](values[m], valid[m], values[n], valid[n]) for n in others]
            aligned[m] = torch.cat([self.own[m](values[m], valid[m]), *read], dim=2)
            summary = self.summary[m](aligned[m], steps.valid, valid[m])
            vector[m] = torch.where(steps.present[:, None], summary, self.absence[m].to(summary.dtype))
            vector[m] = dropout(vector[m], o.dropout_vector, self.training)
        hidden = self.head_in(self.head_norm(torch.cat(list(vector.values()), dim=1)))
        hidden = dropout(F.leaky_relu(hidden), o.dropout_head, self.training)
        prediction = self.score(self.head_out, hidden)
        return States(prediction, aligned, valid, vector)

    def restored(self, modality: str, states: States) -> Tensor:
        """A modality's features (B, T, d_m) as far as they can be told, text from [CLS] on."""
        aligned, valid = states.aligned[modality], states.valid[modality]
        if self.options.released:  # samples as steps, features as samples
            aligned = aligned.permute(2, 0, 1)  # (W, B, T)
            gathered = self.gather[modality](aligned, valid.new_ones(aligned.shape[:2])).permute(1, 2, 0)
        else:
            gathered = self.gather[modality](aligned, valid)
        found: Tensor = self.restore[modality](gathered)
        return found

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view, and the loss terms, unweighted, by name.

        Args:
            complete: all that the samples have, the targets of restoration.
            incomplete: what is left of it.
            targets: labels (B,), NaN where not known, and weights.
            teacher: not used; the complete view is not predicted from.
        """
        states = self.states(incomplete)
        terms = {"task_student": self.task_loss(states.prediction, complete, targets)}
        for m in self.dims:
            source, left = with_cls(complete[m]), with_cls(incomplete[m])
            dropped = source.available & ~left.available & left.valid
            terms[f"reconstruction_{m}"] = masked.reconstruction(self.restored(m, states), source.values, dropped)
        return states.prediction, terms

    def weight_of(self, term: str) -> float:
        """The configured weight of a loss term; the first epoch trains the task alone, as published."""
        own = super().weight_of(term)
        if term == "task_student":
            return own
        return self.options.loss_reconstruction * own * (self.restores or not self.training)

    def begin_epoch(self, epoch: int) -> None:
        """Restoration begins with the second epoch."""
        self.restores = epoch > 0


class GatedSummary(nn.Module):
    """A sequence with the gated states of a bidirectional GRU beside it, through a linear layer; its maximum over time.

    Args:
        dim: W of the sequence.
        hidden: width of the result and of a state.
        layers: of the GRU.
    """

    def __init__(self, dim: int, hidden: int, layers: int):
        super().__init__()
        self.recurrent = nn.ModuleList(
            Recurrent(2 * hidden if layer else dim, hidden, bidirectional=True, cell=nn.GRU) for layer in range(layers)
        )
        self.gate = nn.Conv1d(2 * hidden, 1, 3, padding=1)
        self.out = nn.Linear(dim + 2 * hidden, hidden)

    def forward(self, x: Tensor, inside: Tensor, counted: Tensor) -> Tensor:
        """(B, T, W), the true lengths (B, T) bool and the steps of the maximum (B, T) bool -> (B, hidden)."""
        states = x
        for layer in self.recurrent:
            states, _ = layer(states, inside.sum(dim=1))  # (B, T, 2 hidden), zero outside the true lengths
        gate = self.gate(states.transpose(1, 2)).sigmoid().transpose(1, 2)  # (B, T, 1)
        found = self.out(torch.cat([x, states.tanh() * gate], dim=2)).tanh()
        return found.masked_fill(~counted[:, :, None], -1.0).amax(dim=1)
