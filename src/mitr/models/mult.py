"""MulT (Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov: Multimodal Transformer for Unaligned Multimodal Language
Sequences, ACL 2019, arXiv 1906.00295), in the version that the field compares with (EMT-DLFR's repository).

A convolution brings each modality to a common width; each then reads the two others, by a crossmodal encoder for each
ordered pair; a self-attention encoder joins what it has read, and its last step stands for the modality. It is trained
on the incomplete view alone.

Departures from the release, all undone by `MultOptions.released`: steps get positions, as the paper says; padding takes
part in nothing, and lengths are the true ones in the causal mask and for the last step; convolutions are padded with
zeros, so that a single step suffices. Without a switch: what a sample lacks is not read, and a learned vector stands
for it; a modality that the data set lacks has no encoders.
"""

from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Targets, View, with_cls
from mitr.config import LossConfig, ModelConfig
from mitr.losses.task import Task
from mitr.models.base import Model, check_options, read_options
from mitr.nn.crossmodal import CrossmodalEncoder, CrossmodalOptions, StepProjection
from mitr.nn.dropout import dropout


@dataclass
class MultOptions(CrossmodalOptions):
    """The common options, at what was released for CMU-MOSI, and two more.

    Args:
        dropout_head: inside the head.
        released: no positions, no padding of the convolutions, and padded steps that count like real ones.
    """

    width: int = 40
    heads: int = 10
    layers: int = 4
    kernel_text: int = 1
    kernel_audio: int = 5
    kernel_vision: int = 1
    dropout_text: float = 0.2
    dropout_read_text: float = 0.1
    dropout_read_audio: float = 0.1
    dropout_read_vision: float = 0.2
    dropout_inner: float = 0.2
    dropout_residual: float = 0.2
    dropout_embedding: float = 0.1
    dropout_head: float = 0.1
    released: bool = False

    def __post_init__(self) -> None:
        check_options(self)
        self.check()


class MulT(Model):
    """The network.

    Args:
        dims: modality -> its feature width, for the modalities that the data set has.
        config: its `options` are those of `MultOptions`.
        loss: the weight of the task.
        task: what is predicted; None: one number, by its absolute error.
    """

    def __init__(self, dims: dict[str, int], config: ModelConfig, loss: LossConfig, task: Task | None = None):
        super().__init__()
        self.dims = dims
        self.loss = loss
        self.task = task or Task()
        o = self.options = read_options(MultOptions, config)
        widths = dict.fromkeys(dims, o.width * max(1, len(dims) - 1))  # a lone modality has itself only

        def encoder(width: int, layers: int, read: str) -> CrossmodalEncoder:
            return CrossmodalEncoder(width, o.heads, layers, o.dropouts(read), "none" if o.released else "all")

        self.project = nn.ModuleDict(
            {m: StepProjection(d, o.width, getattr(o, f"kernel_{m}"), not o.released) for m, d in dims.items()}
        )
        self.cross = nn.ModuleDict({f"{m}_reads_{n}": encoder(o.width, o.layers, n) for m, n in permutations(dims, 2)})
        self.memory = nn.ModuleDict({m: encoder(widths[m], o.own_layers, "text") for m in dims})
        self.absence = nn.ParameterDict({m: nn.Parameter(torch.zeros(widths[m])) for m in dims})
        joint = sum(widths.values())
        self.head_in = nn.Linear(joint, joint)
        self.head_inner = nn.Linear(joint, joint)
        self.head_out = nn.Linear(joint, self.task.outputs)

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.task.answer(self.answer(torch.cat(list(self.summaries(view).values()), dim=1)))

    def summaries(self, view: View) -> dict[str, Tensor]:
        """Modality -> the last step (B, 2 D) of what it has read; the learned absence vector where it is absent."""
        o = self.options
        values: dict[str, Tensor] = {}  # (B, T, D)
        valid: dict[str, Tensor] = {}  # (B, T)
        for m in self.dims:
            steps = with_cls(view[m])
            inside = torch.ones_like(steps.valid) if o.released else steps.valid
            x = dropout(steps.values, o.dropout_text if m == "text" else 0.0, self.training)
            values[m] = self.project[m](x, inside)
            valid[m] = inside[:, : values[m].shape[1]]
        found = {}
        for m in self.dims:
            others = [n for n in self.dims if n != m]
            read = [self.cross[f"{m}_reads_{n}"](values[m], valid[m], values[n], valid[n]) for n in others]
            joined = self.memory[m](torch.cat(read or [values[m]], dim=2), valid[m])  # (B, T, 2 D)
            samples = torch.arange(joined.shape[0], device=joined.device)
            last = joined[samples, (valid[m].sum(dim=1) - 1).clamp(min=0)]
            found[m] = torch.where(valid[m].any(dim=1)[:, None], last, self.absence[m].to(last.dtype))
        return found

    def answer(self, joined: Tensor) -> Tensor:
        """The summaries side by side -> the last layer (B, outputs)."""
        inner = dropout(F.relu(self.head_in(joined)), self.options.dropout_head, self.training)
        joined = joined + self.head_inner(inner)
        with torch.autocast(joined.device.type, enabled=False):  # bf16 would leave a score two or three digits
            last: Tensor = self.head_out(joined.float())
        return last

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: "Model | None" = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predictions (B,) of the incomplete view, and their error; nothing is learned from the complete view."""
        prediction = self(incomplete)
        seen = ~self.nothing_observed(complete)
        return prediction, {"task_student": self.task.loss(prediction, targets, seen)}

    def weight_of(self, term: str) -> float:
        """The configured weight of the one loss term."""
        return self.loss.task_student
