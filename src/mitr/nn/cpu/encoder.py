"""The Transformer layer of the unimodal encoder in fewer products.

Weight and bias of the first LayerNorm are multiplied into those of the projections behind it: an input that needs no
gradient, such as given states of a text, then spares the product for its gradient. Wide features are slow to multiply,
so that padding is left out of their products.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.attention import Attention
from mitr.nn.cpu.rows import put_rows, take_rows

WIDE = 128  # features from which taking rows out costs less than multiplying padding


class Layer(Protocol):
    """What is used of a pre-LayerNorm Transformer layer."""

    attention_norm: nn.LayerNorm
    attention: Attention

    def feed(self, x: Tensor) -> Tensor: ...


def encode(layer: Layer, x: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D), the valid steps (B, T) bool and the mask of the attention (B, 1 or T, T) bool -> (B, T, D).

    It is zero in padding where D is wide.
    """
    attention = layer.attention
    if x.shape[2] < WIDE:
        return layer.feed(x + attention.out(attention.mix(*_projected(layer, x), mask, valid)))
    rows = take_rows(x, valid)  # (n, D)
    queries, keys, values = (put_rows(each, valid) for each in _projected(layer, rows))
    mixed = take_rows(attention.mix(queries, keys, values, mask), valid)
    return put_rows(layer.feed(rows + attention.out(mixed)), valid)


def _projected(layer: Layer, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of LayerNorm(x), each (..., D)."""
    linear = layer.attention.query, layer.attention.key, layer.attention.value
    weight, bias = torch.cat([each.weight for each in linear]), torch.cat([each.bias for each in linear])  # (3 D, D)
    norm = layer.attention_norm
    normal = F.layer_norm(x, norm.normalized_shape, eps=norm.eps)
    queries, keys, values = F.linear(normal, weight * norm.weight, bias + weight @ norm.bias).chunk(3, dim=-1)
    return queries, keys, values
