"""The unimodal encoder: positions by hand, and what a step may see."""

import math
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.cpu import encoder as kernel
from mitr.nn.cpu.switch import without
from mitr.nn.unimodal import UnimodalEncoder, sinusoids

ALL = torch.ones(1, 5, dtype=torch.bool)


@pytest.fixture(autouse=True, params=["plain", "kernel"])
def _block(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test runs with the plain block and with the kernel."""
    with without("encoder") if request.param == "plain" else nullcontext():
        yield


def made(dim: int = 6, **options: object) -> UnimodalEncoder:
    torch.manual_seed(0)
    return UnimodalEncoder(dim, **options).eval()


def unusual(dim: int = 6, **options: object) -> UnimodalEncoder:
    """With norms that have weights and biases of their own."""
    encoder = made(dim, **options)
    for norm in (encoder.attention_norm, encoder.feed_norm, encoder.norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return encoder


def one_layer(encoder: UnimodalEncoder, x: Tensor) -> Tensor:
    """(T, D) -> (T, D), as the paper writes it for a sequence without padding."""
    attention = encoder.attention
    x = math.sqrt(x.shape[1]) * x + sinusoids(*x.shape)
    normal = encoder.attention_norm(x)
    scores = attention.query(normal) @ attention.key(normal).T / math.sqrt(x.shape[1])
    if encoder.causal:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -math.inf)
    x = x + attention.out(scores.softmax(dim=1) @ attention.value(normal))
    return encoder.norm(x + encoder.feed_out(encoder.feed_in(encoder.feed_norm(x)).relu()))


def sin_cos(*angles: float) -> list[float]:
    return [*map(math.sin, angles), *map(math.cos, angles)]


@pytest.mark.parametrize(
    ("dim", "rows"),
    [
        (1, [[0.0], [0.0]]),
        (2, [sin_cos(1), sin_cos(2)]),
        (3, [[*sin_cos(1), 0], [*sin_cos(2), 0]]),
        (4, [sin_cos(1, 1e-4), sin_cos(2, 2e-4)]),
        (5, [[*sin_cos(1, 1e-4), 0], [*sin_cos(2, 2e-4), 0]]),
        (6, [sin_cos(1, 1e-2, 1e-4), sin_cos(2, 2e-2, 2e-4)]),
    ],
)
def test_sinusoids(dim: int, rows: list[list[float]]) -> None:
    torch.testing.assert_close(sinusoids(2, dim), torch.tensor(rows), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dim", [1, 2, 3, 74])
def test_any_width(dim: int) -> None:
    x = torch.randn(1, 5, dim)
    assert made(dim)(x, ALL).shape == (1, 5, dim)
    assert made(dim)(x, ALL).isfinite().all()


def test_the_layer_is_pytorchs_over_scaled_input_with_positions() -> None:
    encoder = made()
    theirs = nn.TransformerEncoderLayer(6, 1, 24, dropout=0, norm_first=True, batch_first=True)
    attention = encoder.attention
    parts = (attention.query, attention.key, attention.value)
    theirs.self_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.self_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
    pairs = ((theirs.self_attn.out_proj, attention.out), (theirs.linear1, encoder.feed_in))
    for layer, ours in (*pairs, (theirs.linear2, encoder.feed_out)):
        layer.load_state_dict(ours.state_dict())
    x = torch.randn(1, 5, 6)
    expected = nn.functional.layer_norm(theirs(math.sqrt(6) * x + sinusoids(5, 6)), (6,))
    torch.testing.assert_close(encoder(x, ALL), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("wide", [1, 1 << 40])
@pytest.mark.parametrize("dim", [1, 6, 33])
def test_wide_and_narrow_give_what_a_plain_layer_gives(
    monkeypatch: pytest.MonkeyPatch, dim: int, wide: int, causal: bool, training: bool
) -> None:
    monkeypatch.setattr(kernel, "WIDE", wide)
    encoder = unusual(dim, causal=causal).double().train(training)
    x = torch.randn(3, 5, dim, dtype=torch.double, requires_grad=True)
    valid = torch.arange(5)[None] < torch.tensor([3, 0, 5])[:, None]
    ours = encoder(x, valid)[valid]
    expected = torch.cat([one_layer(encoder, x[0, :3]), one_layer(encoder, x[2])])
    torch.testing.assert_close(ours, expected)
    wanted = (x, *encoder.parameters())
    weights = torch.randn_like(expected)
    gradients = (torch.autograd.grad((out * weights).sum(), wanted) for out in (ours, expected))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("causal", [True, False])
def test_only_the_causal_encoder_hides_the_future(causal: bool) -> None:
    encoder, x = made(causal=causal), torch.randn(1, 5, 6)
    other = x.clone()
    other[:, 4] += torch.randn(6)
    changed = (encoder(x, ALL) - encoder(other, ALL)).abs().amax(dim=2)[0] > 1e-5
    assert changed.tolist() == [not causal] * 4 + [True]


@pytest.mark.parametrize("causal", [True, False])
def test_padding_is_not_seen(causal: bool) -> None:
    encoder, x = made(causal=causal), torch.randn(2, 5, 6)
    valid = torch.arange(5)[None] < torch.tensor([3, 5])[:, None]
    short = encoder(x[:1, :3], valid[:1, :3])
    torch.testing.assert_close(encoder(x, valid)[:1, :3], short)
    torch.testing.assert_close(encoder(x.masked_fill(~valid[..., None], 1e4), valid)[:1, :3], short)


def test_positions_tell_the_order_apart() -> None:
    x, order = torch.randn(1, 5, 6), [3, 1, 4, 0, 2]
    x[:, :, 0] = 0
    with_positions, without = made(), made(skip_zero_positions=True)
    assert not torch.allclose(with_positions(x[:, order], ALL), with_positions(x, ALL)[:, order], atol=1e-3)
    torch.testing.assert_close(without(x[:, order], ALL), without(x, ALL)[:, order])


def test_steps_that_do_not_begin_with_zero_keep_their_positions() -> None:
    x = torch.randn(1, 5, 6)
    torch.testing.assert_close(made(skip_zero_positions=True)(x, ALL), made()(x, ALL))
    x[:, 2, 0] = 0
    assert not torch.allclose(made(skip_zero_positions=True)(x, ALL), made()(x, ALL), atol=1e-3)


@pytest.mark.parametrize("option", ["attention_dropout", "embedding_dropout"])
def test_dropout_is_for_training_alone(option: str) -> None:
    encoder, x = made(**{option: 0.5}), torch.randn(1, 5, 6)
    assert torch.equal(encoder(x, ALL), made()(x, ALL))
    assert not torch.equal(encoder.train()(x, ALL), made()(x, ALL))
    torch.testing.assert_close(made().train()(x, ALL), made()(x, ALL))  # and there is no other
