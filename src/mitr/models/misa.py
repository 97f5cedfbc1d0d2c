"""MISA (Hazarika, Zimmermann, Poria: MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment
Analysis, ACM Multimedia 2020, arXiv 2005.03545), in the version that the field compares with (MMSA).

Each modality's utterance vector is projected twice: into a space that the modalities share, where their distributions
are drawn together, and into a space of its own, orthogonal to the shared one; the two together must give the vector
back. A Transformer layer over all these projections leads to the prediction. It is trained on the incomplete view
alone, on the squared error unless the options name another.

Departures from the release: audio and vision are read to their own end, not for as many steps as there are text tokens.
What the release cannot do: the utterance vector of a modality that a sample lacks is zero, so that its projections are
learned constants, and it takes no part in the losses between them; a data set may lack modalities. The release's
adversarial alternative to the central moment discrepancy, which cannot run there, is left out. Hidden steps count as
they are shown.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, Targets, View, with_cls
from mitr.losses import masked
from mitr.losses.subspaces import central_moments, orthogonality
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, check_heads, dropout_rate, size, weight
from mitr.nn.dropout import dropout
from mitr.nn.masked import masked_mean
from mitr.nn.recurrent import Recurrent

ORDER = ("text", "vision", "audio")  # of the vectors that the Transformer layer reads


@dataclass(frozen=True)
class MisaOptions(ModelOptions):
    """Sizes, dropout rates and weights of the losses; the defaults are those released for CMU-MOSI.

    Args:
        width: S, of the projections.
        heads: attention heads; divide `width`.
        feed: inner width of the Transformer layer's feed-forward network.
        dropout_fusion: in the Transformer layer.
        dropout_head: in the head.
        loss_task_student: the error of the prediction.
        loss_diff: orthogonality between projections (L_diff).
        loss_sim: the central moment discrepancy between shared projections (L_sim).
        loss_recon: the error of giving the utterance vectors back (L_recon).
    """

    source: ClassVar[str] = "released for CMU-MOSI (MMSA)"
    former: ClassVar[dict[str, str]] = {name: f"loss_{name}" for name in ("diff", "sim", "recon")}

    width: int = size(128)
    heads: int = size(2)
    feed: int = size(2048)
    dropout_fusion: float = dropout_rate(0.1)
    dropout_head: float = dropout_rate(0.2)
    loss_task_student: float = weight(1.0)
    loss_diff: float = weight(0.1)
    loss_sim: float = weight(0.3)
    loss_recon: float = weight(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads)


class States(NamedTuple):
    """What the network makes of one view; the mappings are by modality.

    Attributes:
        prediction: (B,).
        utterance: (B, U_m), zero where the modality is absent.
        projected: (B, S), x_m.
        private: (B, S).
        shared: (B, S).
        restored: (B, S), x_m from the two.
        fused: (B, 2 M, S), after the Transformer layer: the private vectors, then the shared ones.
        present: (B,) bool.
    """

    prediction: Tensor
    utterance: dict[str, Tensor]
    projected: dict[str, Tensor]
    private: dict[str, Tensor]
    shared: dict[str, Tensor]
    restored: dict[str, Tensor]
    fused: Tensor
    present: dict[str, Tensor]


class MISA(Model[MisaOptions]):
    """The network; it is trained on the squared error where the task would be the absolute one."""

    options_class = MisaOptions

    def __init__(self, dims: dict[str, int], options: MisaOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        self.task = Task(masked.mse) if self.task.error is masked.l1 else self.task
        self.modalities = [m for m in ORDER if m in dims]
        self.steps = nn.ModuleDict({m: StackedRecurrent(dims[m]) for m in self.modalities if m != "text"})
        utterance = {m: dims[m] if m == "text" else 4 * dims[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Linear(u, o.width) for m, u in utterance.items()})
        self.project_norm = nn.ModuleDict({m: nn.LayerNorm(o.width) for m in self.modalities})
        self.private = nn.ModuleDict({m: nn.Linear(o.width, o.width) for m in self.modalities})
        self.shared = nn.Linear(o.width, o.width)
        self.restore = nn.ModuleDict({m: nn.Linear(o.width, o.width) for m in self.modalities})
        self.fusion = nn.TransformerEncoderLayer(o.width, o.heads, o.feed, o.dropout_fusion, batch_first=True)
        vectors = 2 * len(self.modalities)
        self.head_in = nn.Linear(vectors * o.width, 3 * o.width)
        self.head_out = nn.Linear(3 * o.width, self.task.outputs)

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.states(view).prediction

    def states(self, view: View) -> States:
        """Everything that the losses need of a view."""
        utterance, projected, private, shared, restored = ({} for _ in range(5))
        for m in self.modalities:
            utterance[m] = _mean_of_tokens(view[m]) if m == "text" else self.steps[m](view[m])
            projected[m] = self.project_norm[m](F.relu(self.project[m](utterance[m])))  # (B, S)
            private[m] = self.private[m](projected[m]).sigmoid()
            shared[m] = self.shared(projected[m]).sigmoid()
            restored[m] = self.restore[m](private[m] + shared[m])
        fused = self.fusion(torch.stack([*private.values(), *shared.values()], dim=1))  # (B, 2 M, S)
        hidden = F.relu(dropout(self.head_in(fused.flatten(1)), self.options.dropout_head, self.training))
        prediction = self.score(self.head_out, hidden)
        present = {m: view[m].present for m in self.modalities}
        return States(prediction, utterance, projected, private, shared, restored, fused, present)

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view and the unweighted loss terms; a teacher has nothing to add."""
        states = self.states(incomplete)
        terms = {"task_student": self.task_loss(states.prediction, complete, targets)}
        return states.prediction, terms | self.relations(states)

    def relations(self, states: States) -> dict[str, Tensor]:
        """The losses between projections, by name: sums and means over what the samples have."""
        present = states.present
        pairs = list(combinations(self.modalities, 2))
        both = {pair: present[pair[0]] & present[pair[1]] for pair in pairs}
        diff = [orthogonality(states.private[m], states.shared[m], there) for m, there in present.items()]
        diff += [orthogonality(states.private[m], states.private[n], both[m, n]) for m, n in pairs]
        sim = [central_moments(states.shared[m], states.shared[n], both[m, n]) for m, n in pairs]
        recon = [masked.vector_mse(states.restored[m], states.projected[m], there) for m, there in present.items()]
        terms = {"diff": torch.stack(diff).sum(), "recon": _mean_of_those(recon, list(present.values()))}
        return terms | ({"sim": _mean_of_those(sim, list(both.values()))} if pairs else {})


class StackedRecurrent(nn.Module):
    """Two bidirectional LSTMs with a LayerNorm between them; the last states of all four directions."""

    def __init__(self, dim: int):
        super().__init__()
        self.first = Recurrent(dim, dim, bidirectional=True)
        self.norm = nn.LayerNorm(2 * dim)
        self.second = Recurrent(2 * dim, dim, bidirectional=True)

    def forward(self, steps: Steps) -> Tensor:
        """Steps of (B, T, D) -> (B, 4 D), zero where there is none."""
        lengths = steps.valid.sum(dim=1)
        states, first = self.first(steps.values, lengths)
        _, second = self.second(self.norm(states), lengths)
        return torch.cat([first, second], dim=1)


def _mean_of_tokens(text: Steps) -> Tensor:
    """The mean of all states of a text, [CLS] and [SEP] included: (B, D)."""
    tokens = with_cls(text)
    return masked_mean(tokens.values, tokens.valid)


def _mean_of_those(terms: list[Tensor], masks: list[Tensor]) -> Tensor:
    """The mean of the terms that any sample takes part in."""
    return masked.mean_where(torch.stack(terms), torch.stack([mask.any() for mask in masks]))
