"""A recurrent cell as the operator that ONNX has for it, while a network is exported.

`torch.export` runs `nn.LSTM` and `nn.GRU` step by step, which fixes the number of steps; PyTorch's exporter to ONNX can
keep it open only as a loop of a dozen small operators a step.
"""

from typing import Any

import torch
from torch import Tensor, nn

OPSET = 20
# the order of ONNX's gates among PyTorch's: input, output, forget, cell; update, reset, hidden
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def recurrent(cell: nn.LSTM | nn.GRU, x: Tensor) -> Tensor:
    """(B, T, D) -> states (B, T, W) of a cell of one layer and direction; it can be exported and not be called."""
    kind = "LSTM" if isinstance(cell, nn.LSTM) else "GRU"
    weight, recurrence, *biases = (_in_order(each, GATES[kind]) for each in cell.parameters())
    attributes: dict[str, Any] = {"hidden_size": cell.hidden_size}
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    shape: list[Any] = [x.shape[1], 1, x.shape[0], cell.hidden_size]  # steps, directions, samples, width
    inputs = [x.transpose(0, 1), weight[None], recurrence[None], torch.cat(biases)[None]]
    states = torch.onnx.ops.symbolic(kind, inputs, attributes, dtype=x.dtype, shape=shape, version=OPSET)
    return states[:, 0].transpose(0, 1)


def _in_order(parameter: Tensor, order: tuple[int, ...]) -> Tensor:
    return parameter.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1)
