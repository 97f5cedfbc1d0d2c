"""Blocks as a graph can have them: for inference, on padded batches, with masks where the originals pick rows.

A graph of fixed operators knows neither "the rows that exist" nor a loop over the steps of a sample. Each class here
takes the weights of a block of `mitr.nn` and gives, for inference, what that block gives.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.batches.views import Steps, View
from mitr.models.base import Model
from mitr.models.mitr_dnet import MitrDNet
from mitr.models.yardsticks import MeanLabel
from mitr.nn.attention import attention_mask
from mitr.nn.masked import masked_mean
from mitr.nn.recurrent import Recurrent
from mitr.nn.simsiam import SimSiamHead
from mitr.nn.temporal import BidirectionalTemporal
from mitr.nn.unimodal import UnimodalEncoder, sinusoids
from mitr.nn.utterance import PooledEncoder

EPS = 1e-5  # of BatchNorm1d
OPSET = 20


class PaddedTemporal(nn.Module):
    """`BidirectionalTemporal`, with BatchNorm inside its linear layers; both directions are one batch.

    Attributes:
        time: the backward stream reverses time, not the features.
        levels: number of temporal blocks.
    """

    def __init__(self, block: BidirectionalTemporal):
        super().__init__()
        state = block.state_dict()
        self.time = block.reversal == "time"
        self.levels = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        for side in ("forward_input", "backward_input"):
            self._keep(side, *_folded(state, side))
        for level in range(self.levels):
            gates = [_folded(state, f"blocks.{level}.{part}") for part in ("content", "gate")]
            self._keep(f"gates{level}", *(torch.cat(parts) for parts in zip(*gates, strict=True)))
            skip = f"blocks.{level}.skip"
            self._keep(f"skip{level}", state[f"{skip}.weight"], state[f"{skip}.bias"])

    def _keep(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_weight", weight)
        self.register_buffer(f"{name}_bias", bias)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool, true at the first steps of each sample -> (B, T, levels x W), zero outside."""
        mirror = mirrored(valid)
        back = take(x, mirror) if self.time else x.flip(2)
        both = torch.stack([self._linear("forward_input", x), self._linear("backward_input", back)]).relu()
        levels = []
        for level in range(self.levels):  # (2, B, T, W)
            earlier = F.pad(both, (0, 0, 2**level, 0))[:, :, : x.shape[1]]
            content, gate = self._linear(f"gates{level}", torch.cat([earlier, both], dim=3)).relu().chunk(2, dim=3)
            both = both + self._linear(f"skip{level}", content.tanh() * gate.sigmoid())
            levels.append(both[0] + (take(both[1], mirror) if self.time else both[1]))
        return torch.cat(levels, dim=2) * valid[:, :, None]


class PaddedMitrDNet(MitrDNet):
    """`MitrDNet`, one view at a time."""

    def sequences(self, modality: str, views: list[Steps]) -> list[Tensor]:
        """The states (B, T, D) of a modality's steps in each view."""
        encode, read = self.encoder[modality], self.temporal[modality]
        return [read(encode(steps.values, steps.valid), steps.valid) for steps in views]


class PaddedMean(MeanLabel):
    """`MeanLabel`, without its product over no features, which onnxruntime 1.23 leaves undone."""

    def forward(self, view: View) -> Tensor:
        """A view -> predictions (B,)."""
        return self.bias.expand(next(iter(view.values())).valid.shape[0])


class PaddedUnimodal(nn.Module):
    """`UnimodalEncoder`."""

    def __init__(self, block: UnimodalEncoder):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and (B, T) bool -> (B, T, D)."""
        block = self.block
        positions = sinusoids(x.shape[1], x.shape[2]).to(x)  # (T, D)
        if block.skip_zero_positions:
            positions = positions * (x[:, :, :1] != 0)  # (B, T, D)
        x = math.sqrt(x.shape[2]) * x + positions
        normal = block.attention_norm(x)
        x = x + block.attention(normal, normal, attention_mask(valid, block.causal))
        x = x + block.feed_out(F.relu(block.feed_in(block.feed_norm(x))))
        normalised: Tensor = block.norm(x)
        return normalised


class PaddedPooled(nn.Module):
    """`PooledEncoder`."""

    def __init__(self, block: PooledEncoder):
        super().__init__()
        self.norm, self.layers = block.norm, block.layers

    def forward(self, steps: Steps) -> Tensor:
        """Steps of (B, T, D) -> (B, W), zero where there is none."""
        x = self.norm(masked_mean(steps.values, steps.valid))
        for layer in self.layers:
            x = F.relu(layer(x))
        return x * steps.present[:, None]


class PaddedRecurrent(nn.Module):
    """`Recurrent` as the LSTM or GRU of ONNX, which knows lengths; it can be exported and not be called.

    PyTorch's own would be exported as a loop over steps, each with a dozen small operators.
    """

    weight: Tensor
    recurrence: Tensor
    bias: Tensor

    def __init__(self, block: Recurrent):
        super().__init__()
        cells = [block.ahead, *([] if block.back is None else [block.back])]
        self.kind = "LSTM" if isinstance(block.ahead, nn.LSTM) else "GRU"
        self.width = block.ahead.hidden_size
        # the order of gates, of PyTorch's in ONNX's: input, output, forget, cell; update, reset, hidden
        order = (0, 3, 1, 2) if self.kind == "LSTM" else (1, 0, 2)
        parts = [[_in_order(p, order) for p in cell.parameters()] for cell in cells]
        self.register_buffer("weight", torch.stack([part[0] for part in parts]))  # (directions, gates W, D)
        self.register_buffer("recurrence", torch.stack([part[1] for part in parts]))  # (directions, gates W, W)
        self.register_buffer("bias", torch.stack([torch.cat(part[2:]) for part in parts]))  # (directions, 2 gates W)
        self.attributes: dict[str, Any] = {"hidden_size": self.width}
        self.attributes |= {"direction": "bidirectional" if len(cells) > 1 else "forward"}
        self.attributes |= {"linear_before_reset": 1} if self.kind == "GRU" else {}

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) and (B,) int64 steps, 0 to T -> states (B, T, W or 2 W), zero in padding, and last ones (B, .)."""
        directions, samples, steps = len(self.weight), x.shape[0], x.shape[1]
        shapes: list[Any] = [(steps, directions, samples, self.width), (directions, samples, self.width)]
        states, last = torch.onnx.ops.symbolic_multi_out(
            self.kind,
            [x.transpose(0, 1), self.weight, self.recurrence, self.bias, lengths.clamp(min=1).int()],
            self.attributes,
            dtypes=(x.dtype, x.dtype),
            shapes=shapes,
            version=OPSET,
        )
        inside = torch.arange(steps)[None] < lengths[:, None]  # (B, T)
        states = states.permute(2, 0, 1, 3).flatten(2) * inside[:, :, None]
        return states, last.transpose(0, 1).flatten(1) * (lengths > 0)[:, None]


class Unused(nn.Module):
    """A block of which training alone needs the result."""

    def forward(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """What comes in."""
        return x, x


def padded(model: Model) -> Model:
    """A copy of a model for inference, of such blocks; the model is left as it is."""
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    kinds: dict[type[Model], type[Model]] = {MitrDNet: PaddedMitrDNet, MeanLabel: PaddedMean}
    copied.__class__ = kinds.get(type(copied), type(copied))
    return _replaced(copied)


def mirrored(valid: Tensor) -> Tensor:
    """(B, T) bool -> (B, T) int64: for each step the one that takes its place when the sample is reversed."""
    step = torch.arange(valid.shape[1])[None]
    return torch.where(valid, valid.sum(dim=1, keepdim=True) - 1 - step, step)


def take(x: Tensor, steps: Tensor) -> Tensor:
    """(B, T, D) and (B, S) indices of steps -> (B, S, D)."""
    return x.gather(1, steps[:, :, None].expand(-1, -1, x.shape[2]))


def _replaced(model: Model) -> Model:
    kinds: dict[type, Callable[[Any], nn.Module]] = {
        BidirectionalTemporal: PaddedTemporal,
        UnimodalEncoder: PaddedUnimodal,
        PooledEncoder: PaddedPooled,
        Recurrent: PaddedRecurrent,
        SimSiamHead: lambda _: Unused(),
    }
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in kinds:
                setattr(parent, name, kinds[type(child)](child))
    return model


def _folded(state: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer with the BatchNorm behind it."""
    norm = f"{name}.norm"
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPS).sqrt()
    weight, bias = state[f"{name}.linear.weight"], state[f"{name}.linear.bias"]
    return weight * scale[:, None], (bias - state[f"{norm}.running_mean"]) * scale + state[f"{norm}.bias"]


def _in_order(parameter: Tensor, order: tuple[int, ...]) -> Tensor:
    gates = parameter.detach().chunk(len(order))
    return torch.cat([gates[gate] for gate in order])
