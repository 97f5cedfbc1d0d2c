"""Hugging Face's BERT over the tokens that are there: padding goes through attention alone, not through the products.

The model is given all tokens of a batch one behind the other, as one long sample; this attention knows where each text
begins. Every other model, and a BERT that is called as usual, attends as PyTorch does it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mitr.nn.attention import attention_mask, scaled_dot_product
from mitr.nn.dropout import Dropout
from mitr.nn.masked import put_rows, take_rows

NAME = "mitr_packed"


def prepare(model: Any) -> bool:
    """Let a model use this attention, where it is a BERT, and cheaper dropout; whether `read` can be used."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
    if model.config.model_type != "bert":  # others count positions in ways of their own
        return False
    _register()
    model.set_attn_implementation(NAME)
    return True


def read(model: Any, ids: Tensor, valid: Tensor) -> Tensor:
    """(B, T) ids and (B, T) bool -> (B, T, D) states, zero outside `valid`; each token keeps its position in T."""
    tokens = ids[valid][None]  # (1, n)
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)[valid][None]
    states: Tensor = model(input_ids=tokens, position_ids=places, packed=valid).last_hidden_state
    return put_rows(states[0], valid)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """(1, H, n, d) each and the (B, T) bool that they come from -> (1, n, H, d); or (B, H, T, d) -> (B, T, H, d)."""
    if packed is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        mixed, _ = sdpa_attention_forward(module, query, key, value, mask, dropout, scaling, **more)
        return mixed, None
    heads, width = query.shape[1], query.shape[3]
    q, k, v = (
        put_rows(x[0].transpose(0, 1).flatten(1), packed).unflatten(2, (heads, width)).transpose(1, 2)  # (B, H, T, d)
        for x in (query, key, value)
    )
    mask = None if packed.all() else attention_mask(packed)[:, None]
    found = scaled_dot_product(q, k, v, mask, dropout)
    return take_rows(found.transpose(1, 2).flatten(2), packed).view(1, -1, heads, width), None
