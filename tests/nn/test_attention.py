"""Attention by its formula, and masks that are as good as cutting."""

import math

import pytest
import torch
from torch import Tensor, nn

from mitr.nn import attention as attentions
from mitr.nn.attention import Attention, attended, attention_mask

VALID = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])


def random_attention(heads: int = 2, project: bool = True) -> tuple[Attention, Tensor, Tensor]:
    torch.manual_seed(0)
    return Attention(6, heads, project=project).eval(), torch.randn(2, 3, 6), torch.randn(2, 4, 6)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_it_is_pytorchs(heads: int) -> None:
    ours, x, context = random_attention(heads)
    theirs = nn.MultiheadAttention(6, heads, batch_first=True)
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias for part in parts])
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    torch.testing.assert_close(ours(x, context), theirs(x, context, context)[0])


def test_by_the_formula_without_a_last_layer() -> None:
    attention, x, context = random_attention(1, project=False)
    scores = attention.query(x) @ attention.key(context).transpose(1, 2) / math.sqrt(6)
    torch.testing.assert_close(attention(x, context), scores.softmax(dim=2) @ attention.value(context))
    assert not any(name.startswith("out") for name, _ in attention.named_parameters())


def test_only_the_last_layer_keeps_its_bias_if_the_others_have_none() -> None:
    biases = [name for name, _ in Attention(6, 2, bias=False).named_parameters() if name.endswith("bias")]
    assert biases == ["out.bias"]


def test_a_mask_is_as_good_as_cutting() -> None:
    attention, x, context = random_attention()
    for length in (1, 2, 3):
        mask = (torch.arange(4) < length).expand(2, 1, 4)
        torch.testing.assert_close(attention(x, context, mask), attention(x, context[:, :length]))
    assert not torch.allclose(attention(x, context, mask), attention(x, context))


def test_a_causal_mask_is_as_good_as_cutting_at_each_step() -> None:
    attention, x, _ = random_attention()
    causal = attention(x, x, attention_mask(torch.ones(2, 3, dtype=torch.bool), causal=True))
    for step in range(3):
        cut = x[:, : step + 1]
        torch.testing.assert_close(causal[:, step], attention(cut, cut)[:, step])


def test_masks() -> None:
    assert attention_mask(VALID).tolist() == [[[True, True, True]], [[True, False, False]], [[True, False, False]]]
    causal = attention_mask(VALID, causal=True)
    assert causal.int().tolist() == [
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]],
        [[1, 0, 0], [1, 1, 0], [1, 0, 1]],
        [[1, 0, 0], [1, 1, 0], [1, 0, 1]],
    ]
    assert VALID.int().tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]  # not in place


@pytest.mark.parametrize("causal", [True, False])
def test_a_sample_without_steps_gives_no_nan(causal: bool) -> None:
    attention, _, _ = random_attention()
    x = torch.randn(3, 3, 6, requires_grad=True)
    out = attention(x, x, attention_mask(VALID, causal))
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(0)
    attention, x = Attention(6, 2, dropout=0.5), torch.randn(2, 5, 6)
    assert not torch.equal(attention.train()(x, x), attention(x, x))
    assert torch.equal(attention.eval()(x, x), attention(x, x))


@pytest.mark.parametrize("in_cache", [1, 100, 1 << 19])
def test_attention_with_dropout_is_pytorchs_where_nothing_is_dropped(
    monkeypatch: pytest.MonkeyPatch, in_cache: int
) -> None:
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


@pytest.mark.parametrize("rate", [0.999995, 1.0])
@pytest.mark.parametrize("steps", [5, 50])
def test_rates_at_which_next_to_no_weight_is_kept(rate: float, steps: int) -> None:
    torch.manual_seed(0)
    attention, x = Attention(6, 2, dropout=rate, project=False).train(), torch.randn(2, steps, 6, requires_grad=True)
    out = attention(x, x)
    out.sum().backward()
    assert x.grad.isfinite().all()
    assert (out != 0).sum() <= 3


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


def test_ends_are_for_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(attentions, "attended", lambda q, *_: asked.append(1) or q)
    q, few = torch.randn(2, 1, 3, 4), [3, 2]
    for learns, ends in ((True, few), (True, None), (False, few)):
        attentions.scaled_dot_product(q.clone().requires_grad_(learns), q, q, None, 0.0, ends)
    assert asked == [1]
    monkeypatch.setattr(attentions, "KEPT", 2 * 3 * 3 - 1)  # fewer weights than there are
    attentions.scaled_dot_product(q.clone().requires_grad_(), q, q, None, 0.0, few)
    assert asked == [1]
