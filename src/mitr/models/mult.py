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
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import View, with_cls
from mitr.losses.task import Task
from mitr.models.base import Model
from mitr.models.crossmodal import CrossmodalOptions
from mitr.models.options import choice, dropout_rate, kernel, size, weight
from mitr.nn.crossmodal import CrossmodalEncoder, StepProjection
from mitr.nn.dropout import dropout


@dataclass(frozen=True)
class MultOptions(CrossmodalOptions):
    """The common options, at what was released for CMU-MOSI, and more.

    Args:
        dropout_head: inside the head.
        released: no positions, no padding of the convolutions, and padded steps that count like real ones.
        loss_task_student: the error of the prediction.
    """

    source: ClassVar[str] = "released for CMU-MOSI (EMT-DLFR's repository, Sun et al. 2023)"

    width: int = size(40)
    heads: int = size(10)
    layers: int = size(4)
    kernel_text: int = kernel(1)
    kernel_audio: int = kernel(5)
    kernel_vision: int = kernel(1)
    dropout_text: float = dropout_rate(0.2)
    dropout_read_text: float = dropout_rate(0.1)
    dropout_read_audio: float = dropout_rate(0.1)
    dropout_read_vision: float = dropout_rate(0.2)
    dropout_inner: float = dropout_rate(0.2)
    dropout_residual: float = dropout_rate(0.2)
    dropout_embedding: float = dropout_rate(0.1)
    dropout_head: float = dropout_rate(0.1)
    released: bool = choice(False, "Tsai et al. 2019")
    loss_task_student: float = weight(1.0)


class MulT(Model[MultOptions]):
    """The network."""

    options_class = MultOptions

    def __init__(self, dims: dict[str, int], options: MultOptions | None = None, task: Task | None = None):
        super().__init__(dims, options, task)
        o = self.options
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
        joined = torch.cat(list(self.summaries(view).values()), dim=1)
        inner = dropout(F.relu(self.head_in(joined)), self.options.dropout_head, self.training)
        return self.score(self.head_out, joined + self.head_inner(inner))

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
