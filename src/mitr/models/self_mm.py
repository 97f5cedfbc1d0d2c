"""Self-MM (Yu, Xu, Yuan, Wu: Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for
Multimodal Sentiment Analysis, AAAI 2021, arXiv 2102.04830), in the version that the field compares with (MMSA).

Beside the fused prediction, each modality predicts by itself. Labels of the single modalities are not asked of anybody:
the model generates them while it trains. In the space of each task's features, a sample lies nearer to the centre of
the positive or of the negative samples; where a modality says so more strongly than the fusion, its label moves away
from the human one. Labels, features and centres are a training's own state (`training_state`), not part of the model.
It is trained on the incomplete view alone; the validation loss is the fused task's.

Departures from the release: labels are clipped to the largest absolute training label (which is the release's number);
rows that were not visited yet are left out of the centres; without positive or negative samples labels stay. What the
release cannot do: the vector of a modality that a sample lacks is zero, and such a sample teaches that modality's task
nothing, nor does it move its label; a data set may lack modalities. Classes have no centres of a sign, so with them
only the fused task is learnt. Text without a summary is represented by the mean of its observed steps.

An addition, off by default: where the data have a label of a modality alone, that one takes the place of a generated
label and stays (`loss.unimodal`); of classes too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import NO_LABELS, Targets, View
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.options import ModelOptions, dropout_rate, size, weight
from mitr.nn.dropout import dropout
from mitr.nn.utterance import RecurrentEncoder, summary_of


@dataclass(frozen=True)
class SelfMmOptions(ModelOptions):
    """Sizes, dropout rates and weights of the loss terms; the defaults are those released for CMU-MOSI.

    Args:
        audio_hidden: width of audio's LSTM.
        vision_hidden: width of vision's LSTM.
        audio_out: width of audio's vector.
        vision_out: width of vision's vector.
        fused: width of the two layers before the fused prediction.
        text: width of the two layers before text's own prediction.
        audio: the same for audio's.
        vision: the same for vision's.
        dropout_audio_out: on the last state of audio's LSTM.
        dropout_vision_out: on the last state of vision's LSTM.
        dropout_fused: before the layers of the fused prediction.
        dropout_text: before those of text's own prediction.
        dropout_audio: the same for audio's.
        dropout_vision: the same for vision's.
        loss_task_student: the error of the fused prediction.
        loss_unimodal: the error of a modality's prediction against its human label, where the data have labels of
            single modalities; terms with generated labels weigh 1.
    """

    source: ClassVar[str] = "released for CMU-MOSI (MMSA)"

    audio_hidden: int = size(16)
    vision_hidden: int = size(32)
    audio_out: int = size(16)
    vision_out: int = size(32)
    fused: int = size(128)
    text: int = size(32)
    audio: int = size(16)
    vision: int = size(32)
    dropout_audio_out: float = dropout_rate(0.0)
    dropout_vision_out: float = dropout_rate(0.0)
    dropout_fused: float = dropout_rate(0.0)
    dropout_text: float = dropout_rate(0.1)
    dropout_audio: float = dropout_rate(0.1)
    dropout_vision: float = dropout_rate(0.0)
    loss_task_student: float = weight(1.0)
    loss_unimodal: float = weight(0.0, "chosen by us: off, as published")


class States(NamedTuple):
    """What the network makes of one view; the mappings are by task: `fused`, and each modality.

    Attributes:
        predictions: (B,); of `fused`: the task's answer.
        features: (B, F), F of the task's own width, after the first ReLU.
        present: (B,) bool; of `fused`: any modality is present.
    """

    predictions: dict[str, Tensor]
    features: dict[str, Tensor]
    present: dict[str, Tensor]


class Visit(NamedTuple):
    """What a training step leaves for the labels: rows of the train split, and their features and presence by task."""

    rows: Tensor
    features: dict[str, Tensor]
    present: dict[str, Tensor]


class SelfMM(Model[SelfMmOptions]):
    """The network.

    Attributes:
        generated: labels of the train split and features by task, once training has begun.
    """

    options_class = SelfMmOptions
    learns_unimodal = True
    own_rates = "encoder"

    def __init__(self, dims: dict[str, int], options: SelfMmOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
        out = {m: dim if m == "text" else getattr(o, f"{m}_out") for m, dim in dims.items()}
        self.modalities = tuple(dims)
        self.encoder = nn.ModuleDict(
            {
                m: RecurrentEncoder(dim, getattr(o, f"{m}_hidden"), out[m], getattr(o, f"dropout_{m}_out"))
                for m, dim in dims.items()
                if m != "text"
            }
        )
        inputs = {"fused": sum(out.values())} | (out if self.task.outputs == 1 or o.loss_unimodal else {})
        self.widths: dict[str, int] = {name: getattr(o, name) for name in inputs}
        self.head = nn.ModuleDict(
            {
                name: Head(dim, self.widths[name], self.task.outputs, getattr(o, f"dropout_{name}"))
                for name, dim in inputs.items()
            }
        )
        self.generated: UnimodalLabels | None = None
        self.visits: list[Visit] = []

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.states(view).predictions["fused"]

    def states(self, view: View) -> States:
        """What all tasks make of a view."""
        vectors = {m: summary_of(view[m]) if m == "text" else self.encoder[m](view[m]) for m in self.modalities}
        vectors["fused"] = torch.cat(list(vectors.values()), dim=1)
        present = {m: view[m].present for m in self.modalities}
        present["fused"] = torch.stack(list(present.values())).any(dim=0)
        predictions, features = {}, {}
        for name, head in self.head.items():
            last, features[name] = head(vectors[name])
            predictions[name] = self.task.answer(last)
        return States(predictions, features, present)

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model[Any] | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view and the unweighted loss terms; a teacher has nothing to add.

        In training the modalities' own terms are among them, and the batch is remembered for `after_step`.
        """
        states = self.states(incomplete)
        prediction = states.predictions["fused"]
        seen = ~self.nothing_observed(complete)
        terms = {"task_student": self.task.loss(prediction, targets, seen)}
        human = self._human(targets) if self.training else NO_LABELS
        for m, own in human.items():
            known = targets._replace(labels=own)
            terms[f"unimodal_{m}"] = self.task.loss(states.predictions[m], known, states.present[m])
        if self.training and self.generated is not None:
            for m, labels in self.generated.labels.items():
                if m != "fused":
                    own = labels[targets.positions]
                    mask = states.present[m] & seen
                    if m in human:
                        mask = mask & ~human[m].isfinite()
                    terms[f"task_{m}"] = unimodal_error(states.predictions[m], own, targets, mask)
            features = {name: part.detach() for name, part in states.features.items()}
            self.visits.append(Visit(targets.positions, features, states.present))
        return prediction, terms

    def weight_of(self, term: str) -> float:
        """The weight of a loss term; terms with generated labels weigh 1."""
        generated = term.startswith("task_") and term != "task_student"
        return 1.0 if generated else super().weight_of(term)

    def begin(self, targets: Targets) -> None:
        """The first labels of all tasks are the human ones."""
        if self.task.outputs == 1:
            self.generated = UnimodalLabels(targets.labels, self.widths, self._human(targets))

    def begin_epoch(self, epoch: int) -> None:
        """Labels move from the second epoch on."""
        if self.generated is not None:
            self.generated.epoch = epoch

    def after_step(self) -> None:
        """The labels of the samples that were just seen move, batch by batch."""
        visits, self.visits = self.visits, []
        for visit in visits:
            if self.generated is not None:
                self.generated.update(visit)

    def _human(self, targets: Targets) -> Mapping[str, Tensor]:
        """The labels of single modalities (B,), if the options give them a weight."""
        return {m: own for m, own in targets.unimodal.items() if m in self.modalities and self.options.loss_unimodal}

    def training_state(self) -> dict[str, Tensor]:
        """The generated labels (N,) and the features (N, F) of all tasks."""
        if self.generated is None:
            return {}
        state = {f"label/{name}": part for name, part in self.generated.labels.items()}
        return state | {f"feature/{name}": part for name, part in self.generated.features.items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Take up labels and features."""
        if self.generated is not None:
            for name in self.head:
                self.generated.labels[name].copy_(state[f"label/{name}"])
                self.generated.features[name].copy_(state[f"feature/{name}"])


class Head(nn.Module):
    """Dropout, two linear layers with ReLU and a last one.

    Args:
        dim: D of the vector.
        width: F, of the two layers.
        outputs: numbers to predict.
        dropout: on the vector.
    """

    def __init__(self, dim: int, width: int, outputs: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.first = nn.Linear(dim, width)
        self.inner = nn.Linear(width, width)
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> (B, outputs) and the features (B, F)."""
        features = F.relu(self.first(dropout(x, self.dropout, self.training)))
        hidden = F.relu(self.inner(features))
        with torch.autocast(hidden.device.type, enabled=False):  # bf16 would leave a score two or three digits
            return self.last(hidden.float()), features


class UnimodalLabels:
    """The generator of unimodal labels (ULGM, section 3.3 of the paper), over the N samples of a train split.

    Args:
        labels: (N,) the human labels of the samples.
        widths: task -> F.
        human: modality -> (N,) its own human label, NaN where one is to be generated.

    Attributes:
        labels: task -> (N,) label, NaN where the human label is not known; those of `fused` are the human ones.
        features: task -> (N, F) the features that a sample last had, NaN before its first visit.
        bound: the largest absolute label.
        epoch: numbered from 0; no label moves in the first one.
    """

    def __init__(self, labels: Tensor, widths: dict[str, int], human: Mapping[str, Tensor] = NO_LABELS):
        self.given = {m: own.isfinite() for m, own in human.items()}
        self.labels = {name: labels.clone() for name in widths}
        for m, own in human.items():
            self.labels[m] = torch.where(self.given[m], own, labels)
        self.features = {name: labels.new_full((len(labels), width), torch.nan) for name, width in widths.items()}
        self.bound = labels.abs().nan_to_num().max()
        self.epoch = 0

    def update(self, visit: Visit) -> None:
        """Move the labels of a batch by the centres as they were, then take in its features."""
        if self.epoch > 0:
            fused = self._leaning("fused", visit)
            human = self.labels["fused"][visit.rows]
            share = 2 / (self.epoch + 2)  # e counted from 1: 2 / (e + 1)
            for m in self.labels.keys() - {"fused"}:
                own = self._leaning(m, visit)
                new = 0.5 * own / (fused + 1e-8) * human + 0.5 * (human + own - fused)
                moved = (1 - share) * self.labels[m][visit.rows] + share * new.clamp(-self.bound, self.bound)
                there = visit.present[m] & moved.isfinite()
                if m in self.given:
                    there = there & ~self.given[m][visit.rows]
                self.labels[m][visit.rows[there]] = moved[there]
        for name, stored in self.features.items():
            there = visit.present[name]
            stored[visit.rows[there]] = visit.features[name][there].to(stored.dtype)

    def centre(self, name: str, sign: int) -> Tensor:
        """(F,) the mean features of the samples whose label of this task is positive (1) or negative (-1); else NaN."""
        features = self.features[name]
        return features[(sign * self.labels[name] > 0) & features.isfinite().all(dim=1)].mean(dim=0)

    def _leaning(self, name: str, visit: Visit) -> Tensor:
        """(B,) how much nearer features are to the positive centre than to the negative one, by the former distance."""
        features = visit.features[name]
        positive, negative = ((features - self.centre(name, sign)).norm(dim=1) for sign in (1, -1))
        return (negative - positive) / (positive + 1e-8)


def unimodal_error(prediction: Tensor, own: Tensor, targets: Targets, mask: Tensor) -> Tensor:
    """Mean absolute error of (B,) predictions against generated labels, weighted by the tanh of how far these moved."""
    known = mask & targets.known
    moved = torch.where(known, own - targets.labels, torch.zeros_like(own)).abs().tanh()
    return masked.l1(prediction, own, known, moved * targets.weights)
