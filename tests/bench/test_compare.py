"""Models beside each other: by-hand numbers, and laws that hold for any."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitr.bench.compare import compare, holm, sign_flip_p
from mitr.data.scale import Scale
from mitr.evaluation.summary import OBSERVED, headline_of, summarise
from mitr.evaluation.table import tidy

MOSI = Scale.of((-3, 3))
N = 60


def table(error: np.ndarray, videos: int = 0, axis: str = "rate") -> pd.DataFrame:
    """Predictions that are off by `error` (K, N); samples of `videos` videos, or each its own."""
    label = np.linspace(-3, 3, N)
    ids = [f"v{i % videos}$_${i}" if videos else f"clip{i}" for i in range(N)]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "id": ids,
                    "condition": f"rate={rate}",
                    "axis": axis,
                    "rate": rate,
                    "label": label,
                    "prediction": label + e,
                    "all_missing": False,
                }
                | dict.fromkeys(OBSERVED, 1.0)
            )
            for rate, e in zip((0.0, 0.5, 1.0), error, strict=True)
        ],
        ignore_index=True,
    )


def compared(errors: dict[str, list[np.ndarray]], protocol: str = "auilc", videos: int = 0) -> pd.DataFrame:
    axis = "rate" if protocol == "auilc" else "modality-rate"
    tables = {m: {s: table(e, videos=videos, axis=axis) for s, e in enumerate(runs)} for m, runs in errors.items()}
    results = pd.concat(
        [
            tidy(summarise(t, protocol=protocol, scale=MOSI, resamples=2), data="d", model=m, seed=s, run=f"{m}{s}")
            for m, runs in tables.items()
            for s, t in runs.items()
        ]
    )
    found = compare(tables, results, protocol=protocol, training="one-model", scale=MOSI, reference="a")
    return found.set_index("model")


def off(*by_condition: float) -> np.ndarray:
    return np.tile(np.array(by_condition)[:, None], (1, N))


def test_headline_difference_ranks_and_wins() -> None:
    found = compared({"a": [off(0.1, 0.2, 0.4)], "b": [off(0.3, 0.2, 0.1)], "c": [off(0.5, 0.5, 0.5)]})
    np.testing.assert_allclose(found["mae"], [0.225, 0.2, 0.5])
    np.testing.assert_allclose(found.loc[["b", "c"], "difference"], [-0.025, 0.275])
    assert np.isnan(found.loc["a", "difference"])
    np.testing.assert_allclose(found["mean_rank"], [(1 + 1.5 + 2) / 3, (2 + 1.5 + 1) / 3, 3])
    assert found["wins"].tolist() == [2, 2, 0]
    assert set(found["conditions"]) == {3}
    assert set(found["headline"]) == {"AUILC"}
    # every clip has the same error, so no resample differs
    np.testing.assert_allclose(found["mae_low"], found["mae"])
    np.testing.assert_allclose(found["mae_high"], found["mae"])
    assert found.loc["c", "p"] == pytest.approx(1 / 10_000)
    assert found.loc["c", "p_holm"] == pytest.approx(2 / 10_000)


def test_other_protocols_weigh_their_conditions_alike() -> None:
    found = compared({"a": [off(0.1, 0.2, 0.6)], "b": [off(0.4, 0.2, 0.6)]}, "modality-rate")
    np.testing.assert_allclose(found["mae"], [0.3, 0.4])
    assert found.loc["b", "difference"] == pytest.approx(0.1)


def test_spread_is_over_runs_and_errors_are_averaged_over_them() -> None:
    found = compared({"a": [off(0.1, 0.1, 0.1), off(0.3, 0.3, 0.3)], "b": [off(0.2, 0.2, 0.2), off(0.2, 0.2, 0.2)]})
    assert found.loc["a", "mae"] == pytest.approx(0.2)
    assert found.loc["a", "mae_std"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert found.loc["b", "mae_std"] == pytest.approx(0, abs=1e-12)
    assert found.loc["b", "difference"] == pytest.approx(0, abs=1e-12)
    assert found.loc["b", "p"] == 1.0


def test_whole_videos_are_moved_together() -> None:
    generator = np.random.default_rng(0)
    apart = np.abs(generator.normal(size=(3, N)))
    by_video = np.repeat(np.abs(generator.normal(size=(3, 12))), N // 12, axis=1)[:, np.argsort(np.arange(N) % 12)]
    by_video = np.abs(generator.normal(size=(3, 12)))[:, np.arange(N) % 12]
    clips, videos = compared({"a": [by_video]}), compared({"a": [by_video]}, videos=12)
    assert set(clips["clusters"]) == {"clips"}
    assert set(videos["clusters"]) == {"videos"}
    width = lambda t: float((t["mae_high"] - t["mae_low"]).iloc[0])  # noqa: E731
    assert width(videos) > 1.5 * width(clips)  # clips of a video are off alike: there are 12 facts, not 60
    alike = width(compared({"a": [apart]}, videos=12)) / width(compared({"a": [apart]}))
    assert 0.4 < alike < 1.6


@pytest.mark.parametrize("protocol", ["auilc", "modality-rate"])
@pytest.mark.parametrize("videos", [0, 12])
def test_an_evaluation_and_a_comparison_of_the_same_predictions_have_the_same_interval(
    protocol: str, videos: int
) -> None:
    errors = np.random.default_rng(3).normal(size=(3, N))
    found = compared({"a": [errors]}, protocol, videos).loc["a"]
    predictions = table(errors, videos=videos, axis="rate" if protocol == "auilc" else "modality-rate")
    summary = summarise(predictions, protocol=protocol, scale=MOSI)
    condition, axis = headline_of(protocol)
    sums = {s.metric: s for s in summary.sums if (s.condition, s.axis) == (condition, axis)}
    assert summary.groups.unit == found["clusters"] == ("videos" if videos else "clips")
    for key in ("mae", "corr"):
        assert (sums[key].value, sums[key].low, sums[key].high) == pytest.approx(
            (found[key], found[f"{key}_low"], found[f"{key}_high"]), abs=1e-12
        )
        assert sums[key].low < sums[key].high


class TestSignFlips:
    def test_all_patterns_by_hand(self) -> None:
        assert sign_flip_p(np.array([1.0, 2.0])) == 0.5  # |3| and |-3| of 3, 1, -1, -3
        assert sign_flip_p(np.array([1.0, -1.0])) == 1.0
        assert sign_flip_p(np.array([1.0] * 5)) == 2 / 32

    @given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
    def test_it_is_a_share_and_has_two_sides(self, sums: list[float]) -> None:
        p = sign_flip_p(np.array(sums))
        assert 0 < p <= 1
        assert sign_flip_p(-np.array(sums)) == p

    def test_random_patterns_come_near_all_of_them(self) -> None:
        sums = np.random.default_rng(1).normal(0.4, 1, 12)
        flips = np.random.default_rng(2).choice([-1.0, 1.0], (20_000, 12))
        assert sign_flip_p(sums, flips) == pytest.approx(sign_flip_p(sums), abs=0.015)


class TestHolm:
    def test_by_hand(self) -> None:
        found = holm(np.array([0.01, 0.04, 0.03, np.nan, 0.005]))
        np.testing.assert_allclose(found, [0.03, 0.06, 0.06, np.nan, 0.02])

    @given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=10))
    def test_it_never_lowers_nor_swaps(self, values: list[float]) -> None:
        p = np.array(values)
        corrected = holm(p)
        assert (corrected >= p - 1e-12).all()
        assert (corrected <= 1).all()
        assert (np.diff(corrected[np.argsort(p)]) >= -1e-12).all()
