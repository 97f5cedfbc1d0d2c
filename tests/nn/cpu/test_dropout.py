"""Dropout with fewer random numbers is dropout."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from mitr.nn.cpu import dropout as dropouts
from mitr.nn.cpu.dropout import FEW, LEVELS, emptied_
from mitr.nn.cpu.switch import without
from mitr.nn.dropout import dropout

RATES = [0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(400, 500), (64, 33, 101)])
def test_the_share_the_scale_and_the_gradient(rate: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = (1 + torch.rand(shape)).requires_grad_()
    y = dropout(x, rate, True)
    dropped = (y == 0).detach()
    n = dropped.numel()
    assert abs(int(dropped.sum()) - n * rate) < 5 * np.sqrt(n * rate * (1 - rate)) + n / LEVELS
    true = rate if rate <= 0.05 else round(rate * LEVELS) / LEVELS
    torch.testing.assert_close(y[~dropped], (x / (1 - true))[~dropped], rtol=1e-6, atol=0)
    gradient = torch.rand(shape)
    y.backward(gradient)
    torch.testing.assert_close(x.grad, torch.where(dropped, 0, gradient / (1 - true)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("rate", RATES)
def test_values_are_dropped_independently(rate: float) -> None:
    """The gaps between dropped values follow the geometric distribution, also from call to call."""
    torch.manual_seed(1)
    dropped = torch.cat([dropout(torch.ones(50_001), rate, True) == 0 for _ in range(4)]).numpy()
    gaps = np.diff(np.flatnonzero(dropped))
    edges = np.unique(stats.geom.ppf(np.linspace(0, 1, 13)[1:-1], rate))
    counts = np.bincount(np.searchsorted(edges, gaps), minlength=len(edges) + 1)
    expected = np.diff(np.concatenate([[0], stats.geom.cdf(edges, rate), [1]])) * len(gaps)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_the_first_and_the_last_value_may_be_dropped() -> None:
    torch.manual_seed(2)
    ends = torch.stack([(dropout(torch.ones(FEW), 0.05, True) == 0)[[0, -1]] for _ in range(2000)])
    assert (abs(ends.float().mean(dim=0) - 0.05) < 0.02).all()


def test_nothing_is_dropped_in_evaluation_or_at_rate_0() -> None:
    x = torch.rand(100, 100)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x
    assert not dropout(x, 1.0, True).any()


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_seed_decides_and_number_formats_are_kept(rate: float) -> None:
    x = torch.rand(100, 100, dtype=torch.bfloat16)
    torch.manual_seed(3)
    first = dropout(x, rate, True)
    second = dropout(x, rate, True)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, rate, True), first)
    assert not torch.equal(first, second)
    assert first.dtype == torch.bfloat16
    turned = dropout(x.t(), rate, True)  # not contiguous
    kept = turned != 0
    torch.testing.assert_close(turned[kept].float(), (x.t() / (1 - rate))[kept].float(), rtol=2e-2, atol=0)


@pytest.mark.parametrize("rate", [0.999995, 1.0])
def test_rates_at_which_next_to_nothing_is_kept(rate: float) -> None:
    torch.manual_seed(5)
    x = torch.ones(100, 100, requires_grad=True)
    y = dropout(x, rate, True)
    y.sum().backward()
    kept = y != 0
    assert kept.sum() <= 3
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 200_000), rtol=0.02, atol=0)
    assert torch.equal(x.grad, y)


@pytest.mark.parametrize("few", [FEW, 1 << 40])
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_emptied_in_place_at_its_rate(monkeypatch: pytest.MonkeyPatch, few: int, rate: float) -> None:
    monkeypatch.setattr(dropouts, "FEW", few)
    torch.manual_seed(6)
    x = torch.ones(400, 500)
    assert emptied_(x, rate) is x
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert (x == 0).float().mean().item() == pytest.approx(rate, abs=0.005)


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_off_it_is_pytorchs(rate: float) -> None:
    x = torch.rand(100, 100)
    with without("dropout"):
        torch.manual_seed(7)
        plain = dropout(x, rate, True)
    torch.manual_seed(7)
    assert torch.equal(plain, F.dropout(x, rate))
    torch.manual_seed(7)
    assert not torch.equal(plain, dropout(x, rate, True))
