"""The synthetic set: repeatable, honest about being synthetic, and as hard as it is meant to be."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import Ridge

from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError

MODALITIES = ("text", "audio", "vision")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return synthesise(tmp_path_factory.mktemp("synth") / "store")


def means(data: Dataset, modalities: tuple[str, ...], rows: np.ndarray, rate: float = 0) -> np.ndarray:
    random, columns = np.random.default_rng(0), []
    for m in modalities:
        averages = []
        for row in rows:
            values = data.features(m, row)
            kept = data.available(m, row) & (random.random(len(values)) >= rate)
            averages.append(values[kept].mean(axis=0) if kept.any() else np.zeros(values.shape[1]))
        columns.append(np.array(averages))
    return np.concatenate(columns, axis=1)


def correlation(data: Dataset, *modalities: str, rate: float = 0) -> float:
    train, test = data.indices("train"), data.indices("test")
    model = Ridge(30).fit(means(data, modalities, train), data.labels[train])
    return float(np.corrcoef(model.predict(means(data, modalities, test, rate)), data.labels[test])[0, 1])


def test_each_modality_tells_part_and_all_tell_most(made: Dataset) -> None:
    complete = correlation(made, *MODALITIES)
    assert 0.78 < complete < 0.87
    for m in MODALITIES:
        assert 0.4 < correlation(made, m) < 0.62
        others = [other for other in MODALITIES if other != m]
        assert correlation(made, *others) < complete - 0.05


def test_dropping_steps_loses_evidence_gradually(made: Dataset) -> None:
    scores = [correlation(made, *MODALITIES, rate=rate) for rate in (0, 0.5, 0.9)]
    assert scores[0] > scores[1] + 0.02 > scores[2] + 0.1
    assert scores[2] > 0.3


def test_its_form(made: Dataset) -> None:
    assert [len(made.indices(s)) for s in ("train", "valid", "test")] == [600, 150, 300]
    assert made.info.synthetic
    assert "synthetic" in made.info.notes[0]
    assert {m: info.dim for m, info in made.info.modalities.items()} == {
        "text": 32,
        "audio": 12,
        "vision": 16,
    }
    assert np.abs(made.labels).max() <= 3
    assert 1.1 < made.labels.std() < 1.4
    for m in MODALITIES:
        for split in ("train", "valid", "test"):
            assert (made.lengths[m][made.indices(split)] == 0).any()
        assert made.info.cleaning[m].missing_steps > 0
    assert not np.all([made.lengths[m] == 0 for m in MODALITIES], axis=0).any()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        synthesise(tmp_path / name, seed=seed, train=8, valid=2, test=3)
    for file in ("samples.parquet", "features.safetensors", "dataset.json"):
        first, second, other = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert first == second != other


def test_the_regression_set_is_what_it_always_was(tmp_path: Path) -> None:
    made = synthesise(tmp_path / "s", seed=3, train=20, valid=5, test=5)
    assert made.labels[:6].tolist() == pytest.approx([-0.7, -2.0, 0.4, 0.9, -2.4, -1.4])
    columns = ["id", "split", "raw_text", "label", "cleaned_text", "cleaned_audio", "cleaned_vision"]
    assert pq.read_schema(made.folder / "samples.parquet").names == columns
    with_own = synthesise(tmp_path / "own", seed=3, train=20, valid=5, test=5, own_labels=True)
    assert with_own.labels.tolist() == made.labels.tolist()


def test_labels_of_single_modalities_follow_what_each_carries(tmp_path: Path) -> None:
    data = synthesise(tmp_path / "s", own_labels=True)
    assert data.info.modality_labels == list(MODALITIES)
    together = np.mean([data.modality_labels[m] for m in MODALITIES], axis=0)
    for m in MODALITIES:
        own = data.modality_labels[m]
        assert np.abs(own).max() <= 3
        assert 0.4 < np.corrcoef(own, data.labels)[0, 1] < 0.8
    assert np.corrcoef(together, data.labels)[0, 1] > 0.95


def test_classes_are_quadrants_of_unequal_frequency(tmp_path: Path) -> None:
    data = synthesise(tmp_path / "s", train=2000, valid=0, test=0, task="classification", own_labels=True)
    assert data.info.classes == ("angry", "calm", "happy", "sad")
    assert data.info.label_range == (0, 3)
    # pleasant: above -0.5, 69.1 %; aroused: above 0.3, 38.2 %
    shares = np.bincount(data.labels.astype(int), minlength=4) / len(data)
    np.testing.assert_allclose(shares, [0.309 * 0.382, 0.691 * 0.618, 0.691 * 0.382, 0.309 * 0.618], atol=0.03)
    pleasant, vision = np.isin(data.labels, (1, 2)), np.isin(data.modality_labels["vision"], (1, 2))
    assert (pleasant == vision).all()  # all modalities carry it
    aroused, alone = np.isin(data.labels, (0, 2)), np.isin(data.modality_labels["vision"], (0, 2))
    assert 0.5 < (aroused == alone).mean() < 0.9


def test_raw_text_carries_the_evidence(tmp_path: Path) -> None:
    data = synthesise(tmp_path / "s", text="raw")
    assert data.info.modalities["text"].kind == "raw"
    assert "text" not in data.lengths
    lists = (("great", "lovely", "clever", "superb"), ("awful", "dull", "boring", "tedious"))
    good, bad = (np.array([sum(t.count(w) for w in words) for t in data.raw_text]) for words in lists)
    assert np.corrcoef(good - bad, data.labels)[0, 1] > 0.3
    assert "" in data.raw_text


def test_wrong_sizes(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="cannot be made"):
        synthesise(tmp_path / "s", train=0, valid=0, test=0)
    with pytest.raises(MitrError, match="seed"):
        synthesise(tmp_path / "s", seed=-1)
    assert list(tmp_path.iterdir()) == []
    assert len(synthesise(tmp_path / "s", train=1, valid=0, test=0)) == 1
