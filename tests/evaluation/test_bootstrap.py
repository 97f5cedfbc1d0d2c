"""The bootstrap: reproducible, paired over rates, bounded in memory, and honest about its width."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.evaluation.bootstrap import bootstrap, interval
from mitr.evaluation.groups import Groups
from mitr.evaluation.metrics import measure

MOSI = Scale.of((-3, 3))


def alone(n: int) -> Groups:
    """Each sample is drawn by itself."""
    return Groups(np.arange(n), "clips")


def made(seed: int, n: int = 200, rates: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(-3, 4, n).astype(float)
    noise = generator.normal(size=(rates, n)) * np.arange(1, rates + 1)[:, None]
    return truth + noise, truth


def test_shapes_seed_and_chunks() -> None:
    prediction, truth = made(0)
    first = bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=50, seed=3)
    assert {draws.shape for draws in first.values()} == {(3, 50)}
    again = bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=50, seed=3, chunk_values=7 * truth.size)
    other = bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=50, seed=4)
    for key, draws in first.items():
        np.testing.assert_allclose(again[key], draws, atol=1e-12)
        assert not np.array_equal(other[key], draws)


def test_rates_share_their_resamples() -> None:
    prediction, truth = made(1)
    prediction[1] = prediction[0]
    draws = bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=40)
    for values in draws.values():
        np.testing.assert_array_equal(values[0], values[1])


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    bootstrap(MOSI, *made(2), alone(200), resamples=5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_width_is_that_of_theory() -> None:
    prediction, truth = made(3, n=1500, rates=1)
    low, high = interval(bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=1000)["mae"])
    error = np.abs(prediction - truth).std() / np.sqrt(truth.size)
    assert (high - low).item() == pytest.approx(2 * 1.96 * error, rel=0.1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(-3, 3), (-1, 1), (-2, 2)]))
def test_interval_surrounds_the_value(seed: int, ends: tuple[float, float]) -> None:
    scale = Scale.of(ends)
    prediction, truth = (x * scale.high / 3 for x in made(seed))
    values = measure(scale, prediction, truth)
    for key, draws in bootstrap(scale, prediction, truth, alone(truth.size), resamples=100, seed=seed).items():
        low, high = interval(draws, 0.999)
        assert np.all((low <= values[key]) & (values[key] <= high)), key


@pytest.mark.filterwarnings("error")
def test_undefined_draws_are_left_out() -> None:
    prediction, truth = np.array([0.5, -1.0, 2.0]), np.array([0.0, 0.0, 1.0])
    draws = bootstrap(MOSI, prediction, truth, alone(truth.size), resamples=200)
    assert np.isnan(draws["acc2_non0"]).any()
    assert np.isnan(draws["corr"]).any()
    assert interval(draws["acc2_non0"]) == (1.0, 1.0)
    constant = bootstrap(MOSI, np.full(3, 0.1), truth, alone(3), resamples=20)
    assert np.isnan(interval(constant["corr"])).all()


def test_interval() -> None:
    low, high = interval(np.arange(101.0)[None], 0.9)
    assert [low.tolist(), high.tolist()] == [pytest.approx([5.0]), pytest.approx([95.0])]
    assert interval(np.array([2.0]))[0].shape == ()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(MitrError, match="no samples"):
        bootstrap(MOSI, np.zeros(0), np.zeros(0), alone(0))
    with pytest.raises(MitrError, match="at least 1"):
        bootstrap(MOSI, np.zeros(2), np.zeros(2), alone(2), resamples=0)
    with pytest.raises(MitrError, match="NaN"):
        bootstrap(MOSI, np.array([np.nan]), np.zeros(1), alone(1))
    with pytest.raises(MitrError, match="level"):
        interval(np.zeros(3), 1.0)
