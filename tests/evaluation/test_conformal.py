"""Split-conformal intervals: exact on tiny tables, wider the more is missing, and right as often as they say."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from mitr.batches.examples import Examples
from mitr.batches.views import Steps, Targets
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.data.videos import drawn_videos
from mitr.errors import MitrError
from mitr.evaluation.conformal import (
    DIVISIONS,
    ENOUGH,
    LEAST,
    SPREAD_SHARE,
    Conformal,
    clips_needed,
)
from mitr.evaluation.curves import intervals_from_json
from mitr.evaluation.intervals import coverage_by_rate
from mitr.evaluation.predicting import predict_under
from mitr.missing.calibration import calibration_conditions
from mitr.models.base import Model
from mitr.models.network import Network

RANGE = (-3.0, 3.0)
GOOD = {"ranked": 9, "base": 1.0, "slopes": [0.0], "quantiles": {"any": 1.0}}  # a division in a file


def table(
    clips: Any, scores: Any, text: Any, audio: Any = 0.0, condition: str = "c", rate: float = np.nan
) -> pd.DataFrame:
    """Predictions of 0 whose labels are the scores."""
    columns = {"id": clips, "condition": condition, "rate": rate, "label": np.asarray(scores, float), "prediction": 0.0}
    rows = pd.DataFrame(columns | {"observed_text": text, "observed_audio": audio, "observed_vision": 0.0})
    return rows.assign(id=[str(name) for name in rows["id"]])


def observed(text: Any, audio: Any = 0.0) -> dict[str, np.ndarray]:
    text, audio = np.broadcast_arrays(np.atleast_1d(text).astype(float), np.atleast_1d(audio).astype(float))
    return {"observed_text": text, "observed_audio": audio, "observed_vision": np.zeros(len(text))}


def simulated(generator: np.random.Generator, clips: int, rates: list[float | None]) -> pd.DataFrame:
    """Errors that grow as text and audio of few steps go missing, alike in a clip; None: a rate of each clip's own."""
    label, own = generator.uniform(-3, 3, clips), generator.normal(size=clips)
    parts = []
    for rate in rates:
        rate_of = generator.random(clips) if rate is None else np.full(clips, rate)
        text, audio = (generator.binomial(steps, 1 - rate_of) / steps for steps in (12, 100))
        spread = 0.7 + 0.7 * (1 - (text + audio) / 2)
        prediction = np.where(text + audio > 0, label + spread * (own + generator.normal(size=clips)) / 2, 0.0)
        part = table(np.arange(clips), label, text, audio, f"rate={rate}", np.nan if rate is None else rate)
        parts.append(part.assign(prediction=prediction))
    return pd.concat(parts, ignore_index=True)


def fitted_clips(rows: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """(n,) bool: rows of the clips that the spread is fitted on."""
    names = rows["id"].drop_duplicates().tolist()
    chosen = {name for name, drawn in zip(names, drawn_videos(names, SPREAD_SHARE, seed), strict=True) if drawn}
    return rows["id"].isin(chosen).to_numpy()


class TestRanks:
    def test_one_row_a_clip(self) -> None:
        scores = [5, 3, 9, 1, 7, 2, 8, 4, 6]
        complete = table(range(9), scores, 1.0)
        for level, rank in ((0.82, 9), (0.9, 9)):  # ceil(10 level); too few clips to fit a spread on some of them
            found = Conformal.fit(complete, level)
            assert all(division == (9, 1.0, (0.0,), {"any": rank}) for division in found.divisions)
            assert found.clips == 9
            assert found.half_width(observed(1.0)).tolist() == [rank]

    def test_a_clip_counts_once(self) -> None:
        one, often = table(range(3), [1, 2, 3], 1.0), table([3, 3, 3, 3], [4, 5, 6, 7], 1.0)
        both = pd.concat([one, often])  # weights 1, 1, 1, and 4 x 1/4; an infinite score has the fifth
        for level, width in ((0.7, 5), (0.75, 6), (0.8, 7)):
            assert Conformal.fit(both, level).half_width(observed(1.0)).tolist() == [width]

    def test_the_clips_of_the_spread_are_not_ranked(self) -> None:
        rows = table(range(100), np.linspace(1, 2, 100), 1.0)
        drawn = fitted_clips(rows)
        assert drawn.sum() == 15
        found = Conformal.fit(rows, divisions=1)
        assert (found.clips, found.divisions[0].ranked) == (100, 85)
        louder = rows.assign(label=rows["label"].where(~drawn, 1000.0))  # the fitted quantile, and so every width
        ranked = np.sort(rows["label"].to_numpy()[~drawn])
        for each in (found, Conformal.fit(louder, divisions=1)):
            assert each.half_width(observed(1.0)).item() == pytest.approx(ranked[int(np.ceil(0.9 * 86)) - 1])

    def test_the_median_over_divisions(self) -> None:
        rows = simulated(np.random.default_rng(0), 80, [0.0, None, None, 1.0])
        found = Conformal.fit(rows)
        assert len(found.divisions) == DIVISIONS == len({division.slopes for division in found.divisions})
        one = [replace(found, divisions=(division,)).half_width(rows) for division in found.divisions]
        np.testing.assert_array_equal(found.half_width(rows), np.sort(one, axis=0)[DIVISIONS // 2])
        assert Conformal.fit(rows, divisions=1).divisions == found.divisions[:1]

    def test_a_video_is_not_cut_in_two(self) -> None:
        rows = simulated(np.random.default_rng(0), 80, [0.0, None, None, 1.0])
        by_video = rows.assign(id=[f"v{int(name) // 10}$_${name}" for name in rows["id"]])
        assert Conformal.fit(rows).divisions[0].ranked == 68
        assert Conformal.fit(by_video).divisions[0].ranked == 70

    def test_groups_have_their_own(self) -> None:
        both, text, audio = (
            table(range(60), np.full(60, score), t, a)
            for score, t, a in ((1.0, 0.5, 0.5), (2.0, 0.5, 0.0), (3.0, 0.0, 0.5))
        )
        found = Conformal.fit(pd.concat([both, text, audio, table(range(60), np.full(60, 0.5), 0.0)]))
        assert found.modalities == ("text", "audio")
        assert set(found.divisions[0].quantiles) == {"text", "audio", "text+audio", "", "any"}
        widths = found.half_width(observed([0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0]))
        np.testing.assert_allclose(widths, [1.0, 2.0, 3.0, 0.5])

    def test_a_small_group_gets_what_all_have(self) -> None:
        enough = ENOUGH * clips_needed(0.9)
        text = table(range(enough), np.full(enough, 2.0), 0.8)
        audio = table(range(enough - 1), np.full(enough - 1, 3.0), 0.0, 0.8)
        found = Conformal.fit(pd.concat([text, audio]))
        assert set(found.divisions[0].quantiles) == {"text", "any"}
        assert found.half_width(observed([0.0, 0.6, 0.5, 0.0], [0.8, 0.6, 0.0, 0.0])).tolist() == [3.0, 3.0, 2.0, 3.0]

    def test_rows_without_a_label_are_left_out(self) -> None:
        known, unknown = table(range(9), range(9), 1.0), table(range(9, 30), [np.nan] * 21, 1.0)
        found = Conformal.fit(pd.concat([known, unknown]), 0.8)
        assert found == Conformal.fit(known, 0.8)
        assert found.clips == 9


class TestSpread:
    def test_it_is_the_quantile_of_the_errors(self) -> None:
        generator = np.random.default_rng(3)
        text, audio = generator.uniform(0.01, 1, (2, 4000))
        spread = 0.5 + 3 * (1 - text) + (1 - audio)
        whole = Conformal.fit(table(range(4000), generator.uniform(0, 1, 4000) * spread, text, audio), 0.8, divisions=1)
        found = whole.divisions[0]
        np.testing.assert_allclose([found.base, *found.slopes], 0.8 * np.array([0.5, 3, 1]), atol=0.15)
        assert found.quantiles["text+audio"] == pytest.approx(1.0, abs=0.05)
        widths = replace(whole, divisions=(found,)).half_width(observed([0.2, 0.8, 0.5], [0.8, 0.2, 0.5]))
        np.testing.assert_allclose(widths, 0.8 * np.array([3.1, 1.9, 2.5]), atol=0.1)

    def test_errors_that_fall_as_data_go_missing_do_not_make_it_fall(self) -> None:
        text = np.random.default_rng(3).uniform(0.01, 1, 200)
        found = Conformal.fit(table(range(200), 0.5 + text, text))
        assert {division.slopes for division in found.divisions} == {(0.0,)}

    def test_a_complete_clip_without_errors_has_some(self) -> None:
        rows = pd.concat([table(range(100), np.zeros(100), 1.0), table(range(100), np.ones(100), 0.01)])
        found = Conformal.fit(rows)
        assert found.divisions[0].base == pytest.approx(LEAST * 0.5)
        assert np.isfinite(found.half_width(observed([1.0, 0.01]))).all()

    def test_without_any_error_it_is_one(self) -> None:
        found = Conformal.fit(table(range(100), np.zeros(100), 1.0))
        assert (found.divisions[0].base, found.divisions[0].slopes) == (1.0, (0.0,))
        assert found.half_width(observed(1.0)).tolist() == [0.0]


class TestLaws:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6), st.integers(9, 60), st.sampled_from([0.5, 0.8, 0.9]))
    def test_the_width_never_falls_as_data_go_missing(self, seed: int, clips: int, level: float) -> None:
        generator = np.random.default_rng(seed)
        found = Conformal.fit(simulated(generator, clips, [0.0, None, None, 1.0]), level)
        shares = np.sort(generator.random(50))[::-1]
        fixed = np.full(50, 0.7)
        for text, audio in ((shares, shares), (shares, 0 * shares), (0.2 * shares, shares), (fixed, shares)):
            widths = found.half_width(observed(text, audio))
            assert (np.diff(widths) >= -1e-12).all()
            assert (widths >= 0).all()

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10**6))
    def test_the_order_of_rows_is_nothing(self, seed: int) -> None:
        rows = simulated(np.random.default_rng(seed), 40, [0.0, None, None, 1.0])
        one, two = Conformal.fit(rows), Conformal.fit(rows.sample(frac=1, random_state=seed))
        np.testing.assert_allclose(two.half_width(rows), one.half_width(rows), rtol=1e-9)

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10**6), st.sampled_from([0.25, 2.0, 64.0]))  # powers of two are exact
    def test_widths_scale_with_the_labels(self, seed: int, factor: float) -> None:
        rows = simulated(np.random.default_rng(seed), 40, [0.0, None, 1.0])
        scaled = rows.assign(label=factor * rows["label"], prediction=factor * rows["prediction"])
        grown = Conformal.fit(scaled).half_width(rows)
        np.testing.assert_allclose(grown, factor * Conformal.fit(rows).half_width(rows), rtol=1e-9)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 10**6))
    def test_a_higher_level_is_not_narrower_where_all_is_observed(self, seed: int) -> None:
        rows = table(range(50), np.random.default_rng(seed).random(50), 1.0)
        widths = [Conformal.fit(rows, level).half_width(observed(1.0)).item() for level in (0.3, 0.5, 0.8, 0.9)]
        assert widths == sorted(widths)


class TestCoverage:
    def test_new_clips_are_covered_at_the_level(self) -> None:
        repeats, clips, level = 400, 60, 0.8
        generator = np.random.default_rng(5)
        hits = 0
        for _ in range(repeats):  # exchangeable clips: at least level, and less than level + 1 / (n + 1)
            share = generator.uniform(0.1, 1, clips + 1)
            scores = generator.exponential(size=clips + 1) * (2 - share)
            found = Conformal.fit(table(range(clips), scores[:-1], share[:-1]), level, divisions=1)
            assert found.divisions[0].ranked == 51
            hits += int(scores[-1] <= found.half_width(observed(share[-1])).item())
        low, high = binom.ppf([1e-4, 1 - 1e-4], repeats, [level, level + 1 / 52])
        assert low <= hits <= high

    def test_at_each_rate(self) -> None:
        generator = np.random.default_rng(6)
        rates = [0.0, 0.2, 0.5, 0.8, 1.0]
        found = []
        for _ in range(30):
            rows = simulated(generator, 120, [0.0, None, None, None, None, 1.0])
            found.append(coverage_by_rate(simulated(generator, 120, rates), Conformal.fit(rows, divisions=3)))
        together = pd.concat(found).groupby("rate")
        assert together["n"].sum().tolist() == [3600] * 5
        # of 30 calibrations of some 100 ranked clips, each with a coverage of standard deviation .03; and the spread is
        # fitted on 18
        np.testing.assert_allclose(together["coverage"].mean(), 0.9, atol=0.035)
        assert together["width"].mean().is_monotonic_increasing


class Seen(Model):
    """Answers with the number of modalities that it sees."""

    def forward(self, view: Mapping[str, Steps]) -> torch.Tensor:
        return torch.stack([steps.observed.float() for steps in view.values()]).sum(dim=0)

    def losses(
        self, complete: Mapping, incomplete: Mapping, targets: Targets, teacher: Model | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        raise NotImplementedError

    def weight_of(self, term: str) -> float:
        return 1.0


def test_from_a_network_to_an_interval(small: Dataset) -> None:
    examples = Examples(small, small.indices("valid"), Normalizer({}), None)
    network = Network(Seen({}), prior=0.5).eval()
    predicted = predict_under(network, examples, calibration_conditions(small.info.modalities, draws=2))
    found = Conformal.fit(predicted, 0.8)
    nothing = predicted[predicted["condition"] == "rate=1.0"]
    assert nothing["all_missing"].all()
    each = [one.quantiles[""] * (one.base + sum(one.slopes)) for one in found.divisions]
    np.testing.assert_allclose(found.half_width(nothing), np.median(each))
    assert found.coverage(predicted) > 0.7
    assert found.interval(predicted, RANGE).shape == (len(predicted), 2)
    later = predict_under(network, examples, calibration_conditions(["text"], draws=1)[1:2]).iloc[:1]
    one = found.half_width({name: later[name].to_numpy() for name in later if str(name).startswith("observed_")})
    assert one.shape == (1,)


class TestFile:
    def test_round_trip(self) -> None:
        rows = simulated(np.random.default_rng(1), 60, [0.0, None, None, 1.0])
        found = Conformal.fit(rows)
        text = json.dumps(found.to_json(), allow_nan=False)
        assert len(text) < 10_000
        again = intervals_from_json(json.loads(text))
        assert again == found
        np.testing.assert_array_equal(again.half_width(rows), found.half_width(rows))

    @pytest.mark.parametrize(
        "change",
        [
            {"format": 3},
            {"divisions": []},
            {"divisions": 1.0},
            {"divisions": [GOOD | {"ranked": None}]},
            {"divisions": [GOOD | {"base": 0.0}]},
            {"divisions": [GOOD | {"slopes": [-1.0]}]},
            {"divisions": [GOOD | {"slopes": [1.0, 1.0]}]},
            {"divisions": [GOOD | {"quantiles": {"text": 1.0}}]},
            {"divisions": [GOOD | {"quantiles": {"any": None}}]},
            {"divisions": [GOOD | {"quantiles": []}]},
            {"modalities": ["smell"]},
            {"modalities": []},
            {"level": 2.0},
        ],
        ids=str,
    )
    def test_something_else(self, change: Mapping[str, Any]) -> None:
        value = Conformal.fit(table(range(9), range(9), 1.0)).to_json()
        assert intervals_from_json(value | {"divisions": [GOOD]}).half_width(observed(1.0)).tolist() == [1.0]
        with pytest.raises(MitrError, match=r"here\.json does not describe prediction intervals"):
            intervals_from_json(value | change, "here.json")


class TestWrongInput:
    @pytest.mark.parametrize(("level", "clips"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.01, 1)])
    def test_too_few_clips(self, level: float, clips: int) -> None:
        assert clips_needed(level) == clips
        Conformal.fit(table(range(clips), range(clips), 1.0), level)
        fewer = pd.concat([table(range(clips - 1), range(clips - 1), share) for share in (1.0, 0.5)])
        with pytest.raises(MitrError, match=f"at least {clips} labelled validation clips; there are {clips - 1}"):
            Conformal.fit(fewer, level)

    @pytest.mark.parametrize("level", [0.0, 1.0, -0.1, np.nan])
    def test_level(self, level: float) -> None:
        with pytest.raises(MitrError, match="must lie between 0 and 1"):
            Conformal.fit(table(range(9), range(9), 1.0), level)

    def test_tables(self) -> None:
        rows = table(range(9), range(9), 1.0)
        with pytest.raises(MitrError, match="no column prediction"):
            Conformal.fit(rows.drop(columns="prediction"))
        with pytest.raises(MitrError, match="not finite"):
            Conformal.fit(rows.assign(prediction=np.inf))
        with pytest.raises(MitrError, match="no modality is observed"):
            Conformal.fit(rows.assign(observed_text=0.0))
        with pytest.raises(MitrError, match=r"observed_audio has a value outside"):
            Conformal.fit(rows.assign(observed_audio=np.nan))
        found = Conformal.fit(rows)
        with pytest.raises(MitrError, match="no column observed_text"):
            found.half_width({"observed_audio": np.ones(1)})
        with pytest.raises(MitrError, match="outside"):
            found.half_width({"observed_text": np.array([1.2])})
