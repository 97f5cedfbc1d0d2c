"""Vectors of whole utterances."""

import pytest
import torch

from mitr.batches.views import Steps
from mitr.nn.utterance import PooledEncoder, RecurrentEncoder, summary_of

VALUES = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
VALID = torch.tensor([[True, True, False], [False, False, False]])
STEPS = Steps(VALUES, VALID, VALID, VALID)


def test_pooled_encoder_by_hand() -> None:
    encoder = PooledEncoder(2, 1).eval()
    encoder.norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    encoder.norm.running_var.copy_(torch.tensor([0.25, 4.0]))
    with torch.no_grad():
        for layer, weight, bias in zip(encoder.layers, ([[1.0, 2.0]], [[0.5]], [[2.0]]), (0.0, 1.0, -1.0), strict=True):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.fill_(bias)
    # the mean is (2, 4), normalised (2, 1): 2 + 2 = 4, then 3, then 5
    assert encoder(STEPS)[:, 0].tolist() == pytest.approx([5.0, 0.0], rel=1e-4)
    with torch.no_grad():
        encoder.layers[2].bias.fill_(-7.0)
    assert not encoder(STEPS).any()  # the last layer has a ReLU too


def test_a_hidden_step_counts_as_the_zeros_that_it_is_shown_as() -> None:
    encoder = PooledEncoder(2, 3).eval()
    hidden = STEPS._replace(values=VALUES * torch.tensor([1.0, 0.0, 0.0])[None, :, None], available=VALID & False)
    halved = STEPS._replace(values=VALUES[:, :1] / 2, valid=VALID[:, :1])
    torch.testing.assert_close(encoder(hidden), encoder(halved))


def test_absent_samples_do_not_reach_batch_normalisation() -> None:
    encoder = PooledEncoder(2, 3).train()
    three = Steps(torch.randn(3, 4, 2), *[torch.ones(3, 4, dtype=torch.bool)] * 3)
    lacking = three._replace(valid=three.valid & torch.tensor([True, True, False])[:, None])
    encoder(lacking)
    rows = three.values[:2].mean(dim=1)
    torch.testing.assert_close(encoder.norm.running_mean, 0.1 * rows.mean(dim=0))


def test_recurrent_encoder() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(2, 3, 4)
    states, _ = encoder.recurrent.ahead(VALUES[:1, :2])
    out = encoder(STEPS)
    torch.testing.assert_close(out[:1], encoder.out(states[:, 1]))
    assert not out[1].any()


def test_summary() -> None:
    summary = torch.tensor([[0.5, 0.25], [8.0, 8.0]])
    assert summary_of(STEPS._replace(summary=summary)).tolist() == [[0.5, 0.25], [0.0, 0.0]]
    assert summary_of(STEPS).tolist() == [[2.0, 4.0], [0.0, 0.0]]
    second = STEPS._replace(available=VALID & torch.tensor([False, True, False]))
    assert summary_of(second).tolist() == [[3.0, 6.0], [0.0, 0.0]]
