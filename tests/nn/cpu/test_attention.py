"""Attention with dropout and true lengths is PyTorch's where nothing is dropped, in outputs and gradients."""

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.attention import attention_mask, scaled_dot_product
from mitr.nn.cpu import attention as attentions
from mitr.nn.cpu.attention import attended, ends_of
from mitr.nn.cpu.switch import without


@pytest.mark.parametrize("in_cache", [1, 100, 1 << 19])
def test_it_is_pytorchs_where_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch, in_cache: int) -> None:
    monkeypatch.setattr(attentions, "IN_CACHE", in_cache)
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 2, steps, 4, requires_grad=True) for steps in (5, 6, 6))
    some = torch.rand(3, 1, 5, 6) > 0.3
    some[0, 0, 2] = False  # may attend to nothing
    same = torch.rand(3, 1, 1, 6) > 0.5
    same[1] = False
    for mask in (None, some, same):
        ours, expected = attended(q, k, v, mask, 0.0), nn.functional.scaled_dot_product_attention(q, k, v, mask)
        torch.testing.assert_close(ours, expected)
        gradients = (torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (ours, expected))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other)
    assert not attended(q, k, v, some, 0.5)[0, :, 2].any()
    assert not attended(q, k, v, same, 0.5)[1].any()


def test_gradients_of_attention_with_dropout_are_those_of_the_differences() -> None:
    q, k, v = (torch.randn(3, 1, steps, 2, dtype=torch.float64, requires_grad=True) for steps in (3, 4, 4))
    mask = torch.rand(3, 1, 1, 4) > 0.3

    def same_draw(*parts: Tensor) -> Tensor:
        torch.manual_seed(7)
        return attended(*parts, mask, 0.4)

    assert (same_draw(q, k, v) != attended(q, k, v, mask, 0.0)).any()
    assert torch.autograd.gradcheck(same_draw, (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_weights_are_what_is_dropped(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k = torch.zeros(2, 1, 100, 50, dtype=dtype), torch.zeros(2, 1, 50, 50, dtype=dtype)
    v = torch.eye(50, dtype=dtype).expand(2, 1, 50, 50)
    shares = attended(q, k, v, None, 0.25)  # (2, 1, 100, 50), of equal weights
    assert set(shares.float().mul(50 * 0.75).round(decimals=1).unique().tolist()) == {0.0, 1.0}
    assert (shares == 0).float().mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("ends", [None, [200, 150, 1, 199]])
@pytest.mark.parametrize("masked", [True, False])
def test_in_bf16_scores_are_not_rounded(masked: bool, ends: list[int] | None) -> None:
    torch.manual_seed(0)
    q, k, v = (2 * torch.randn(4, 1, 200, 5, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(4, 1, 1, 200) > 0.2 if masked else None
    inside = torch.arange(200) < torch.tensor(ends or [200] * 4)[:, None, None]  # (4, 1, 200)
    if ends:
        mask = inside[:, :, None] & (True if mask is None else mask)
        mask[..., 0] = True
    q, k, v = (part.bfloat16() for part in (q, k, v))
    expected = nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)
    expected = expected * inside[..., None]
    error = attended(q, k, v, mask, 0.0, ends).double() * inside[..., None] - expected
    assert error.norm() < 0.005 * expected.norm()  # 0.009 with scores in bf16


def test_a_second_derivative_is_refused() -> None:
    q = torch.randn(2, 1, 3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(attended(q, q, q, None, 0.1).square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("in_cache", [1, 3 * 36, 1 << 19])
@pytest.mark.parametrize("causal", [True, False])
def test_behind_their_ends_samples_neither_ask_nor_are_asked(
    monkeypatch: pytest.MonkeyPatch, in_cache: int, causal: bool
) -> None:
    monkeypatch.setattr(attentions, "IN_CACHE", in_cache)
    torch.manual_seed(0)
    ends = [3, 6, 1, 4, 5]
    q, k, v = (torch.randn(5, 2, 6, 4, requires_grad=True) for _ in range(3))
    mask = attention_mask(torch.arange(6) < torch.tensor(ends)[:, None], causal)[:, None]
    ours = attended(q, k, v, mask, 0.0, ends)
    cut = [
        nn.functional.scaled_dot_product_attention(
            *(x[i : i + 1, :, :end] for x in (q, k, v)), mask[i : i + 1, :, :end, :end]
        )
        for i, end in enumerate(ends)
    ]
    for own, expected in zip(ours, cut, strict=True):
        torch.testing.assert_close(own[:, : expected.shape[2]], expected[0])
    inside = sum(own[:, :end].square().sum() for own, end in zip(ours, ends, strict=True))
    gradients = [torch.autograd.grad(out, (q, k, v)) for out in (inside, sum(x.square().sum() for x in cut))]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("in_cache", [1, 1 << 19])
def test_gradients_with_ends_and_dropout_are_those_of_the_differences(
    monkeypatch: pytest.MonkeyPatch, in_cache: int
) -> None:
    monkeypatch.setattr(attentions, "IN_CACHE", in_cache)
    q, k, v = (torch.randn(3, 1, 4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3))
    ends = [2, 4, 3]
    mask = (torch.arange(4) < torch.tensor(ends)[:, None])[:, None, None]

    def same_draw(*parts: Tensor) -> Tensor:
        torch.manual_seed(7)
        return attended(*parts, mask, 0.4, ends)

    assert (same_draw(q, k, v)[2, :, :3] != attended(q, k, v, mask, 0.0, ends)[2, :, :3]).any()
    assert torch.autograd.gradcheck(same_draw, (q, k, v))


def test_it_is_used_for_dropout_and_for_true_lengths_that_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[object] = []
    monkeypatch.setattr(attentions, "attended", lambda q, k, v, mask, rate, ends: used.append(ends) or q)
    q, valid = torch.randn(2, 1, 3, 4), torch.tensor([[True, True, True], [True, True, False]])
    for learns, given in ((True, valid), (True, None), (False, valid)):
        scaled_dot_product(q.clone().requires_grad_(learns), q, q, None, 0.0, given)
    assert used == [[3, 2]]
    with without("attention"):
        scaled_dot_product(q.clone().requires_grad_(), q, q, None, 0.0, valid)
    monkeypatch.setattr(attentions, "KEPT", 2 * 3 * 3 - 1)  # fewer weights than there are
    scaled_dot_product(q.clone().requires_grad_(), q, q, None, 0.0, valid)
    assert len(used) == 1
    many = torch.randn(2, 2, 40, 4)
    scaled_dot_product(many, many, many, None, 0.3)
    assert used == [[3, 2], None]


def test_samples_end_behind_their_last_step() -> None:
    valid = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    assert ends_of(valid) == [2, 3, 1, 4]
