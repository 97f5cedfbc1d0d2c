"""Attention by its formula, and masks that are as good as cutting."""

import math

import pytest
import torch
from torch import Tensor, nn

from mitr.nn.attention import Attention, attention_mask

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


@pytest.mark.parametrize("rate", [0.999995, 1.0])
@pytest.mark.parametrize("steps", [5, 50])
def test_rates_at_which_next_to_no_weight_is_kept(rate: float, steps: int) -> None:
    torch.manual_seed(0)
    attention, x = Attention(6, 2, dropout=rate, project=False).train(), torch.randn(2, steps, 6, requires_grad=True)
    out = attention(x, x)
    out.sum().backward()
    assert x.grad.isfinite().all()
    assert (out != 0).sum() <= 3
