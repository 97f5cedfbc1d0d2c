"""Losses between subspaces, by hand."""

import math

import pytest
import torch

from mitr.losses.subspaces import central_moments, orthogonality

ALL, NONE = torch.tensor([True, True, True]), torch.tensor([False, False, False])
FIRST_TWO = torch.tensor([True, True, False])
A = torch.tensor([[1.0, 0.0], [3.0, 4.0], [9.0, -9.0]])
B = torch.tensor([[2.0, 1.0], [2.0, 3.0], [5.0, 5.0]])


def test_orthogonality() -> None:
    # centred: (-1, -2), (1, 2), of unit length (1, 2)/sqrt 5 up to the sign; and (0, -1), (0, 1)
    root = math.sqrt(5)
    product = [[0, 2 / root], [0, 2 * 2 / root]]
    expected = sum(entry**2 for row in product for entry in row) / 4
    assert orthogonality(A, B, FIRST_TWO).item() == pytest.approx(expected, rel=1e-5)
    swapped = torch.tensor([[0.0, 1.0], [0.0, 3.0], [7.0, 7.0]])  # varies along the second axis only
    across = torch.tensor([[1.0, 5.0], [2.0, 5.0], [7.0, 7.0]])  # along the first only
    expected = 2**2 / 4
    assert orthogonality(swapped, across, FIRST_TWO).item() == pytest.approx(expected, rel=1e-5)
    assert orthogonality(A, B, ALL).item() != pytest.approx(orthogonality(A, B, FIRST_TWO).item(), rel=1e-2)


def test_lengths_are_constants() -> None:
    a = A.clone().requires_grad_()
    orthogonality(a, B, FIRST_TWO).backward()
    # were they not, a longer row would change nothing, and its gradient would be across it
    assert (a.grad[0] * (A[0] - A[:2].mean(dim=0))).sum().abs() > 1e-3
    assert not a.grad[2].any()


def test_central_moments() -> None:
    # means (2, 2) and (2, 2); variances (1, 4) and (0, 1); third moments 0; fourth (1, 16) and (0, 1); fifth 0
    expected = math.hypot(1, 3) + math.hypot(1, 15)
    assert central_moments(A, B, FIRST_TWO).item() == pytest.approx(expected, rel=1e-6)
    assert central_moments(A, B, FIRST_TWO, moments=3).item() == pytest.approx(math.hypot(1, 3), rel=1e-6)
    assert central_moments(A, B + 3.0, FIRST_TWO).item() == pytest.approx(expected + 3 * math.sqrt(2), rel=1e-6)
    skewed = torch.tensor([[0.0], [0.0], [3.0]])
    plain = torch.tensor([[-1.0], [1.0], [0.0]])
    # means 1 and 0; variances 2 and 2/3; third moments 2 and 0
    expected = 1 + 4 / 3 + 2
    assert central_moments(skewed, plain, ALL, moments=3).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mask", [NONE, torch.tensor([False, True, False])], ids=["none", "one"])
def test_too_few_samples_say_nothing_of_the_spread(mask: torch.Tensor) -> None:
    a, b = A.clone().requires_grad_(), B.clone().requires_grad_()
    assert orthogonality(a, b, mask) == 0
    expected = math.hypot(1, 1) if mask.any() else 0.0
    assert central_moments(a, b, mask).item() == pytest.approx(expected)
    (orthogonality(a, b, mask) + central_moments(a, b, mask)).backward()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()


def test_equal_distributions_have_no_discrepancy_and_no_gradient() -> None:
    a = A.clone().requires_grad_()
    discrepancy = central_moments(a, A.flip(0), ALL)
    assert discrepancy.item() == pytest.approx(0, abs=1e-3)
    same = central_moments(a, A, ALL)
    same.backward()
    assert same == 0
    assert not a.grad.any()
