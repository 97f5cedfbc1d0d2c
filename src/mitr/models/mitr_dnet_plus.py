"""MITR-DNet+: what the benchmark showed to make MITR-DNet stronger under missing data (see docs/models.md).

Of MITR-DNet (Wang et al., ICASSP 2025) it keeps the idea: a view of the complete modalities teaches one of the
incomplete modalities, with shared weights, in the fused space and in the answer. Four things differ.

- Fusion reads all steps. MITR-DNet's Transformer sees one token per modality, so what is missing is averaged away
  before modalities meet; here every available step is a token, beside each modality's mean or its learned token of
  absence, and the text encoder's summary.
- A hidden token of the text is left out, not shown to the encoder as [UNK] (`hidden_tokens`).
- The teacher is detached: the student follows it, and it does not come down to the student.
- It has no bidirectional temporal module, no SimSiam and no reconstruction.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, Targets, View
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, check_heads, choice, dropout_rate, size, weight
from mitr.nn.crossmodal import CrossmodalLayer, Dropouts
from mitr.nn.dropout import Dropout, dropout
from mitr.nn.masked import masked_mean
from mitr.nn.utterance import summary_of


@dataclass(frozen=True)
class MitrDNetPlusOptions(ModelOptions):
    """Sizes, dropout and weights of the loss terms; the defaults are those that validation chose.

    Args:
        width: D of the tokens.
        layers: Transformer layers.
        heads: attention heads; divide `width`.
        dropout: on features, on attention weights, before each addition and before the head.
        detach: the teacher's side of `distill` and `consistency` gets no gradient.
        loss_task_student: the error of the incomplete view's prediction.
        loss_task_teacher: the error of the complete view's prediction.
        loss_distill: the squared difference between the student's fused state and the teacher's.
        loss_consistency: the absolute difference between the student's answer and the teacher's.

    Raises:
        MitrError: an option out of range, or heads that do not divide the width.
    """

    source: ClassVar[str] = "chosen on validation data (docs/results.md)"
    former: ClassVar[dict[str, str]] = {"distill": "loss_distill", "consistency": "loss_consistency"}

    width: int = size(64)
    layers: int = size(1)
    heads: int = size(4)
    dropout: float = dropout_rate(0.3)
    detach: bool = choice(True)
    loss_task_student: float = weight(1.0, "Wang et al. 2025")
    loss_task_teacher: float = weight(1.0, "Wang et al. 2025")
    loss_distill: float = weight(1.0)
    loss_consistency: float = weight(0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads)


class Read(NamedTuple):
    """What the network makes of a view.

    Attributes:
        prediction: in the shape of the task.
        fused: (B, D), the state that the head reads.
    """

    prediction: Tensor
    fused: Tensor


class MitrDNetPlus(Model[MitrDNetPlusOptions]):
    """The network."""

    options_class = MitrDNetPlusOptions
    hidden_tokens = "skip"

    def __init__(self, dims: dict[str, int], options: MitrDNetPlusOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        options = self.options
        self.modality = nn.ModuleDict({m: StepTokens(dim, options.width, options.dropout) for m, dim in dims.items()})
        self.token = _learned(options.width)
        self.summary = Reading(dims["text"], options.width, options.dropout) if "text" in dims else None
        dropouts = Dropouts(attention=options.dropout, residual=options.dropout)
        self.layers = nn.ModuleList(
            CrossmodalLayer(options.width, options.heads, dropouts) for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(options.width)
        self.head = nn.Linear(options.width, self.task.outputs)

    def forward(self, view: View) -> Tensor:
        return self.read(view).prediction

    def read(self, view: View) -> Read:
        """Predictions and fused states of a view."""
        parts = [self.modality[m](view[m]) for m in self.modality]
        if self.summary is not None:
            text = view["text"]
            there = (text.available & text.valid).any(dim=1, keepdim=True)
            parts.append((self.summary(summary_of(text))[:, None], there))
        first = self.token.expand(parts[0][0].shape[0], 1, -1)
        tokens = torch.cat([first, *(tokens for tokens, _ in parts)], dim=1)  # (B, all steps and some more, D)
        there = torch.cat([torch.ones_like(first[:, :, 0], dtype=torch.bool), *(mask for _, mask in parts)], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, None, there[:, None], there[:, :1, None])
        fused = self.norm(tokens[:, 0])
        return Read(self.score(self.head, dropout(fused, self.options.dropout, self.training)), fused)

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: Model[Any] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        student, teaching = self.read(incomplete), self.read(complete)
        seen = ~self.nothing_observed(complete)
        goal = Read(*(part.detach() for part in teaching)) if self.options.detach else teaching
        apart = (student.prediction - goal.prediction).abs()
        return student.prediction, {
            "task_student": self.task.loss(student.prediction, targets, seen),
            "task_teacher": self.task.loss(teaching.prediction, targets, seen),
            "distill": masked.vector_mse(student.fused, goal.fused, seen),
            "consistency": masked.mean_where(apart.flatten(1).mean(dim=1) if apart.dim() > 1 else apart, seen),
        }


class StepTokens(nn.Module):
    """A modality's steps as tokens, and one more for the whole of it: their mean, or a learned one where it is absent.

    Args:
        dim: width of its features.
        width: D of the tokens.
        dropout: on the features.
    """

    def __init__(self, dim: int, width: int, dropout: float):
        super().__init__()
        self.read = Reading(dim, width, dropout)
        self.kind = _learned(width)
        self.absent = _learned(width)

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """(B, T, dim) steps -> tokens (B, T + 1, D), and which of them there are, (B, T + 1) bool."""
        there = steps.available & steps.valid
        present = there.any(dim=1, keepdim=True)
        tokens = self.read(steps.values) + self.kind
        whole = torch.where(present, masked_mean(tokens, there), self.absent)
        return torch.cat([tokens, whole[:, None]], dim=1), torch.cat([there, torch.ones_like(present)], dim=1)


class Reading(nn.Sequential):
    """Features (…, dim) to tokens (…, width): LayerNorm, dropout, one linear layer."""

    def __init__(self, dim: int, width: int, dropout: float):
        super().__init__(nn.LayerNorm(dim), Dropout(dropout), nn.Linear(dim, width))


def _learned(width: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(width))
