"""The Transformer layer of the unimodal encoder in fewer products is the plain one, in outputs and gradients."""

import copy

import pytest
import torch
from torch import nn

from mitr.nn.cpu import encoder
from mitr.nn.cpu.switch import without
from mitr.nn.unimodal import UnimodalEncoder


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("wide", [1, 1 << 40])
def test_it_is_the_plain_block(monkeypatch: pytest.MonkeyPatch, wide: int, causal: bool, training: bool) -> None:
    monkeypatch.setattr(encoder, "WIDE", wide)
    torch.manual_seed(0)
    ours = UnimodalEncoder(6, causal=causal).double().train(training)
    for norm in (ours.attention_norm, ours.feed_norm, ours.norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    plain = copy.deepcopy(ours)
    x = torch.randn(3, 5, 6, dtype=torch.double, requires_grad=True)
    valid = torch.arange(5)[None] < torch.tensor([3, 0, 5])[:, None]
    weights = torch.randn(8, 6, dtype=torch.double)
    out = ours(x, valid)[valid]
    gradients = torch.autograd.grad((out * weights).sum(), (x, *ours.parameters()))
    with without("encoder"):
        expected = plain(x, valid)[valid]
    torch.testing.assert_close(out, expected)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), (x, *plain.parameters()))
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_only_wide_features_leave_padding_out() -> None:
    x, valid = torch.randn(1, 5, encoder.WIDE), torch.arange(5)[None] < 3
    assert not UnimodalEncoder(encoder.WIDE)(x, valid)[0, 3:].any()
    assert UnimodalEncoder(encoder.WIDE - 1)(x[..., 1:], valid)[0, 3:].any()
