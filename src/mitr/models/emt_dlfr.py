"""EMT-DLFR (Sun, Lian, Liu, Tao: Efficient Multimodal Transformer with Dual-Level Feature Restoration for Robust
Multimodal Sentiment Analysis, IEEE Transactions on Affective Computing 2023, arXiv 2208.07589).

One utterance vector per modality makes a global context G, which exchanges information with each modality's steps in
turn, so that the cost grows with the steps and not with their square across modalities. The network sees both views:
SimSiam attracts the utterance vectors and G of one view to those of the other (high-level), and dropped steps are
restored from the incomplete view (low-level).

It equals the authors' release, which handles padding properly, on all that the release can do. What that cannot:
a modality that a sample lacks has a learned utterance vector, is read by nobody and takes no part in pooling; one
that the data set lacks has no place in G; SimSiam's BatchNorm leaves out what is absent; text without a summary is
represented by the mean of its observed steps. The release's weights of SIMS are `loss.task_teacher`, `loss.simsiam` and
`loss.reconstruction` of 0.5.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, Targets, View
from mitr.errors import MitrError
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import TeacherOptions, dropout_rate, size, weight
from mitr.nn.attention import Attention, attention_mask
from mitr.nn.dropout import dropout
from mitr.nn.recurrent import Recurrent
from mitr.nn.simsiam import SimSiamHead
from mitr.nn.utterance import summary_of


@dataclass(frozen=True)
class EmtDlfrOptions(TeacherOptions):
    """Sizes, dropout rates and weights of the loss terms; the defaults are those released for CMU-MOSI.

    Args:
        width: D of the global context and of the steps that it meets.
        layers: how often they exchange information, always by the same weights.
        heads: attention heads; divide `width`.
        expansion: inner width of the feed-forward networks, in multiples of `width`.
        audio_hidden: width of audio's LSTM.
        vision_hidden: width of vision's LSTM.
        audio_out: width of audio's utterance vector.
        vision_out: width of vision's utterance vector.
        head: width of the two layers before the last.
        predictor_fused: width inside SimSiam's predictor of the global context.
        predictor_text: the same for text's utterance vector.
        predictor_audio: the same for audio's.
        predictor_vision: the same for vision's.
        dropout_attention: on attention weights.
        dropout_feed: inside the feed-forward networks.
        dropout_head: before the head.
        loss_task_student: the error of the incomplete view's prediction.
        loss_task_teacher: the error of the complete view's prediction.
        loss_simsiam: SimSiam between the views, of each modality and of the global context.
        loss_reconstruction: smooth-L1 of what was dropped, per modality.
    """

    source: ClassVar[str] = "released for CMU-MOSI (Sun et al. 2023)"

    width: int = size(128)
    layers: int = size(3)
    heads: int = size(4)
    expansion: int = size(4)
    audio_hidden: int = size(32)
    vision_hidden: int = size(64)
    audio_out: int = size(16)
    vision_out: int = size(32)
    head: int = size(256)
    predictor_fused: int = size(128)
    predictor_text: int = size(256)
    predictor_audio: int = size(8)
    predictor_vision: int = size(16)
    dropout_attention: float = dropout_rate(0.3)
    dropout_feed: float = dropout_rate(0.1)
    dropout_head: float = dropout_rate(0.3)
    loss_task_student: float = weight(1.0)
    loss_task_teacher: float = weight(1.0)
    loss_simsiam: float = weight(1.0)
    loss_reconstruction: float = weight(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width % 2:
            raise MitrError(f"model.width is {self.width}; it must be even and a multiple of the {self.heads} heads")


class States(NamedTuple):
    """What the network makes of one view; the mappings are by modality, the last two also of `fused`.

    Attributes:
        prediction: (B,).
        steps: (B, T, D), the steps after the exchange.
        present: (B,) bool; of `fused`: any modality is present.
        projected: (B, .), z.
        predicted: (B, .), p.
    """

    prediction: Tensor
    steps: dict[str, Tensor]
    present: dict[str, Tensor]
    projected: dict[str, Tensor]
    predicted: dict[str, Tensor]


class EMTDLFR(Model[EmtDlfrOptions]):
    """The network."""

    options_class = EmtDlfrOptions
    own_rates = "encoder"

    def __init__(self, dims: dict[str, int], options: EmtDlfrOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        hidden = {"audio": o.audio_hidden, "vision": o.vision_hidden}
        out = {"text": dims.get("text", 0), "audio": o.audio_out, "vision": o.vision_out}
        inner = {"text": o.predictor_text, "audio": o.predictor_audio, "vision": o.predictor_vision}
        joint = len(dims) * o.width
        self.encoder = nn.ModuleDict({m: StepEncoder(d, hidden[m], out[m]) for m, d in dims.items() if m in hidden})
        self.absence = nn.ParameterDict({m: nn.Parameter(torch.zeros(out[m])) for m in dims})
        self.project = nn.ModuleDict({m: linear_unless_equal(out[m], o.width, bias=False) for m in dims})
        self.exchange = Exchange(o, len(dims))
        heads = {"fused": SimSiamHead(joint, o.predictor_fused)}
        self.simsiam = nn.ModuleDict(heads | {m: SimSiamHead(out[m], inner[m]) for m in dims})
        self.restore = nn.ModuleDict({m: nn.Linear(o.width, dim) for m, dim in dims.items()})
        self.head_in = nn.Linear(joint + sum(out[m] for m in dims), o.head)
        self.head_inner = nn.Linear(o.head, o.head)
        self.head_out = nn.Linear(o.head, self.task.outputs)

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.states(view).prediction

    def states(self, view: View) -> States:
        """Everything that the losses need of one view."""
        utterance: dict[str, Tensor] = {}  # (B, .)
        local: dict[str, Tensor] = {}  # (B, T, D)
        content = {m: view[m].content for m in self.dims}
        present = {m: view[m].present for m in self.dims}
        for m in self.dims:
            whole, steps = self.read(m, view[m])
            utterance[m] = torch.where(present[m][:, None], whole, self.absence[m].to(whole.dtype))
            local[m] = self.project[m](steps)
        context = torch.stack([self.project[m](utterance[m]) for m in self.dims], dim=1)  # (B, M, D)
        context, local = self.exchange(context, local, content)
        vectors = utterance | {"fused": context.flatten(1)}  # (B, M D)
        present["fused"] = torch.stack(list(present.values())).any(dim=0)
        projected, predicted = {}, {}
        for name, vector in vectors.items():
            projected[name], predicted[name] = self.simsiam[name](vector, present[name])
        hidden = dropout(torch.cat(list(vectors.values()), dim=1), self.options.dropout_head, self.training)
        hidden = F.relu(self.head_inner(F.relu(self.head_in(hidden))))
        prediction = self.score(self.head_out, hidden)
        return States(prediction, local, present, projected, predicted)

    def read(self, modality: str, steps: Steps) -> tuple[Tensor, Tensor]:
        """A modality's utterance vector (B, .) and its sequence (B, T, .)."""
        if modality == "text":
            return summary_of(steps), steps.values
        whole, sequence = self.encoder[modality](steps)
        return whole, sequence

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view, and the loss terms, unweighted, by name.

        Args:
            complete: all that the samples have; it may itself lack modalities and steps.
            incomplete: what is left of it.
            targets: labels (B,), NaN where not known, and weights.
            teacher: a frozen EMTDLFR for the complete view; None: this network sees both views, as published.
        """
        student = self.states(incomplete)
        if teacher is None:
            guide = self.states(complete)
        else:
            with torch.no_grad():
                guide = teacher.states(complete)  # type: ignore[operator]
        seen = ~self.nothing_observed(complete)
        terms = {"task_student": self.task.loss(student.prediction, targets, seen)}
        if teacher is None:
            terms["task_teacher"] = self.task.loss(guide.prediction, targets, seen)
        for name in student.projected:
            both = student.present[name] & guide.present[name]
            terms[f"simsiam_{name}"] = masked.simsiam(
                student.predicted[name], guide.projected[name], guide.predicted[name], student.projected[name], both
            )
        for m in self.dims:
            dropped = complete[m].available & ~incomplete[m].available & incomplete[m].valid
            restored = self.restore[m](student.steps[m])  # (B, T, d_m)
            terms[f"reconstruction_{m}"] = masked.reconstruction(restored, complete[m].values, dropped)
        return student.prediction, terms


class StepEncoder(nn.Module):
    """An LSTM over the true lengths, then one linear layer for its last state and for every step."""

    def __init__(self, dim: int, hidden: int, out: int):
        super().__init__()
        self.recurrent = Recurrent(dim, hidden)
        self.out = linear_unless_equal(hidden, out)

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Steps -> the utterance vector (B, out) and the sequence (B, T, out)."""
        outputs, last = self.recurrent(steps.values, steps.valid.sum(dim=1))
        return self.out(last), self.out(outputs)


class Exchange(nn.Module):
    """The global context and the steps of each modality read each other, by one block for all pairs and layers.

    Args:
        options: sizes and dropout rates.
        modalities: M, vectors in the global context.
    """

    def __init__(self, options: EmtDlfrOptions, modalities: int):
        super().__init__()
        joint = modalities * options.width
        self.layers = options.layers
        self.block = Block(options)
        self.pool = nn.Sequential(nn.Linear(joint, joint), nn.Tanh(), nn.Linear(joint, 1))

    def forward(
        self, context: Tensor, local: dict[str, Tensor], valid: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """G (B, M, D), sequences (B, T, D) and masks (B, T) bool by modality -> the new G and the new sequences."""
        local = {m: x + interleaved_sinusoids(x.shape[1], x.shape[2], x.device).to(x) for m, x in local.items()}
        masks = {m: attention_mask(inside) for m, inside in valid.items()}
        there = torch.stack([inside.any(dim=1) for inside in valid.values()], dim=1)  # (B, modalities)
        for _ in range(self.layers):
            views = [self.block(context, x, masks[m]) for m, x in local.items()]  # G as each modality sees it
            local = {m: self.block(x, context, own_mask=masks[m]) for m, x in local.items()}
            context = self.pooled(context, torch.stack(views, dim=1).flatten(2), there)
        return context, local

    def pooled(self, context: Tensor, views: Tensor, there: Tensor) -> Tensor:
        """Old G (B, M, D), its views (B, n, M D) and (B, n) bool, who has one -> G, the old one where nobody has."""
        scores = self.pool(views).squeeze(2).masked_fill(~there & there.any(dim=1, keepdim=True), -math.inf)
        mixed = torch.einsum("bn,bnd->bd", scores.softmax(dim=1), views).view_as(context)
        return torch.where(there.any(dim=1)[:, None, None], mixed, context)


class Block(nn.Module):
    """Three pre-norm residual steps: read the other, read oneself, feed forward."""

    def __init__(self, options: EmtDlfrOptions):
        super().__init__()
        dim, heads = options.width, options.heads
        self.cross_norm, self.context_norm, self.self_norm, self.feed_norm = (nn.LayerNorm(dim) for _ in range(4))
        self.cross_attention = Attention(dim, heads, options.dropout_attention, bias=False)
        self.self_attention = Attention(dim, heads, options.dropout_attention, bias=False)
        self.feed_in = nn.Linear(dim, 2 * options.expansion * dim)
        self.feed_out = nn.Linear(options.expansion * dim, dim)
        self.dropout = options.dropout_feed

    def forward(
        self, x: Tensor, context: Tensor, context_mask: Tensor | None = None, own_mask: Tensor | None = None
    ) -> Tensor:
        """(B, T, D), (B, S, D) and masks (B, 1, S) and (B, 1, T) bool, None where all is valid -> (B, T, D)."""
        x = x + self.cross_attention(self.cross_norm(x), self.context_norm(context), context_mask)
        own = self.self_norm(x)
        x = x + self.self_attention(own, own, own_mask)
        content, gate = self.feed_in(self.feed_norm(x)).chunk(2, dim=-1)
        return x + self.feed_out(dropout(content * F.gelu(gate), self.dropout, self.training))


def linear_unless_equal(dim: int, out: int, bias: bool = True) -> nn.Module:
    """A linear layer, or none where the widths agree."""
    return nn.Identity() if dim == out else nn.Linear(dim, out, bias)


def interleaved_sinusoids(steps: int, dim: int, device: torch.device | None = None) -> Tensor:
    """(T, D) positions from 0 on for an even D: sine, cosine, sine, ... of p 10000^(-2k/D) (Vaswani et al. 2017)."""
    step, feature = torch.arange(steps, device=device), torch.arange(0, dim, 2, device=device)
    angle = step[:, None] * 10000 ** (-feature / dim)  # (T, D/2)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
