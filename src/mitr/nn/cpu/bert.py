"""Hugging Face's BERT over rows: padding goes through attention alone, not through the products.

All valid tokens of a batch stand one behind the other, (n, D). Embeddings and weights are the model's; its layers are
computed here, so that values are converted to a format of 16 bits once a layer, and the backward pass computes again
what is cheap instead of keeping it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mitr.nn.attention import attention_mask
from mitr.nn.cpu.attention import attend, attend_back, bias_of
from mitr.nn.cpu.dropout import kept_values, scale_of
from mitr.nn.cpu.rows import put_rows, take_rows

Norm = Sequence[Tensor | None]  # weight and bias of a LayerNorm, or None twice: no norm


def serves(model: Any) -> bool:
    """Whether `read` computes the same as a Hugging Face model's own call: it is a plain BERT."""
    config = model.config
    if config.model_type != "bert":  # others count positions in ways of their own
        return False
    if config.is_decoder or config.chunk_size_feed_forward or config.hidden_act != "gelu":
        return False
    return max(config.hidden_dropout_prob, config.attention_probs_dropout_prob) < 0.999  # 1 would keep no value


def read(model: Any, ids: Tensor, valid: Tensor) -> Tensor:
    """(B, T) ids and (B, T) bool -> (B, T, D) states, zero outside `valid`; each token keeps its position in T."""
    tokens = ids[valid][None]  # (1, n)
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)[valid][None]
    rows: Tensor = model.embeddings(input_ids=tokens, position_ids=places)[0]  # (n, D)
    how = How.of(model, valid, rows)
    norm: nn.LayerNorm | None = None
    with torch.autocast(rows.device.type, enabled=False):
        for layer in model.encoder.layer:
            rows = _Layer.apply(how, rows, *_weights(norm), *_parameters(layer))
            norm = layer.output.LayerNorm
        return put_rows(norm(rows) if norm else rows, valid)


class How(NamedTuple):
    """How the layers are computed.

    Attributes:
        valid: (B, T) bool, the places of the rows.
        by_attend: attention is by `attend`, for a gradient or dropout; else by PyTorch.
        mask: (B H, 1, T), added to the scores of `attend`; or (B, 1, 1, T) bool for PyTorch; None without padding.
        dtype: format of the products.
        heads: of the attention.
        rate: dropout of its weights.
        rate_hidden: dropout before both additions.
        eps: of the norms.
        learns: gradients are asked for.
    """

    valid: Tensor
    by_attend: bool
    mask: Tensor | None
    dtype: torch.dtype
    heads: int
    rate: float
    rate_hidden: float
    eps: float
    learns: bool

    @classmethod
    def of(cls, model: Any, valid: Tensor, rows: Tensor) -> "How":
        """For a model, its valid tokens and the rows of its embeddings."""
        config, kind = model.config, rows.device.type
        heads, eps = config.num_attention_heads, config.layer_norm_eps
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
        rates = config.attention_probs_dropout_prob, config.hidden_dropout_prob
        rate, rate_hidden = rates if model.training else (0.0, 0.0)
        learns = torch.is_grad_enabled()
        by_attend = learns or rate > 0
        mask = None if valid.all() else attention_mask(valid)[:, None]
        if by_attend and mask is not None:
            mask = bias_of(mask, heads, dtype)
        return cls(valid, by_attend, mask, dtype, heads, rate, rate_hidden, eps, learns)


def _weights(norm: nn.LayerNorm | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if norm is None else (norm.weight, norm.bias)


def _parameters(layer: Any) -> list[Tensor]:
    projections, output = layer.attention.self, layer.attention.output
    linear = projections.query, projections.key, projections.value, output.dense
    feed = layer.intermediate.dense, layer.output.dense
    return [p for each in (*linear, *feed, output.LayerNorm) for p in (each.weight, each.bias)]


class _Layer(torch.autograd.Function):
    """A BertLayer without the norm that ends it, and with that of the layer before, (n, D) -> (n, D).

    So a sum is kept for the backward pass, and not the normalised sum too.
    """

    @staticmethod
    def forward(ctx: Any, how: How, x: Tensor, *parameters: Tensor) -> Tensor:
        norm, linear, norm_within = parameters[:2], parameters[2:14], parameters[14:]
        weights, biases = ([p.to(how.dtype) for p in linear[i::2]] for i in (0, 1))
        rows = _normal(x, norm, how.eps)[0]
        short = rows.to(how.dtype)
        q, k, v = (torch.addmm(bias, short, weight.t()) for weight, bias in zip(weights[:3], biases[:3], strict=True))
        mixed, *attention = _attended(how, q, k, v)
        within, kept = _added(rows, torch.addmm(biases[3], mixed, weights[3].t()), how.rate_hidden)
        rows, *known = _normal(within, norm_within, how.eps)
        hidden = torch.addmm(biases[4], rows.to(how.dtype), weights[4].t())
        out, kept_last = _added(rows, torch.addmm(biases[5], F.gelu(hidden), weights[5].t()), how.rate_hidden)
        if how.learns:
            ctx.how, ctx.weight_dtype = how, linear[0].dtype
            ctx.save_for_backward(x, within, *known, hidden, kept, kept_last, *attention, *norm, *norm_within, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        how = ctx.how
        x, within, mean, deviation, hidden, kept, kept_last, *saved = ctx.saved_tensors
        attention, norm, norm_within, weights = saved[:5], saved[5:7], saved[7:9], saved[9:]
        (to_out,) = gradients
        to_last = _to_added(to_out, kept_last, how)
        to_pairs = [(to_last.t() @ F.gelu(hidden), to_last.sum(dim=0))]
        to_hidden = torch.ops.aten.gelu_backward(to_last @ weights[5], hidden)
        rows = _normal(within, norm_within, how.eps)[0].to(how.dtype)
        to_pairs.append((to_hidden.t() @ rows, to_hidden.sum(dim=0)))
        to_rows = to_out + to_hidden @ weights[4]
        del hidden, to_hidden  # before more is made: they are the largest
        to_within, *to_norm_within = _to_normal(to_rows, within, mean, deviation, norm_within)
        to_mixed = _to_added(to_within, kept, how)
        to_pairs.append((to_mixed.t() @ _rows(attention[3], how), to_mixed.sum(dim=0)))
        to_projected = _to_attended(how, to_mixed @ weights[3], attention)
        rows, mean, deviation = _normal(x, norm, how.eps)
        short = rows.to(how.dtype)
        for g, weight in zip(reversed(to_projected), reversed(weights[:3]), strict=True):
            to_pairs.append((g.t() @ short, g.sum(dim=0)))
            to_within += g @ weight
        to_linear = (g.to(ctx.weight_dtype) for pair in reversed(to_pairs) for g in pair)
        to_x, *to_norm = _to_normal(to_within, x, mean, deviation, norm)
        return None, to_x, *to_norm, *to_linear, *to_norm_within


def _attended(how: How, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Attention of rows (n, D); and, by `attend`, the tensors that its gradient needs."""
    if not how.by_attend:
        q, k, v = (put_rows(x, how.valid).unflatten(2, (how.heads, -1)).transpose(1, 2) for x in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, how.mask)  # (B, H, T, d)
        return (take_rows(mixed.transpose(1, 2).flatten(2), how.valid),)
    q, k, v = (_columns(x, how) for x in (q, k, v))
    q /= math.sqrt(q.shape[1])
    out, shares = attend(q, k, v, how.mask, how.rate)
    return _rows(out, how), q, k, v, out, shares


def _to_attended(how: How, g: Tensor, attention: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of queries, keys and values, (n, D) each."""
    q, k, v, out, shares = attention
    to_q, *others = attend_back(_columns(g, how), q, k, v, out, shares, how.rate)
    to_q /= math.sqrt(q.shape[1])
    return [_rows(g, how) for g in (to_q, *others)]


def _columns(rows: Tensor, how: How) -> Tensor:
    """(n, D) -> (B H, d, T)."""
    whole = put_rows(rows, how.valid).unflatten(2, (how.heads, -1))  # (B, T, H, d)
    return whole.permute(0, 2, 3, 1).flatten(0, 1).contiguous()


def _rows(columns: Tensor, how: How) -> Tensor:
    """(B H, d, T) -> (n, D)."""
    return take_rows(columns.unflatten(0, (-1, how.heads)).permute(0, 3, 1, 2).flatten(2), how.valid)


def _added(x: Tensor, more: Tensor, rate: float) -> tuple[Tensor, Tensor | None]:
    """x + dropout(more), and the mask of the values that were kept."""
    if not rate:
        return x + more, None
    kept = kept_values(more, rate)
    return torch.add(x, more * kept, alpha=scale_of(rate)), kept


def _to_added(g: Any, kept: Tensor | None, how: How) -> Tensor:
    """The gradient of `more`, in the format of the products."""
    return (g if kept is None else (g * kept).mul_(scale_of(how.rate_hidden))).to(how.dtype)


def _normal(x: Tensor, norm: Norm, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias = norm
    if weight is None:
        return x, x, x
    return torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)


def _to_normal(g: Any, x: Tensor, mean: Tensor, deviation: Tensor, norm: Norm) -> list[Any]:
    weight, bias = norm
    if weight is None:
        return [g, None, None]
    return list(
        torch.ops.aten.native_layer_norm_backward(g, x, x.shape[-1:], mean, deviation, weight, bias, [True] * 3)
    )
