"""MITR-DNet (Wang, Wang, Yu, Jiao: Modality-Invariant Bidirectional Temporal Representation Distillation Network for
Missing Multimodal Sentiment Analysis, ICASSP 2025, arXiv 2501.05474).

A teacher sees everything that a sample has, a student sees what is left of it; both are this one network (or the
teacher is a frozen one). Per modality: Transformer layer -> bidirectional temporal module -> mean over time; then
fusion and head.

Departures from the authors' release, each with an option that leads back: the backward stream reverses time
inside the true length instead of the channels; the unimodal encoders are not causal and give every step its position.
Without a switch: padding takes no part in attention, BatchNorm and means; a modality that a sample lacks has no steps
and enters fusion as a learned absence vector; losses average over what exists.

An addition, off by default: where the data have a label of a modality alone, a linear head on that modality learns it
(`loss.unimodal`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, Targets, View
from mitr.data.schema import MODALITIES
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import TeacherOptions, choice, dropout_rate, weight
from mitr.nn.dropout import dropout
from mitr.nn.fusion import MeanFusion, TransformerFusion
from mitr.nn.masked import precise
from mitr.nn.simsiam import SimSiamHead
from mitr.nn.temporal import BidirectionalTemporal
from mitr.nn.unimodal import UnimodalEncoder

WIDTH, LEVELS = 25, 4
DIM = WIDTH * LEVELS  # D = 100, the common width


@dataclass(frozen=True)
class MitrDNetOptions(TeacherOptions):
    """Switches, dropout rates and weights of the loss terms (docs/method.md); the defaults are those of CMU-MOSI.

    Args:
        reversal: what the backward stream of MIB-TRL sees: `time` (the sequence reversed inside its true length, as
            the paper says) or `channel` (features flipped, as the release does).
        causal: the unimodal encoders look only at earlier steps, as in the release.
        skip_zero_positions: steps whose first feature is 0 get no position, as in the release.
        fusion: `transformer` (TF, as published), or `mean` of the modalities' states, which has no weights.
        dropout_text: attention dropout of the text encoder layer.
        dropout_audio: attention dropout of the audio encoder layer.
        dropout_vision: attention dropout of the vision encoder layer.
        dropout_embedding: dropout on the unimodal encoders' input.
        dropout_head: dropout before the last layer.
        loss_task_student: L1 of the incomplete view's prediction.
        loss_task_teacher: L1 of the complete view's prediction.
        loss_simsiam: SimSiam between the views, per modality.
        loss_reconstruction: smooth-L1 of what was dropped, per modality.
        loss_distill_fused: teacher's fusion to the student's modalities (L_ts of TF).
        loss_distill_unimodal: teacher's modality to the student's (L_ts of MIB).
        loss_invariance: student's fusion to the student's modalities (L_ss of TF).
        loss_unimodal: each modality's label, where the data have labels of single modalities (CH-SIMS), from that
            modality alone.
    """

    source: ClassVar[str] = "released for CMU-MOSI (Wang et al. 2025)"

    reversal: Literal["time", "channel"] = choice("time", "Wang et al. 2025, section 2.2; the release flips channels")
    causal: bool = choice(False, "Wang et al. 2025; the release is causal")
    skip_zero_positions: bool = choice(False, "Wang et al. 2025; the release skips them")
    fusion: Literal["transformer", "mean"] = choice("transformer")
    dropout_text: float = dropout_rate(0.3)
    dropout_audio: float = dropout_rate(0.2)
    dropout_vision: float = dropout_rate(0.0)
    dropout_embedding: float = dropout_rate(0.2)
    dropout_head: float = dropout_rate(0.5)
    loss_task_student: float = weight(1.0)
    loss_task_teacher: float = weight(1.0)
    loss_simsiam: float = weight(1.0)
    loss_reconstruction: float = weight(1.0)
    loss_distill_fused: float = weight(0.3)
    loss_distill_unimodal: float = weight(0.3)
    loss_invariance: float = weight(0.3)
    loss_unimodal: float = weight(0.0, "chosen by us: off, as published")


class States(NamedTuple):
    """What the network makes of one view; the mappings are by modality.

    Attributes:
        prediction: (B,).
        fused: (B, D), f.
        pooled: (B, D), z_m; the learned absence vector where the modality is absent.
        sequence: (B, T, D), Z_m.
        projected: (B, D), z'_m.
        predicted: (B, D), p_m.
        present: (B,) bool.
    """

    prediction: Tensor
    fused: Tensor
    pooled: dict[str, Tensor]
    sequence: dict[str, Tensor]
    projected: dict[str, Tensor]
    predicted: dict[str, Tensor]
    present: dict[str, Tensor]


class MitrDNet(Model[MitrDNetOptions]):
    """The network."""

    options_class = MitrDNetOptions
    learns_unimodal = True
    own_rates = "temporal"

    def __init__(self, dims: dict[str, int], options: MitrDNetOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        self.encoder = nn.ModuleDict(
            {
                m: UnimodalEncoder(
                    dim,
                    getattr(o, f"dropout_{m}"),
                    o.dropout_embedding,
                    o.causal,
                    o.skip_zero_positions,
                )
                for m, dim in dims.items()
            }
        )
        self.temporal = nn.ModuleDict(
            {m: BidirectionalTemporal(dim, WIDTH, LEVELS, o.reversal) for m, dim in dims.items()}
        )
        self.simsiam = nn.ModuleDict({m: SimSiamHead(DIM) for m in dims})
        self.restore = nn.ModuleDict({m: nn.Linear(DIM, dim) for m, dim in dims.items()})
        self.absence = nn.ParameterDict({m: nn.Parameter(torch.zeros(DIM)) for m in MODALITIES})
        self.fusion = TransformerFusion(DIM) if o.fusion == "transformer" else MeanFusion()
        self.head_in = nn.Linear(DIM, DIM)
        self.head_out = nn.Linear(DIM, self.task.outputs)
        own = dims if o.loss_unimodal else ()
        self.unimodal = nn.ModuleDict({m: nn.Linear(DIM, self.task.outputs) for m in own})

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.states(view).prediction

    def states(self, view: View) -> States:
        """Everything that the losses need of one view."""
        (states,) = self._states([view])
        return states

    def states_of_both(self, one: View, other: View) -> tuple[States, States]:
        """`states` of two views of the same samples, at the price of little more than one."""
        first, second = self._states([one, other])
        return first, second

    def sequences(self, modality: str, views: list[Steps]) -> list[Tensor]:
        """The states (B, T, D) of a modality's steps in each view; all views have as many steps."""
        values, valid = (torch.cat(each) for each in zip(*(steps[:2] for steps in views), strict=True))
        encoded = self.encoder[modality](values, valid).unflatten(0, (len(views), -1)).unbind()  # (B, T, d_m) each
        temporal = self.temporal[modality]
        assert isinstance(temporal, BidirectionalTemporal)
        return temporal.of_views(encoded, [steps.valid for steps in views])

    def _states(self, views: list[View]) -> list[States]:
        of_views = {m: self.sequences(m, [view[m] for view in views]) for m in self.dims}
        sequences = [{m: of_views[m][i] for m in self.dims} for i in range(len(views))]
        # small tensors from here on: in bf16 a step would not be faster, and a score would have two or three digits
        with torch.autocast(next(iter(sequences[0].values())).device.type, enabled=False):
            pooled = [self._pooled(*pair) for pair in zip(views, sequences, strict=True)]
            fused, predictions = self._fused([parts["pooled"] for parts in pooled])
        return [
            States(prediction=prediction, fused=f, sequence=sequence, **parts)
            for prediction, f, sequence, parts in zip(predictions, fused, sequences, pooled, strict=True)
        ]

    def _pooled(self, view: View, sequence: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """What `States` has by modality but the sequence, of one view: batch normalisation takes them one by one."""
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in ("pooled", "projected", "predicted", "present")}
        for m, states in sequence.items():
            valid, present = view[m].valid, view[m].present
            total = states.sum(dim=1, dtype=precise(states.dtype))  # zero where not valid
            mean = total / valid.sum(dim=1, keepdim=True).clamp(min=1)  # (B, D)
            parts["projected"][m], parts["predicted"][m] = self.simsiam[m](mean, present)
            parts["pooled"][m] = torch.where(present[:, None], mean, self.absence[m])
            parts["present"][m] = present
        return parts

    def _fused(self, pooled: list[dict[str, Tensor]]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """f and the prediction of each view, from its z_m."""
        views, samples = len(pooled), next(iter(pooled[0].values())).shape[0]
        z = [
            torch.cat([own[m] if m in own else self.absence[m].expand(samples, -1) for own in pooled])
            for m in MODALITIES
        ]
        fused = self.fusion(*z)
        hidden = dropout(F.relu(self.head_in(fused)), self.options.dropout_head, self.training)
        prediction = self.task.answer(self.head_out(hidden))
        return fused.unflatten(0, (views, samples)).unbind(), prediction.unflatten(0, (views, samples)).unbind()

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view, and the loss terms, unweighted, by name.

        Args:
            complete: all that the samples have; it may itself lack modalities and steps.
            incomplete: what is left of it.
            targets: labels (B,), NaN where not known, and weights.
            teacher: a frozen MitrDNet; None: this network is its own teacher.
        """
        if teacher is None:
            student, guide = self.states_of_both(incomplete, complete)
        else:
            student = self.states(incomplete)
            with torch.no_grad():
                guide = teacher.states(complete)  # type: ignore[operator]
        seen = ~self.nothing_observed(complete)
        terms = {"task_student": self.task.loss(student.prediction, targets, seen)}
        if teacher is None:
            terms["task_teacher"] = self.task.loss(guide.prediction, targets, seen)
        for m in self.dims:
            both = student.present[m] & guide.present[m]
            terms[f"simsiam_{m}"] = masked.simsiam(
                student.predicted[m], guide.projected[m], guide.predicted[m], student.projected[m], both
            )
            dropped = complete[m].available & ~incomplete[m].available & incomplete[m].valid
            restored = self.restore[m](student.sequence[m])  # (B, T, d_m)
            terms[f"reconstruction_{m}"] = masked.reconstruction(restored, complete[m].values, dropped)
            terms[f"distill_fused_{m}"] = masked.vector_l1(student.pooled[m], guide.fused, both)
            terms[f"distill_unimodal_{m}"] = masked.vector_mse(student.pooled[m], guide.pooled[m], both)
            terms[f"invariance_{m}"] = masked.vector_mse(student.pooled[m], student.fused, student.present[m])
            if m in self.unimodal and m in targets.unimodal:
                with torch.autocast(student.pooled[m].device.type, enabled=False):
                    answer = self.task.answer(self.unimodal[m](student.pooled[m]))
                own = targets._replace(labels=targets.unimodal[m])
                terms[f"unimodal_{m}"] = self.task.loss(answer, own, student.present[m])
        return student.prediction, terms
