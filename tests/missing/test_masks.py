"""Masks: the published ones bit for bit, tiny ones by hand, and laws that hold for any lengths."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.batches.hiding import hide
from mitr.batches.views import Steps
from mitr.missing import masks
from mitr.missing.masks import Mask

RATES = (0.0, 0.3, 0.5, 0.9, 1.0)
PUBLISHED = {"text": (50, 111), "audio": (375, 1111), "vision": (500, 11111)}  # padded length, seed

law = settings(max_examples=60, deadline=None, derandomize=True)
some_lengths = st.lists(st.integers(0, 9), min_size=1, max_size=6).map(np.array)
some_rates = st.floats(0, 1)
seeds = st.integers(0, 2**16)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def runs(row: np.ndarray) -> int:
    """How many runs of true values a row has."""
    return int((np.diff(np.concatenate([[0], row.astype(int)])) == 1).sum())


@pytest.fixture(scope="module")
def protocol(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "protocol.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


class TestPublished:
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("m", PUBLISHED)
    def test_bit_for_bit(self, protocol: dict[str, np.ndarray], m: str, rate: float) -> None:
        padded, seed = PUBLISHED[m]
        mask = masks.published(protocol[f"lengths/{m}"], padded, rate, seed, special_tokens=m == "text")
        expected = np.unpackbits(protocol[f"rate{rate}/keep_{m}"], axis=1)[:, :padded].astype(bool)
        np.testing.assert_array_equal(mask.keep, expected)
        assert mask.keep.dtype == bool
        assert not mask.absent.any()

    @pytest.mark.parametrize("rate", RATES)
    def test_token_ids_after_dropping(self, protocol: dict[str, np.ndarray], rate: float) -> None:
        ids, lengths = torch.from_numpy(protocol["inputs/input_ids"]), protocol["lengths/text"]
        valid = torch.from_numpy(masks.inside(lengths, 50))
        text = Steps(ids, valid, valid & (ids != 100), valid)
        drawn = {"text": masks.published(lengths, 50, rate, 111, special_tokens=True)}
        hidden = hide({"text": text}, drawn, torch.arange(40), unknown_token=100)["text"]
        np.testing.assert_array_equal(hidden.values.numpy(), protocol[f"rate{rate}/input_ids"])

    def test_masks_are_nested_over_rates(self, protocol: dict[str, np.ndarray]) -> None:
        lengths = protocol["lengths/audio"]
        drawn = [masks.published(lengths, 375, rate, 1111).keep for rate in np.linspace(0, 1, 11)]
        assert all((more <= less).all() and more.sum() < less.sum() for less, more in pairwise(drawn))
        np.testing.assert_array_equal(drawn[0], masks.inside(lengths, 375))
        assert not drawn[-1].any()

    def test_the_stream_runs_over_the_padding(self) -> None:
        short, long = (masks.published(np.array([20, 20]), steps, 0.5, 111).keep[:, :20] for steps in (21, 22))
        np.testing.assert_array_equal(short[0], long[0])
        assert (short[1] != long[1]).any()

    def test_by_hand(self) -> None:
        drawn = np.random.RandomState(111).uniform(size=(2, 3))
        keep = masks.published(np.array([3, 1]), 3, 0.4, 111).keep
        assert keep.tolist() == [[bool(u > 0.4) for u in drawn[0]], [bool(drawn[1, 0] > 0.4), False, False]]

    def test_no_global_generator_is_touched(self) -> None:
        before = np.random.get_state()[1].copy()
        masks.published(np.array([5]), 8, 0.5, 111)
        np.testing.assert_array_equal(np.random.get_state()[1], before)


class TestTiny:
    def test_inside(self) -> None:
        assert masks.inside(np.array([2, 0, 3])).tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
        assert masks.inside(np.array([1]), 3).tolist() == [[1, 0, 0]]
        assert masks.inside(np.array([0, 0])).shape == (2, 1)
        assert masks.inside(np.array([], int)).shape == (0, 1)

    def test_everything(self) -> None:
        mask = masks.everything(np.array([2, 0]), 3)
        assert mask.keep.tolist() == [[1, 1, 0], [0, 0, 0]]
        assert mask.absent.tolist() == [False, False]

    @pytest.mark.parametrize(
        ("position", "expected"),
        [
            ("start", [[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]),
            ("end", [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]),
            ("middle", [[1, 0, 0, 1, 1], [1, 0, 1, 0, 0]]),
        ],
    )
    def test_blocks_at_a_place(self, position: masks.Position, expected: list[list[int]]) -> None:
        mask = masks.blocks(np.array([5, 3]), 0.4, rng(0), position)  # 2 steps of 5, 1 of 3
        assert mask.keep.tolist() == expected

    def test_blocks_round_half_up(self) -> None:
        assert masks.blocks(np.array([5, 1]), 0.5, rng(0), "end").keep.tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]

    def test_random_blocks_reach_every_place(self) -> None:
        mask = masks.blocks(np.full(300, 4), 0.5, rng(0))
        starts = np.bincount((~mask.keep).argmax(axis=1), minlength=4)
        assert (starts[:3] > 70).all()
        assert starts[3] == 0

    def test_rates_may_differ_by_sample(self) -> None:
        rates = np.array([0.0, 1.0, 0.5])
        assert masks.random_steps(np.full(3, 200), rates, rng(0)).keep.sum(axis=1)[:2].tolist() == [200, 0]
        assert 70 < masks.random_steps(np.full(3, 200), rates, rng(0)).keep[2].sum() < 130
        assert masks.blocks(np.full(3, 4), rates, rng(0)).keep.sum(axis=1).tolist() == [4, 0, 2]

    def test_random_steps_draw_at_their_rate(self) -> None:
        kept = masks.random_steps(np.full(100, 100), 0.3, rng(0)).keep
        assert kept.mean() == pytest.approx(0.7, abs=0.02)
        assert kept.mean(axis=1).std() > 0.03  # each step on its own, not a fixed number

    def test_whole(self) -> None:
        mask = masks.whole(np.array([2, 2, 0]), np.array([True, False, False]), 3)
        assert mask.keep.tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
        assert mask.absent.tolist() == [True, False, False]

    def test_keep_special_tokens(self) -> None:
        hidden = Mask(np.zeros((4, 4), bool), np.array([False, False, True, False]))
        shown = masks.keep_special_tokens(hidden, np.array([4, 2, 3, 0]))
        assert shown.keep.tolist() == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
        assert not hidden.keep.any()  # not in place

    def test_compose(self) -> None:
        one = Mask(np.array([[1, 0, 1], [1, 1, 1]], bool), np.array([False, True]))
        two = Mask(np.array([[1, 1, 0], [1, 1, 0]], bool), np.array([False, False]))
        both = masks.compose(one, two)
        assert both.keep.tolist() == [[1, 0, 0], [1, 1, 0]]
        assert both.absent.tolist() == [False, True]


class TestLaws:
    @law
    @given(some_lengths, some_rates, seeds, st.integers(0, 3))
    def test_nothing_outside_the_lengths_is_kept(self, lengths: np.ndarray, rate: float, seed: int, extra: int) -> None:
        steps = max(int(lengths.max()), 1) + extra
        valid = masks.inside(lengths, steps)
        assert (valid.sum(axis=1) == lengths).all()
        for mask in (
            masks.random_steps(lengths, rate, rng(seed), steps),
            masks.blocks(lengths, rate, rng(seed), steps=steps),
            masks.published(lengths, steps, rate, seed),
            masks.published(lengths, steps, rate, seed, special_tokens=True),
            masks.whole(lengths, rng(seed).random(len(lengths)) < rate, steps),
        ):
            assert mask.keep.shape == valid.shape
            assert (mask.keep <= valid).all()

    @law
    @given(some_lengths, seeds)
    def test_rate_0_keeps_all_and_rate_1_drops_all(self, lengths: np.ndarray, seed: int) -> None:
        steps = max(int(lengths.max()), 1)
        for rate, expected in ((0.0, masks.inside(lengths)), (1.0, np.zeros((len(lengths), steps), bool))):
            for keep in (
                masks.random_steps(lengths, rate, rng(seed)).keep,
                masks.blocks(lengths, rate, rng(seed)).keep,
                masks.published(lengths, steps, rate, seed).keep,
            ):
                np.testing.assert_array_equal(keep, expected)

    @law
    @given(some_lengths, some_rates, seeds, st.sampled_from(["start", "middle", "end", "random"]))
    def test_a_block_is_one_run_of_the_right_size(
        self, lengths: np.ndarray, rate: float, seed: int, position: masks.Position
    ) -> None:
        gaps = masks.inside(lengths) & ~masks.blocks(lengths, rate, rng(seed), position).keep
        for gap, length in zip(gaps, lengths, strict=True):
            assert gap.sum() == np.floor(rate * length + 0.5)
            assert runs(gap) <= 1

    @law
    @given(some_lengths, some_rates, some_rates, seeds)
    def test_random_steps_are_nested_over_rates(self, lengths: np.ndarray, a: float, b: float, seed: int) -> None:
        less, more = (masks.random_steps(lengths, rate, rng(seed)).keep for rate in sorted((a, b)))
        assert (more <= less).all()

    @law
    @given(st.integers(1, 30), st.integers(1, 4), some_rates, seeds)
    def test_one_of_the_present_modalities_always_stays(self, samples: int, count: int, rate: float, seed: int) -> None:
        has = rng(seed + 1).random((samples, count)) < 0.6
        present = {f"m{i}": has[:, i] for i in range(count)}
        gone = masks.drop_modalities(present, rate, rng(seed))
        taken = np.stack([gone[m] for m in present], axis=1)
        assert list(gone) == list(present)
        assert not (taken & ~has).any()
        np.testing.assert_array_equal((has & ~taken).any(axis=1), has.any(axis=1))

    @law
    @given(some_lengths, some_rates, some_rates, seeds)
    def test_composition_is_commutative_idempotent_and_only_hides(
        self, lengths: np.ndarray, a: float, b: float, seed: int
    ) -> None:
        one = masks.random_steps(lengths, a, rng(seed))
        two = masks.compose(masks.blocks(lengths, b, rng(seed)), masks.whole(lengths, lengths % 2 == 0))
        three = masks.random_steps(lengths, b, rng(seed + 1))
        for left, right in (
            (masks.compose(one, two), masks.compose(two, one)),
            (masks.compose(one, one), one),
            (masks.compose(masks.compose(one, two), three), masks.compose(one, masks.compose(two, three))),
            (masks.compose(one, masks.everything(lengths)), one),
        ):
            np.testing.assert_array_equal(left.keep, right.keep)
            np.testing.assert_array_equal(left.absent, right.absent)
        assert (masks.compose(one, two).keep <= one.keep).all()

    @law
    @given(some_lengths, some_rates, seeds)
    def test_special_tokens_stay(self, lengths: np.ndarray, rate: float, seed: int) -> None:
        steps = max(int(lengths.max()), 1)
        plain = masks.published(lengths, steps, rate, seed).keep
        special = masks.published(lengths, steps, rate, seed, special_tokens=True).keep
        for row, length in enumerate(lengths):
            if length:
                assert special[row, 0]
                assert special[row, length - 1]
                np.testing.assert_array_equal(special[row, 1 : length - 1], plain[row, 1 : length - 1])

    @law
    @given(some_lengths, some_rates, seeds)
    def test_a_generator_decides_everything(self, lengths: np.ndarray, rate: float, seed: int) -> None:
        before = lengths.copy()
        for draw in (masks.random_steps, masks.blocks):
            np.random.seed(seed)
            first = draw(lengths, rate, rng(seed)).keep
            np.random.seed(seed + 1)
            np.testing.assert_array_equal(draw(lengths, rate, rng(seed)).keep, first)
        np.testing.assert_array_equal(lengths, before)


def test_generators_that_differ_draw_different_masks() -> None:
    lengths = np.full(4, 30)
    for draw in (masks.random_steps, masks.blocks):
        assert (draw(lengths, 0.5, rng(0)).keep != draw(lengths, 0.5, rng(1)).keep).any()


def test_modalities_are_dropped_at_their_rate_and_come_back_evenly() -> None:
    present = {m: np.ones(3000, bool) for m in ("text", "audio", "vision")}
    gone = masks.drop_modalities(present, 0.2, rng(0))
    for taken in gone.values():
        assert taken.mean() == pytest.approx(0.2, abs=0.03)
    left = np.stack([~taken for taken in masks.drop_modalities(present, 1.0, rng(0)).values()], axis=1)
    assert (left.sum(axis=1) == 1).all()
    assert (np.abs(left.mean(axis=0) - 1 / 3) < 0.04).all()
    assert not any(taken.any() for taken in masks.drop_modalities(present, 0.0, rng(0)).values())


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan, np.array([0.5, 2.0])])
def test_rates_outside_0_to_1_are_refused(rate: float) -> None:
    lengths = np.array([3, 2])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        masks.random_steps(lengths, rate, rng(0))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        masks.blocks(lengths, rate, rng(0))
    if np.ndim(rate) == 0:
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            masks.published(lengths, 3, rate, 111)
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            masks.drop_modalities({"text": lengths > 0}, rate, rng(0))


def test_a_sequence_longer_than_the_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="2 steps cannot hold a sequence of 3"):
        masks.published(np.array([3]), 2, 0.5, 111)
