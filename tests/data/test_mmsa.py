"""Pickles in MMSA's layout, in all their variants, and what is said of those that do not fit."""

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mitr.data import mapped
from mitr.data.importing import import_dataset
from mitr.data.mmsa import read_mmsa
from mitr.data.store import Dataset
from mitr.errors import MitrError

LENGTHS = [3, 1, 2]


def split(n: int = 3, dtype: Any = np.float32, **changes: Any) -> dict[str, Any]:
    """A small split: audio (n, 4, 2), vision (n, 5, 3), text_bert (n, 3, 6), text (n, 6, 4)."""
    random = np.random.default_rng(0)
    lengths = (LENGTHS * n)[:n]
    content: dict[str, Any] = {"id": [f"v$_${i}" for i in range(n)], "raw_text": ["good film"] * n}
    for m, steps, dim in (("audio", 4, 2), ("vision", 5, 3), ("text", 6, 4)):
        values = random.normal(size=(n, steps, dim)).astype(dtype)
        for i, length in enumerate(lengths):
            values[i, length + 2 * (m == "text") :] = 0
        content[m] = values
        if m != "text":
            content[f"{m}_lengths"] = lengths
    bert = np.zeros((n, 3, 6), dtype=dtype)
    for i, length in enumerate(lengths):
        bert[i, 0, : length + 2] = [101, *range(2000, 2000 + length), 102]
        bert[i, 1, : length + 2] = 1
    content |= {"text_bert": bert, "regression_labels": np.linspace(-2.5, 2.5, n).astype(dtype)}
    content |= changes
    return {name: value for name, value in content.items() if value is not None}


def load(folder: Path, content: Any, **options: Any) -> Dataset:
    path = folder / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    return import_dataset(path, folder / "store", overwrite=True, **options)


def test_the_whole_layout(tmp_path: Path) -> None:
    source = {"test": split(2), "train": split(3), "valid": split(1)}
    data = load(tmp_path, source)
    assert data.splits == ["train"] * 3 + ["valid"] + ["test"] * 2
    assert data.ids == ["v$_$0", "v$_$1", "v$_$2", "v$_$0", "v$_$0", "v$_$1"]
    text, audio = data.info.modalities["text"], data.info.modalities["audio"]
    assert (text.kind, text.padded_length, text.special_tokens, text.tokenizer) == (
        "ids",
        6,
        True,
        "bert-base-uncased",
    )
    assert (audio.kind, audio.dim, audio.padded_length) == ("features", 2, 4)
    assert data.lengths["audio"].tolist() == [3, 1, 2, 3, 3, 1]
    assert data.features("text", 1).tolist() == [101, 2000, 102]
    np.testing.assert_array_equal(data.features("vision", 2), source["train"]["vision"][2, :2])
    np.testing.assert_allclose(data.labels[:3], [-2.5, 0, 2.5])
    assert data.info.label_range == (-3, 3)
    notes = " ".join(data.info.notes)
    assert "tokenizer inferred" in notes
    assert "label range inferred" in notes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_list", [False, True])
def test_arrays_and_lists_are_the_same(tmp_path: Path, dtype: Any, as_list: bool) -> None:
    content = split(dtype=dtype)
    if as_list:
        for name in ("audio", "vision", "text_bert", "regression_labels"):
            content[name] = content[name].tolist()
        content["audio_lengths"] = np.array(content["audio_lengths"])
    data, whole = load(tmp_path, {"test": content}), split(dtype=dtype)
    for row in range(3):
        np.testing.assert_allclose(data.features("audio", row), whole["audio"][row, : LENGTHS[row]], rtol=1e-6)
        assert len(data.features("text", row)) == LENGTHS[row] + 2


def test_ragged_arrays_without_padding(tmp_path: Path) -> None:
    ragged = [np.ones((n, 2)) for n in (7, 1, 4)]
    objects = np.empty(3, dtype=object)
    objects[:] = ragged
    for value in (ragged, objects):
        data = load(tmp_path, split(audio=value, audio_lengths=None))
        assert data.splits == ["test"] * 3  # fields at the top level
        assert data.lengths["audio"].tolist() == [7, 1, 4]
        assert data.info.modalities["audio"].padded_length is None


def test_text_choices(tmp_path: Path) -> None:
    both = load(tmp_path, {"train": split()}, text="embeddings").info.modalities["text"]
    assert (both.kind, both.dim, both.special_tokens) == ("embeddings", 4, True)
    alone = load(tmp_path, {"train": split(text_bert=None)})
    assert alone.info.modalities["text"].special_tokens is False
    assert alone.lengths["text"].tolist() == [5, 3, 4]
    assert load(tmp_path, {"train": split()}, text="raw").info.modalities["text"].kind == "raw"
    with pytest.raises(MitrError, match=r"'text_bert'.*train lacks"):
        load(tmp_path, {"train": split(text_bert=None)}, text="ids")


def test_tokenizers(tmp_path: Path) -> None:
    chinese = load(tmp_path, {"train": split(raw_text=["", "我不想", "x"])})
    assert chinese.info.modalities["text"].tokenizer == "bert-base-chinese"
    given = load(tmp_path, {"train": split()}, tokenizer="bert-large-cased")
    assert given.info.modalities["text"].tokenizer == "bert-large-cased"
    assert not any("tokenizer" in note for note in given.info.notes)


def test_own_labels_and_odd_ids(tmp_path: Path) -> None:
    own = {"regression_labels_T": [0.2, np.nan, -1], "regression_labels_V": np.array([[1.0], [0], [-0.4]])}
    content = split(id=[("v", 1), b"w", 3], regression_labels=[0.5, np.nan, -1], annotations=["a"] * 3, **own)
    data = load(tmp_path, {"dev": content})
    assert data.ids == ["v$_$1", "w", "3"]
    assert data.info.modality_labels == ["text", "vision"]
    np.testing.assert_allclose(data.modality_labels["text"], [0.2, np.nan, -1])
    assert np.isnan(data.labels[1])
    notes = " ".join(data.info.notes)
    assert "1 samples have no label" in notes
    assert "annotations" in notes


def test_classes(tmp_path: Path) -> None:
    own = {"classification_labels_V": [0, 2, 2], "regression_labels_T": [0.1, 0.2, 0.3]}
    content = split(classification_labels=np.array([2.0, 0, 1]), **own)
    as_scale = load(tmp_path, {"train": content})
    assert as_scale.info.classes is None
    assert as_scale.info.modality_labels == ["text"]
    assert "not imported: classification_labels (classes are derived" in " ".join(as_scale.info.notes)
    data = load(tmp_path, {"train": content}, task="classification")
    assert (data.info.classes, data.info.label_range) == (("0", "1", "2"), (0, 2))
    assert data.labels.tolist() == [2, 0, 1]
    assert data.info.modality_labels == ["vision"]
    assert data.modality_labels["vision"].tolist() == [0, 2, 2]
    assert "not imported: regression_labels" in data.info.notes


def test_named_classes_alone(tmp_path: Path) -> None:
    content = {"regression_labels": None, "classification_labels": ["sad", None, b"happy"]}
    data = load(tmp_path, {"train": split(**content), "test": split(**content)}, task="classification")
    assert data.info.classes == ("happy", "sad")
    np.testing.assert_array_equal(data.labels[:3], [1, np.nan, 0])
    assert load(tmp_path, split(**content), task="classification").splits == ["test"] * 3
    with pytest.raises(MitrError, match=r"'regression_labels' is missing.*for its classes import with --task class"):
        load(tmp_path, {"train": split(**content)})
    with pytest.raises(MitrError, match=r"'classification_labels' is missing"):
        load(tmp_path, {"train": split()}, task="classification")


def test_repeated_ids_get_a_suffix(tmp_path: Path) -> None:
    data = load(tmp_path, {"train": split(id=["a", "a", "a#2"])})
    assert data.ids == ["a", "a#3", "a#2"]
    assert "repeat an id" in " ".join(data.info.notes)


def test_what_looks_wrong_is_noted(tmp_path: Path) -> None:
    content = split(vision_lengths=None)
    content["audio_lengths"] = [0, 1, 1]
    content["regression_labels"] = np.array([-9.0, 0, 1])
    data = load(tmp_path, {"train": content, "test": split()}, label_range=(-3, 3))
    assert data.lengths["vision"].tolist() == LENGTHS * 2
    assert data.lengths["audio"].tolist() == [0, 1, 1, *LENGTHS]
    notes = " ".join(data.info.notes)
    for words in (
        "no vision_lengths",
        "1 samples have audio content but length 0",
        "after their true length",
        "1 labels lie outside",
    ):
        assert words in notes
    assert data.info.cleaning["audio"].absent_samples == 1


def broken(name: str, value: Any) -> dict[str, Any]:
    return {"train": split(), "test": split(**{name: value})}


WRONG = {
    "no dictionary": ([1, 2], "not a dictionary of splits"),
    "no split": ({}, "holds no split"),
    "unknown split": ({"trian": split()}, "'trian' is not a split"),
    "split twice": ({"valid": split(), "dev": split()}, "twice"),
    "split is no dictionary": ({"train": [1]}, "dictionary of fields"),
    "no labels": (broken("regression_labels", None), "'test'.*'regression_labels' is missing"),
    "labels as text": (broken("regression_labels", ["a", "b", "c"]), "one number a sample"),
    "no samples": (broken("regression_labels", []), "is empty"),
    "other N": (broken("vision", np.zeros((2, 5, 3))), "'test', field 'vision' has 2 entries"),
    "other D": (broken("audio", np.ones((3, 4, 7))), "'test', field 'audio' has 7 columns, train has 2"),
    "two axes": (broken("audio", np.ones((3, 4))), r"'audio' has shape \(3, 4\)"),
    "no array": (broken("audio", 5), "'audio' is a int"),
    "text as audio": (broken("audio", np.full((3, 4, 2), "x")), "'audio' has shape"),
    "jagged rows": (broken("audio", [[[1, 2], [3]]] * 3), "no rectangle"),
    "lengths too long": (broken("audio_lengths", [1, 5, 1]), "'audio_lengths' gives sample 1 the length 5"),
    "lengths negative": (broken("audio_lengths", [1, -1, 1]), "the length -1"),
    "lengths no numbers": (broken("audio_lengths", [1, 0.5, 1]), "whole number"),
    "lengths of other N": (broken("audio_lengths", [1, 1]), "'audio_lengths' has 2 entries"),
    "text_bert with two rows": (broken("text_bert", np.ones((3, 2, 6))), "2 rows a sample"),
    "mask with holes": (broken("text_bert", np.array([[[101, 5], [0, 1], [0, 0]]] * 3)), "no mask"),
    "ids with fractions": (broken("text_bert", np.array([[[1, 5.5], [1, 1], [0, 0]]] * 3)), "whole numbers"),
    "ids of odd type": (broken("id", [{}, {}, {}]), "'id' holds a dict"),
    "no modality": ({"train": {"regression_labels": [1.0], "sound": [1]}}, "no split has text_bert"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_clear_error(tmp_path: Path, name: str) -> None:
    content, match = WRONG[name]
    with pytest.raises(MitrError, match=match) as caught:
        load(tmp_path, content)
    assert "set.pkl" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["set.pkl"]


def test_a_modality_may_lack_in_one_split(tmp_path: Path) -> None:
    data = load(tmp_path, {"train": split(), "test": split(vision=None, vision_lengths=None)})
    assert data.lengths["vision"].tolist() == [*LENGTHS, 0, 0, 0]
    assert "vision is absent from the whole of test" in " ".join(data.info.notes)


def test_a_large_pickle_is_imported_in_little_memory(tmp_path: Path) -> None:
    padding = {"audio": np.zeros((64, 4000, 8), np.float32), "audio_lengths": [3] * 64}
    padding["audio"][:, :3] = 1
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"train": split(64, **padding)}))
    import_dataset(path, tmp_path / "first")  # what is imported or compiled on the way is not counted
    tracemalloc.start()
    data = import_dataset(path, tmp_path / "store")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 8_000_000
    assert peak < 2_000_000
    assert data.lengths["audio"].tolist() == [3] * 64


def test_steps_are_views_whose_pages_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "KEPT", 1 << 20)
    given: list[bool] = []
    monkeypatch.setattr(mapped.MappedFile, "give_back", lambda file: given.append(True))
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"train": split(64, audio=np.ones((64, 4000, 8), np.float32))}))
    draft = read_mmsa(path, "raw")
    before = len(given)
    read = [draft.steps(row)["audio"].values for row in range(64)]
    assert len(given) - before == 12  # each counts 125 KiB + 60 bytes + 64 KiB: the sixth goes beyond, then every fifth
    assert not any(values.flags.writeable or values.flags.owndata for values in read)
    assert np.shares_memory(read[5], draft.steps(5)["audio"].values)


def test_ict_mmmo(shared: Path, tmp_path: Path) -> None:
    data = import_dataset(shared / "data/ict_mmmo/ict_mmmo.pkl", tmp_path / "store")
    assert [len(data.indices(s)) for s in ("train", "valid", "test")] == [220, 40, 80]
    assert {m: info.dim for m, info in data.info.modalities.items()} == {
        "text": 300,
        "audio": 74,
        "vision": 36,
    }
    assert (data.lengths["text"][data.indices("train")] == 0).all()
    assert (data.lengths["text"][data.indices("test")] > 0).all()
    cleaning = data.info.cleaning
    assert cleaning["text"].absent_samples == 220
    assert cleaning["vision"].missing_steps == 965
    assert cleaning["audio"].extreme_features["7"] == [-255, 0]
    assert data.info.label_range == (-2, 2)
    again = import_dataset(
        shared / "data/ict_mmmo/ict_mmmo.pkl",
        tmp_path / "fold",
        splits=shared / "data/ict_mmmo/splits/fold0.csv",
    )
    assert [len(again.indices(s)) for s in ("train", "valid", "test")] == [292, 24, 24]
    assert again.ids == data.ids
