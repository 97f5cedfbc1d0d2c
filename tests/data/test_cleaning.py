"""What is repaired, and that every repair is counted."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mitr.data.cleaning import Tally, clean_features, clean_ids, true_length
from mitr.data.row_sample import RowSample
from mitr.data.schema import Modality


def test_features_are_cut_and_repaired() -> None:
    values = np.array([[1, np.nan], [0, 0], [np.inf, -np.inf], [2, 1e300], [0, 0], [9, 9]])
    cleaned = clean_features(values, 5)
    np.testing.assert_array_equal(cleaned.values, np.array([[1, 0], [0, 0], [0, 0], [2, 0], [0, 0]], np.float32))
    assert cleaned.values.dtype == np.float32
    assert cleaned.available.tolist() == [True, False, False, True, False]
    assert (cleaned.replaced, cleaned.zeroed, cleaned.beyond) == (4, False, True)


def test_without_a_length_the_zero_rows_at_the_end_are_padding() -> None:
    values = np.array([[0, 0], [1, 0], [0, 0], [0, 0]])
    assert true_length(values) == 2
    cleaned = clean_features(values)
    assert cleaned.available.tolist() == [False, True]
    assert not cleaned.beyond


def test_nothing_but_zeros_is_absent() -> None:
    assert clean_features(np.zeros((3, 2)), 3).zeroed
    assert clean_features(np.full((3, 2), np.nan), 3)[2:4] == (6, True)
    assert not clean_features(np.zeros((3, 2)), 0).zeroed
    assert not clean_features(np.zeros((0, 2))).zeroed
    assert len(clean_features(np.zeros((3, 2)), 3).values) == 0


def test_ids() -> None:
    cleaned = clean_ids(np.array([101, 7, 100, 102, 0, 5]), 4)
    assert cleaned.values.tolist() == [101, 7, 100, 102]
    assert cleaned.values.dtype == np.int32
    assert cleaned.available.tolist() == [True, True, False, True]
    assert cleaned.beyond


def test_a_text_without_content_is_absent() -> None:
    empty, unknown = clean_ids(np.array([101, 102, 0]), 2), clean_ids(np.array([101, 100, 100, 102]), 4)
    assert (len(empty.values), empty.zeroed) == (0, False)
    assert (len(unknown.values), unknown.zeroed) == (0, True)
    assert len(clean_ids(np.array([0, 100, 2]), 3, bert=False).values) == 3  # another vocabulary: 100 is a word


numbers = st.floats(width=32) | st.just(0.0) | st.sampled_from([np.nan, np.inf, -np.inf])


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_cleaning_always_leaves_finite_counted_steps(data: st.DataObject, dim: int) -> None:
    tally = Tally(Modality("features", dim))
    replaced = steps = absent = 0
    for _ in range(data.draw(st.integers(1, 4))):
        values = data.draw(arrays(np.float32, (data.draw(st.integers(0, 5)), dim), elements=numbers))
        length = data.draw(st.none() | st.integers(0, len(values)))
        before = values.copy()
        cleaned = clean_features(values, length)
        tally.add(cleaned)
        np.testing.assert_array_equal(values, before)
        assert np.isfinite(cleaned.values).all()
        assert len(cleaned.available) == len(cleaned.values) <= (len(values) if length is None else length)
        assert not cleaned.values[~cleaned.available].any()
        assert cleaned.values[cleaned.available].any(axis=1).all()
        used = values[: true_length(values) if length is None else length]
        assert cleaned.replaced == np.count_nonzero(~np.isfinite(used))
        replaced, steps = replaced + cleaned.replaced, steps + len(cleaned.values)
        absent += not len(cleaned.values)
    counts = tally.finish()
    assert (counts.nonfinite_values, counts.steps, counts.absent_samples) == (replaced, steps, absent)
    assert counts.zeroed_samples <= counts.absent_samples
    assert counts.missing_steps <= counts.steps


def test_constant_and_extreme_columns() -> None:
    random = np.random.default_rng(0)
    values = np.stack([random.normal(size=500), np.full(500, 5.0), random.normal(size=500), np.zeros(500)], axis=1)
    values[7, 2], values[9, 3] = 1e3, 2e4
    tally = Tally(Modality("features", 4))
    for part in np.split(values, 10):
        tally.add(clean_features(part, 50))
    counts = tally.finish()
    assert counts.constant_features == [1]
    assert list(counts.extreme_features) == ["2", "3"]
    assert counts.extreme_features["2"][1] == 1e3
    assert counts.extreme_features["3"] == [0, 2e4]


def test_missing_steps_do_not_hide_a_constant_column() -> None:
    tally = Tally(Modality("features", 2))
    tally.add(clean_features(np.array([[4, 1], [0, 0], [4, 2]]), 3))
    assert tally.finish().constant_features == [0]
    assert tally.cleaning.missing_steps == 1


def test_row_sample_is_bounded_repeatable_and_fair() -> None:
    rows = np.arange(20_000, dtype=np.float32)[:, None]
    samples = []
    for _ in range(2):
        sample = RowSample(1, 2000)
        for block in np.split(rows, 40):
            sample.add(block)
        samples.append(sample.rows)
    np.testing.assert_array_equal(samples[0], samples[1])
    assert len(np.unique(samples[0])) == 2000
    assert abs(samples[0].mean() - 10_000) < 500
    place = sample.rows.ctypes.data
    sample.add(rows)
    assert sample.rows.ctypes.data == place  # a full sample is not copied again
    small = RowSample(1, 2000)
    small.add(rows[:1500])
    np.testing.assert_array_equal(small.rows, rows[:1500])
