"""Rare labels: densities, weights and balanced MSE on numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.config import ImbalanceConfig
from mitr.errors import MitrError
from mitr.losses.imbalance import balanced_mse, rarity, smoothed

HALF = math.sqrt(0.5 / math.log(2))  # the standard deviation at which the neighbour's weight is 1/2
THIRDS = ImbalanceConfig(bins=3, kernel=3, sigma=HALF)
# one label in the lowest third of -1..1, two in the middle, three in the highest
LABELS = np.array([-1.0, -0.2, 0.2, 0.9, 1.0, 0.5], np.float32)
law = settings(max_examples=60, deadline=None, derandomize=True)


def test_the_density_is_smoothed_by_a_gaussian_window() -> None:
    window = [0.25, 0.5, 0.25]
    assert smoothed(np.array([1.0, 0.0, 3.0]), 3, HALF) == pytest.approx([0.5, 1.0, 1.5])
    assert smoothed(np.array([0.0, 4.0, 0.0]), 3, HALF) == pytest.approx([4 * share for share in window])
    assert smoothed(np.array([0.0, 4.0]), 5, 1e-3) == pytest.approx([0, 4])
    wide = np.array([1, 8, 16, 8, 1]) / 34
    assert smoothed(np.array([0.0, 0.0, 4.0, 0.0, 0.0]), 5, HALF) == pytest.approx(4 * wide)
    assert len(smoothed(np.ones(2), 9, 2.0)) == 2  # also where the window is wider than all bins


def test_weights_are_the_inverse_of_the_bins_frequency_with_mean_one() -> None:
    assert rarity(LABELS, (-1, 1), THIRDS) == pytest.approx([2, 1, 1, 2 / 3, 2 / 3, 2 / 3])


def test_smooth_weights_are_the_inverse_of_the_smoothed_density() -> None:
    # densities 1/2 + 2/4, 1/4 + 2/2 + 3/4, 2/4 + 3/2: 1, 2, 2; inverses with mean 3.5/6
    assert rarity(LABELS, (-1, 1), THIRDS, smooth=True) == pytest.approx([12 / 7] + [6 / 7] * 5)


def test_classes_are_never_smoothed() -> None:
    classes = np.array([2.0, 1, 1, 0, 0, 0])
    for smooth in (False, True):
        assert rarity(classes, (0, 2), THIRDS, ("a", "b", "c"), smooth) == pytest.approx([2, 1, 1] + [2 / 3] * 3)


def test_no_weight_is_more_than_bound_times_another() -> None:
    bounded = ImbalanceConfig(bins=3, bound=1.5)
    # the one and the two count as 3 / 1.5 = 2: inverses 1/2, 1/2, 1/2, 1/3, 1/3, 1/3 with mean 5/12
    assert rarity(LABELS, (-1, 1), bounded) == pytest.approx([1.2, 1.2, 1.2, 0.8, 0.8, 0.8])
    assert rarity(LABELS, (-1, 1), ImbalanceConfig(bound=1)) == pytest.approx(np.ones(6))


def test_unknown_labels_count_as_one() -> None:
    with_unknown = np.append(LABELS, np.nan)
    assert rarity(with_unknown, (-1, 1), THIRDS) == pytest.approx([*rarity(LABELS, (-1, 1), THIRDS), 1])
    assert rarity(np.full(2, np.nan), (-1, 1), THIRDS).tolist() == [1, 1]


def test_labels_outside_the_range_count_in_the_outermost_bins() -> None:
    moved = np.where(np.abs(LABELS) == 1, 3 * LABELS, LABELS)
    assert rarity(moved, (-1, 1), THIRDS) == pytest.approx(rarity(LABELS, (-1, 1), THIRDS))


@law
@given(
    st.lists(st.floats(-1, 1, width=32) | st.just(math.nan), min_size=1, max_size=60),
    st.integers(2, 30),
    st.sampled_from([1, 3, 7]),
    st.floats(1, 50),
    st.booleans(),
)
def test_weights_have_mean_one_and_stay_in_their_bound(
    labels: list[float], bins: int, kernel: int, bound: float, smooth: bool
) -> None:
    values = np.array(labels)
    config = ImbalanceConfig(bins=bins, kernel=kernel, bound=bound)
    weights = rarity(values, (-1, 1), config, smooth=smooth)
    assert weights.mean() == pytest.approx(1)
    known = weights[np.isfinite(values)]
    assert (weights > 0).all()
    assert known.max(initial=0) <= bound * known.min(initial=1) * (1 + 1e-9)


def test_balanced_mse() -> None:
    prediction, truth = torch.tensor([0.0, 1.0, 7.0]), torch.tensor([0.0, 2.0, torch.nan])
    mask = torch.tensor([True, True, False])
    # squared differences, prediction by label: 0, 4 / 1, 1
    first, second = math.log(1 + math.exp(-2)), math.log(2)
    assert balanced_mse(prediction, truth, mask).item() == pytest.approx(first + second)
    weights = torch.tensor([1.0, 3.0, 9.0])
    assert balanced_mse(prediction, truth, mask, weights).item() == pytest.approx(first + 3 * second)
    wide = (8 * math.log(1 + math.exp(-0.5)) + 8 * math.log(2)) / 2
    assert balanced_mse(prediction, truth, mask, noise=2.0).item() == pytest.approx(wide)


def test_balanced_mse_pulls_a_constant_answer_from_the_mean_towards_the_rare_label() -> None:
    truth, prediction = torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0]), torch.full((5,), 0.4, requires_grad=True)
    balanced_mse(prediction, truth, torch.ones(5, dtype=torch.bool)).backward()
    near, far = 4 * math.exp(-0.5 * 0.4**2), math.exp(-0.5 * 1.6**2)
    expected = 2 * far / (near + far)  # the mean label by its likelihood; the gradient of one is 2/5 (expected - label)
    assert prediction.grad.sum().item() == pytest.approx(2 / 5 * (5 * expected - 2))
    assert prediction.grad.sum() < -0.5  # that of the MSE is 0 at the mean


def test_balanced_mse_of_few_is_0_with_a_finite_gradient() -> None:
    for mask in (torch.tensor([False, False]), torch.tensor([True, False])):
        prediction = torch.tensor([3.0, 1.0], requires_grad=True)
        loss = balanced_mse(prediction, torch.tensor([1.0, torch.nan]), mask)
        loss.backward()
        assert loss == 0
        assert prediction.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, r"imbalance\.bins is 1"),
        ({"kernel": 4}, r"imbalance\.kernel is 4; it must be odd"),
        ({"sigma": 0.0}, r"imbalance\.sigma is 0\.0"),
        ({"noise": -1.0}, r"imbalance\.noise is -1\.0"),
        ({"bound": 0.5}, r"imbalance\.bound is 0\.5"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(MitrError, match=message):
        ImbalanceConfig(**options)
