"""Prediction intervals: exact on tiny tables, monotone in what is observed, and right as often as they say."""

import json
from collections.abc import Mapping
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
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation import conformal
from mitr.evaluation.conformal import (
    ENOUGH,
    Conformal,
    at_random_rates,
    calibration_conditions,
    clips_needed,
    coverage_by_rate,
)
from mitr.evaluation.predicting import predict_under
from mitr.missing.schedules import Extent
from mitr.models.base import Model
from mitr.models.network import Network

RANGE = (-3.0, 3.0)
EXTENTS = {
    "text": Extent(np.array([12, 2, 402, 302]), 402, special_tokens=True),
    "audio": Extent(np.array([0, 3, 400, 300])),
    "vision": Extent(np.array([9, 3, 400, 300])),
}


def table(
    clips: Any, scores: Any, text: Any, audio: Any = 0.0, condition: str = "c", rate: float = np.nan
) -> pd.DataFrame:
    """Predictions of 0 whose labels are the scores."""
    columns = {"id": clips, "condition": condition, "rate": rate, "label": np.asarray(scores, float), "prediction": 0.0}
    return pd.DataFrame(columns | {"observed_text": text, "observed_audio": audio, "observed_vision": 0.0})


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
        spread = 0.2 + 1.5 * (1 - (text + audio) / 2)
        prediction = np.where(text + audio > 0, label + spread * (own + generator.normal(size=clips)) / 2, 0.0)
        part = table(np.arange(clips), label, text, audio, f"rate={rate}", np.nan if rate is None else rate)
        parts.append(part.assign(prediction=prediction))
    return pd.concat(parts, ignore_index=True)


class TestConditions:
    def test_what_is_missing(self) -> None:
        found = calibration_conditions(MODALITIES, draws=3)
        names = [condition.name for condition in found]
        assert names[:4] == ["rate=0.0", "random-rate draw=0", "random-rates draw=1", "random-rate draw=2"]
        assert names[-1] == "rate=1.0"
        assert len(names) == len(set(names)) == 1 + 3 + 2 * 6 + 1
        assert "available=text+vision" in names
        assert "random-rates available=audio" in names
        assert len(calibration_conditions(["audio"], draws=3)) == 5

    def test_masks_are_fixed_by_the_seed(self) -> None:
        first, again, other = (calibration_conditions(MODALITIES, 2, seed=seed)[1] for seed in (1, 1, 2))
        drawn = first.masks(EXTENTS)
        np.testing.assert_array_equal(drawn["vision"].keep, again.masks(EXTENTS)["vision"].keep)
        assert (drawn["vision"].keep != other.masks(EXTENTS)["vision"].keep).any()

    def test_draws_differ(self) -> None:
        one, two = (condition.masks(EXTENTS)["audio"].keep for condition in calibration_conditions(MODALITIES)[1:3])
        assert (one != two).any()

    def test_a_sample_has_one_rate(self) -> None:
        drawn = at_random_rates(EXTENTS, (7, 0), shared=True)
        shares = {m: mask.keep[2:].sum(axis=1) / EXTENTS[m].lengths[2:] for m, mask in drawn.items()}
        assert abs(shares["text"][0] - shares["text"][1]) > 0.2
        for m in ("audio", "vision"):
            np.testing.assert_allclose(shares[m], shares["text"], atol=0.1)
        assert (drawn["audio"].keep[2, :300] != drawn["vision"].keep[2, :300]).any()
        assert drawn["text"].keep[:, 0].all()
        assert drawn["text"].keep[[0, 1, 2, 3], EXTENTS["text"].lengths - 1].all()

    def test_or_one_for_each_modality(self) -> None:
        many = {m: Extent(np.full(200, 100)) for m in ("audio", "vision")}
        for shared, lowest, highest in ((True, 0.95, 1.0), (False, -0.3, 0.3)):
            drawn = at_random_rates(many, (7, 0), shared=shared)
            shares = [mask.keep.mean(axis=1) for mask in drawn.values()]
            assert lowest < np.corrcoef(shares)[0, 1] < highest

    def test_others_are_absent(self) -> None:
        drawn = at_random_rates(EXTENTS, (7, 0), shared=True, available=("text",))
        assert not drawn["text"].absent.any()
        assert drawn["audio"].absent.all()
        assert not drawn["audio"].keep.any()

    def test_wrong_input(self) -> None:
        with pytest.raises(MitrError, match="at least one draw"):
            calibration_conditions(MODALITIES, draws=0)
        with pytest.raises(MitrError, match="one modality"):
            calibration_conditions([])


class TestWidths:
    def test_one_row_a_clip(self) -> None:
        scores = [5, 3, 9, 1, 7, 2, 8, 4, 6]
        complete = table(range(9), scores, 1.0)
        for level, rank in ((0.5, 5), (0.51, 6), (0.8, 8), (0.9, 9)):  # ceil(10 level)
            assert Conformal.fit(complete, level).half_width(observed(1.0)).tolist() == [rank]

    def test_a_clip_counts_once(self) -> None:
        one, often = table(range(3), [1, 2, 3], 1.0), table([3, 3, 3, 3], [4, 5, 6, 7], 1.0)
        both = pd.concat([one, often])  # weights 1, 1, 1, and 4 x 1/4; an infinite score has the fifth
        for level, width in ((0.6, 3), (0.65, 4), (0.7, 5), (0.75, 6), (0.8, 7)):
            assert Conformal.fit(both, level).half_width(observed(1.0)).tolist() == [width]

    def test_over_shares(self) -> None:
        near, far = np.arange(1.0, 10), np.arange(11.0, 20)
        found = Conformal.fit(pd.concat([table(range(9), near, 1.0), table(range(9), far, 0.5)]), 0.5)
        # between .7 and .8 a reach is doubled until it has 3 clips: each then has both rows, and 9/2 + 1/2 = 5
        shares = [1.0, 0.8, 0.75, 0.7, 0.5, 0.05]
        assert found.half_width(observed(shares)).tolist() == pytest.approx([5.0, 5.0, 11.0, 15.0, 15.0, 15.0])
        assert found.half_width(observed(0.725)).tolist() == [pytest.approx(13.0)]  # between .7 and .75

    def test_an_error_that_falls_with_the_share_is_averaged(self) -> None:
        rising = pd.concat([table(range(30), np.full(30, 4.0), 1.0), table(range(30), np.full(30, 1.0), 0.5)])
        widths = np.array(Conformal.fit(rising).half_widths["text"])
        assert np.ptp(widths) == pytest.approx(0)
        assert 1 < widths[0] < 4

    def test_groups_have_their_own(self) -> None:
        both, text, audio = (
            table(range(30), np.full(30, score), t, a)
            for score, t, a in ((1.0, 0.5, 0.5), (2.0, 0.5, 0.0), (3.0, 0.0, 0.5))
        )
        found = Conformal.fit(pd.concat([both, text, audio, table(range(30), np.full(30, 0.5), 0.0)]))
        assert found.modalities == ("text", "audio")
        assert set(found.half_widths) == {"text", "audio", "text+audio", "any"}
        widths = found.half_width(observed([0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0]))
        assert widths.tolist() == [1.0, 2.0, 3.0, found.nothing]

    def test_a_small_group_gets_what_any_has(self) -> None:
        enough = ENOUGH * clips_needed(0.9)
        text = table(range(enough), np.full(enough, 2.0), 0.8)
        audio = table(range(enough - 1), np.full(enough - 1, 3.0), 0.0, 0.8)
        found = Conformal.fit(pd.concat([text, audio]))
        assert set(found.half_widths) == {"text", "any"}
        alone, unseen = found.half_width(observed([0.0, 0.6], [0.8, 0.6]))
        assert alone == 3.0
        assert unseen == np.interp(0.6, found.shares, found.half_widths["any"])

    def test_a_modality_weighs_as_much_as_its_absence_costs(self) -> None:
        generator = np.random.default_rng(3)
        text, audio = generator.uniform(0.01, 1, (2, 3000))
        found = Conformal.fit(table(range(3000), 0.5 + 3 * (1 - text) + (1 - audio), text, audio))
        np.testing.assert_allclose(found.weights["text+audio"], [0.75, 0.25], atol=5e-3)
        widths = found.half_width(observed([0.2, 0.8, 0.5], [0.8, 0.2, 0.5]))
        np.testing.assert_allclose(widths, [3.1, 1.9, 2.5], atol=0.25)  # a reach of .05 is worth .2
        only_text = Conformal.fit(table(range(3000), 0.5 + text, text, audio))  # errors that fall with the share
        assert only_text.weights["text+audio"][0] < 0.01

    def test_few_clips_say_little_of_that(self) -> None:
        text, audio = np.random.default_rng(3).uniform(0.01, 1, (2, 27))
        found = Conformal.fit(table(range(27), 1 - text, text, audio))
        assert found.weights["text+audio"] == pytest.approx((0.75, 0.25), abs=1e-3)

    def test_alike_where_no_share_makes_a_difference(self) -> None:
        text, audio = np.random.default_rng(4).uniform(0.01, 1, (2, 40))
        assert Conformal.fit(table(range(40), np.zeros(40), text, audio)).weights["text+audio"] == (0.5, 0.5)

    def test_without_clips_of_which_nothing_is_observed(self) -> None:
        found = Conformal.fit(simulated(np.random.default_rng(0), 60, [0.0, None]))
        assert found.nothing == max(curve[0] for curve in found.half_widths.values())

    def test_few_clips_of_each_kind_are_taken_together(self) -> None:
        found = Conformal.fit(pd.concat([table(range(5), range(5), 0.8), table(range(5, 10), range(5, 10), 0.0)]))
        assert found.half_widths == {}
        assert found.half_width(observed([1.0, 0.0])).tolist() == [9.0, 9.0]

    def test_rows_without_a_label_are_left_out(self) -> None:
        known, unknown = table(range(9), range(9), 1.0), table(range(9, 30), [np.nan] * 21, 1.0)
        found = Conformal.fit(pd.concat([known, unknown]), 0.5)
        assert found == Conformal.fit(known, 0.5)
        assert found.clips == 9
        assert found.coverage(pd.concat([known, unknown])) == 5 / 9
        assert np.isnan(found.coverage(unknown))


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
        generator = np.random.default_rng(seed)
        rows = simulated(generator, 40, [0.0, None, None, 1.0])
        shuffled = rows.sample(frac=1, random_state=seed)
        one, two = Conformal.fit(rows), Conformal.fit(shuffled)
        assert one.half_widths.keys() == two.half_widths.keys()
        for group, curve in one.half_widths.items():
            np.testing.assert_allclose(two.half_widths[group], curve, rtol=1e-12)
        assert one.nothing == two.nothing

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10**6), st.sampled_from([0.25, 2.0, 64.0]))  # powers of two are exact
    def test_widths_scale_with_the_labels(self, seed: int, factor: float) -> None:
        rows = simulated(np.random.default_rng(seed), 40, [0.0, None, 1.0])
        scaled = rows.assign(label=factor * rows["label"], prediction=factor * rows["prediction"])
        grown = Conformal.fit(scaled).half_width(rows)
        np.testing.assert_allclose(grown, factor * Conformal.fit(rows).half_width(rows), rtol=1e-12)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 10**6))
    def test_a_higher_level_is_not_narrower_where_one_group_is_complete(self, seed: int) -> None:
        rows = table(range(50), np.random.default_rng(seed).random(50), 1.0)
        widths = [Conformal.fit(rows, level).half_width(observed(1.0)).item() for level in (0.3, 0.5, 0.8, 0.9, 0.95)]
        assert widths == sorted(widths)


class TestCoverage:
    def test_new_clips_are_covered_at_the_level(self) -> None:
        repeats, clips, level = 300, 40, 0.8
        generator = np.random.default_rng(5)
        hits = 0
        for _ in range(repeats):  # complete clips: exchangeable, so at least level, and less than level + 1 / (n + 1)
            scores = generator.exponential(size=clips + 1)
            hits += scores[-1] <= Conformal.fit(table(range(clips), scores[:-1], 1.0), level).half_width(observed(1.0))
        low, high = binom.ppf([1e-4, 1 - 1e-4], repeats, [level, level + 1 / (clips + 1)])
        assert low <= hits.item() <= high

    def test_at_each_rate(self) -> None:
        generator = np.random.default_rng(6)
        rates = [0.0, 0.2, 0.5, 0.8, 1.0]
        found = []
        for _ in range(30):
            intervals = Conformal.fit(simulated(generator, 100, [0.0, None, None, None, None, 1.0]))
            found.append(coverage_by_rate(simulated(generator, 100, rates), intervals))
        together = pd.concat(found).groupby("rate")
        assert together["n"].sum().tolist() == [3000] * 5
        # of 30 calibrations of 100 clips, each with a coverage of standard deviation sqrt(.9 x .1 / 100) = .03
        np.testing.assert_allclose(together["coverage"].mean(), 0.9, atol=4 * np.sqrt(2) * 0.03 / np.sqrt(30))
        assert together["width"].mean().is_monotonic_increasing

    def test_table(self) -> None:
        calibrated = Conformal.fit(table(range(9), range(1, 10), 1.0), 0.5)  # half width 5
        first = table(range(10), [0, 1, 2, 3, 4, 5, 5, -5, -5, 6], 1.0, condition="rate=0.1", rate=0.1)
        second = table(range(4), [0, np.nan, 6, 7], 0.7, condition="available=text")
        result = coverage_by_rate(pd.concat([first, second], ignore_index=True), calibrated)
        assert list(result.columns) == ["condition", "rate", "n", "coverage", "width", "low", "high"]
        assert result["condition"].tolist() == ["rate=0.1", "available=text"]
        assert result["n"].tolist() == [10, 3]
        assert result["coverage"].tolist() == [0.9, pytest.approx(1 / 3)]
        assert result["width"].tolist() == [10.0, 10.0]
        assert result["rate"].isna().tolist() == [False, True]
        z, p, n = 1.959964, 0.9, 10  # Wilson's formula
        middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        ends = (result["low"][0], result["high"][0])
        assert ends == pytest.approx(((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)), abs=1e-6)

    def test_interval_is_cut_to_the_scale(self) -> None:
        calibrated = Conformal.fit(table(range(9), range(1, 10), 1.0), 0.1)  # half width 1
        rows = table([0, 1, 2], [0, 0, 0], 1.0).assign(prediction=[0.5, 2.5, -4.5]).set_axis([7, 8, 9])
        result = calibrated.interval(rows, RANGE)
        assert result.index.tolist() == [7, 8, 9]
        assert result["low"].tolist() == [-0.5, 1.5, -3.0]
        assert result["high"].tolist() == [1.5, 3.0, -3.0]


def test_half_widths_that_grow_are_pooled_by_their_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    widths, clips = np.array([3.0, 5, 4, 4, 1] + [1.0] * 16), np.array([1.0, 2, 1, 3, 2] + [1.0] * 16)
    monkeypatch.setattr(conformal, "_near_each", lambda *_: (widths, clips))
    found = conformal._curve(*[np.zeros(1)] * 3, 0.9)
    assert found == pytest.approx([13 / 3, 13 / 3, 4, 4, *[1] * 17])


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
    network = Network(Seen(), prior=0.5).eval()
    predicted = predict_under(network, examples, calibration_conditions(small.info.modalities, draws=2))
    found = Conformal.fit(predicted, 0.8)
    nothing = predicted[predicted["condition"] == "rate=1.0"]
    assert nothing["all_missing"].all()
    assert (found.half_width(nothing) == found.nothing).all()
    seen = predicted[~predicted["all_missing"]]
    assert (seen[["observed_text", "observed_audio", "observed_vision"]] > 0).any(axis=1).all()
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
        assert len(text) < 50_000
        again = Conformal.from_json(json.loads(text))
        assert again == found
        np.testing.assert_array_equal(again.half_width(rows), found.half_width(rows))

    @pytest.mark.parametrize(
        "change",
        [
            {"format": 2},
            {"nothing": None},
            {"nothing": -1.0},
            {"shares": [0.0, 1.0]},
            {"half_widths": {"any": [1.0]}},
            {"weights": {"text": [1.0]}},
            {"weights": {"any": [], "text": []}},
            {"half_widths": []},
            {"modalities": ["smell"]},
            {"modalities": []},
            {"level": 2.0},
        ],
        ids=str,
    )
    def test_something_else(self, change: Mapping[str, Any]) -> None:
        about = Conformal.fit(table(range(9), range(9), 1.0)).to_json()
        with pytest.raises(MitrError, match=r"here\.json does not describe prediction intervals"):
            Conformal.from_json(about | change, "here.json")
        with pytest.raises(MitrError, match=r"conformal\.json"):
            Conformal.from_json([])


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
