"""Scaling: exact numbers, only available train steps count, and a state that survives saving."""

from pathlib import Path

import numpy as np
import pytest

from mitr.config import NormalizeConfig
from mitr.data import normalize
from mitr.data.normalize import Normalizer
from mitr.data.schema import DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, write_store
from mitr.errors import MitrError


def store(folder: Path, audio: dict[str, list[np.ndarray]], available: np.ndarray | None = None) -> Dataset:
    samples = []
    for split, arrays in audio.items():
        for i, values in enumerate(arrays):
            sample = Sample(f"{split}{i}", split, 0.0, "a", {"audio": values.astype(np.float32)})
            sample.available = {} if available is None else {"audio": available}
            samples.append(sample)
    dim = audio["train"][0].shape[1]
    modalities = {"text": Modality("raw"), "audio": Modality("features", dim)}
    folder.mkdir()
    write_store(folder, samples, DatasetInfo("x", (-3, 3), modalities, Source("x", "test")))
    return Dataset(folder)


def test_zscore_of_the_train_split(tmp_path: Path) -> None:
    values = np.array([[1.0, 5], [3, 5], [100, 100]])
    data = store(tmp_path / "s", {"train": [values], "test": [values * 50]}, np.array([True, True, False]))
    fitted = Normalizer.fit(data, NormalizeConfig())
    assert list(fitted.scalings) == ["audio"]
    scaling = fitted.scalings["audio"]
    np.testing.assert_array_equal(scaling.mean, [2, 5])
    np.testing.assert_array_equal(scaling.scale, [1, 1])  # the second column is constant
    out = fitted.apply("audio", data.features("audio", 0), data.available("audio", 0))
    np.testing.assert_array_equal(out, [[-1, 0], [1, 0], [0, 0]])
    assert out.dtype == np.float32
    assert data.features("audio", 0)[0, 0] == 1


def test_a_constant_column_becomes_exactly_zero(tmp_path: Path) -> None:
    values = np.stack([np.full(999, 0.1), np.arange(999.0)], axis=1)
    fitted = Normalizer.fit(store(tmp_path / "s", {"train": [values] * 7}), NormalizeConfig())
    assert not fitted.apply("audio", values.astype(np.float32), np.ones(999, bool))[:, 0].any()


def test_robust_clips_to_the_quantiles(tmp_path: Path) -> None:
    values = np.arange(101.0)[:, None]
    values[100] = 1e6
    fitted = Normalizer.fit(
        store(tmp_path / "s", {"train": [values]}), NormalizeConfig(audio="robust", clip_quantile=0.1)
    )
    scaling, clipped = fitted.scalings["audio"], np.clip(values, 10, 90)
    np.testing.assert_allclose([scaling.low[0], scaling.high[0]], [10, 90])
    np.testing.assert_allclose(scaling.mean, clipped.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaling.scale, clipped.std(axis=0), rtol=1e-6)
    out = fitted.apply("audio", values, np.ones(101, bool))
    assert out.max() == out[90, 0]


def test_blocks_merge_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(1e4, [0.5, 3], (n, 2)).astype(np.float32) for n in random.integers(1, 40, 60)]
    data = store(tmp_path / "s", {"train": parts})
    monkeypatch.setattr(normalize, "BLOCK", 64)
    scaling = Normalizer.fit(data, NormalizeConfig()).scalings["audio"]
    whole = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(scaling.mean, whole.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(scaling.scale, whole.std(axis=0), rtol=1e-6)


def test_none_changes_nothing_but_missing_steps(tmp_path: Path) -> None:
    data = store(tmp_path / "s", {"train": [np.full((2, 2), 7.0)]})
    fitted = Normalizer.fit(data, NormalizeConfig(audio="none"))
    assert fitted.scalings == {}
    out = fitted.apply("audio", np.full((2, 2), 7.0, np.float32), np.array([True, False]))
    np.testing.assert_array_equal(out, [[7, 7], [0, 0]])


def test_nothing_to_fit_on(tmp_path: Path) -> None:
    data = store(tmp_path / "s", {"train": [np.zeros((0, 2))], "test": [np.ones((1, 2))]})
    for mode in ("zscore", "robust"):
        fitted = Normalizer.fit(data, NormalizeConfig(audio=mode))
        np.testing.assert_array_equal(fitted.apply("audio", np.ones((1, 2)), np.ones(1, bool)), [[1, 1]])


def test_the_state_round_trips(tmp_path: Path) -> None:
    fitted = Normalizer.fit(store(tmp_path / "s", {"train": [np.eye(3)]}), NormalizeConfig(audio="robust"))
    tensors = fitted.to_tensors()
    assert sorted(tensors) == ["audio.high", "audio.low", "audio.mean", "audio.scale"]
    again = Normalizer.from_tensors(tensors)
    for name, value in again.to_tensors().items():
        np.testing.assert_array_equal(value, tensors[name])
    del tensors["audio.low"]
    with pytest.raises(MitrError, match=r"audio\.low"):
        Normalizer.from_tensors(tensors)


def test_a_sample_is_scaled_into_its_place(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for mode in ("zscore", "robust", "none"):
        fitted = Normalizer.fit(store(tmp_path / mode, {"train": [values]}), NormalizeConfig(audio=mode))
        before, place = values.copy(), np.full((7, 3), 9, np.float32)
        there = np.array([True, False, True, True, True])
        out = fitted.apply("audio", values, there, place[1:6])
        assert np.shares_memory(out, place)
        np.testing.assert_array_equal(place[1:6], fitted.apply("audio", values, there))
        np.testing.assert_array_equal(place[[0, 6]], 9)
        np.testing.assert_array_equal(values, before)


def test_quantiles_of_a_few_columns_at_a_time_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalize, "COLUMNS", 2)
    rows = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    found = normalize._quantiles(rows, 0.1)
    np.testing.assert_array_equal(found, np.quantile(rows, [0.1, 0.9], axis=0).astype(np.float32))
