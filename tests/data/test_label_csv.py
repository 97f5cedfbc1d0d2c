"""Folders with label.csv and features/<modality>.npz."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mitr.data.importing import import_dataset
from mitr.data.store import Dataset
from mitr.errors import MitrError

HEADER = "video_id,clip_id,text,label,mode"
ROWS = ["v,0001,good film,1.5,train", "v,0002,,-2,valid", 'w,1,"bad, really",0,test']


def folder(root: Path, rows: list[str] | None = None, header: str = HEADER, **features: dict[str, Any]) -> Path:
    source = root / "set"
    (source / "features").mkdir(parents=True)
    (source / "label.csv").write_text("\n".join([header, *(ROWS if rows is None else rows)]) + "\n", encoding="utf-8")
    for m, arrays in features.items():
        np.savez(source / "features" / f"{m}.npz", **arrays)
    return source


def load(source: Path, **options: Any) -> Dataset:
    return import_dataset(source, source.parent / "store", **options)


def test_the_layout(tmp_path: Path) -> None:
    audio = {"v$_$0001": np.ones((4, 2)), "w$_$1": np.full(2, 3.0), "x$_$9": np.ones((1, 2))}
    source = folder(tmp_path, audio=audio, vision={"v$_$0001": np.array([[1.0], [0.0]])}, face={"v$_$0001": np.ones(1)})
    data = load(source / "label.csv")
    assert data.ids == ["v$_$0001", "v$_$0002", "w$_$1"]
    assert data.splits == ["train", "valid", "test"]
    assert data.raw_text == ["good film", "", "bad, really"]
    assert data.lengths["audio"].tolist() == [4, 0, 1]
    assert data.available("vision", 0).tolist() == [True, False]
    assert data.info.modalities["text"].kind == "raw"
    assert data.info.cleaning["text"].absent_samples == 1
    assert data.info.name == "set"
    notes = " ".join(data.info.notes)
    for words in ("x$_$9", "audio.npz lacks 1 rows", "face.npz was not read"):
        assert words in notes


def test_text_features_and_own_labels(tmp_path: Path) -> None:
    text = {"v$_$0001": np.ones((2, 5)), "v$_$0002": np.ones((1, 5)), "w$_$1": np.ones((3, 5))}
    rows = ["v,0001,a,1,train,0.5,", "v,0002,b,-2,valid,,1", "w,1,c,,test,0,0"]
    data = load(folder(tmp_path, rows, HEADER + ",label_T,label_V", text=text))
    assert (data.info.modalities["text"].kind, data.info.modalities["text"].dim) == ("embeddings", 5)
    assert data.info.modality_labels == ["text", "vision"]
    np.testing.assert_allclose(data.modality_labels["vision"], [np.nan, 1, 0])
    assert np.isnan(data.labels[2])
    assert load_again(tmp_path, text="raw").info.modalities["text"].kind == "raw"


def load_again(root: Path, **options: Any) -> Dataset:
    return import_dataset(root / "set", root / "again", **options)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "mode empty": ({"rows": ["v,1,a,1,"]}, "row 2: mode is ''"),
    "mode unknown": ({"rows": [ROWS[0], "v,1,a,1,trial"]}, "row 3: mode is 'trial'"),
    "label no number": ({"rows": [ROWS[0], "w,2,a,good,train"]}, "row 3: label is 'good', not a number; for classes"),
    "one class": ({"rows": ["v,1,a,good,train"]}, r"label has 1 classes \('good'\); a classification needs 2"),
    "row twice": ({"rows": [ROWS[0], ROWS[0]]}, "row 3: video and clip .* stand in row 2"),
    "row too long": ({"rows": ["v,1,a,b,1,train"]}, "line 2: 6 values for 5 columns"),
    "no rows": ({"rows": []}, "no rows"),
    "no column": ({"header": "video_id,clip_id,text,label,split"}, "column mode is missing"),
    "keys of another form": ({"audio": {"v_0001": np.ones((1, 2))}}, "no key is <video_id>"),
    "objects": ({"audio": {"v$_$0001": np.array([[1, None]], dtype=object)}}, "array of objects"),
    "other width": ({"audio": {"v$_$0001": np.ones((1, 2)), "w$_$1": np.ones((1, 3))}}, "has 3 columns"),
    "three axes": ({"audio": {"v$_$0001": np.ones((1, 2, 2))}}, r"must be \(T, D\)"),
    "text": ({"audio": {"v$_$0001": np.array(["a"])}}, r"must be \(T, D\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_clear_error(tmp_path: Path, name: str) -> None:
    parts, match = WRONG[name]
    source = folder(tmp_path, **parts)
    with pytest.raises(MitrError, match=match):
        load(source)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


EMOTIONS = ["v,1,a,sad,train", "v,2,b,happy,valid", "w,1,c,,test", "w,2,c, sad,test", "w,3,d,angry,train"]


def test_names_are_classes(tmp_path: Path) -> None:
    data = load(folder(tmp_path, EMOTIONS))
    assert data.info.classes == ("angry", "happy", "sad")
    assert data.info.label_range == (0, 2)
    np.testing.assert_array_equal(data.labels, [2, 1, np.nan, 2, 0])
    assert "1 samples have no label" in " ".join(data.info.notes)
    assert not any("label range" in note for note in data.info.notes)


def test_labels_of_modalities_are_of_the_same_classes(tmp_path: Path) -> None:
    rows = [f"{row},{own}" for row, own in zip(EMOTIONS, ("happy", "", "sad", "angry", "angry"), strict=True)]
    data = load(folder(tmp_path, rows, HEADER + ",label_A"))
    np.testing.assert_array_equal(data.modality_labels["audio"], [1, np.nan, 2, 0, 0])
    rows[3] = "w,2,c,sad,test,calm"
    with pytest.raises(MitrError, match="row 5: label_A is 'calm', which is none of the classes angry, happy, sad"):
        load(folder(tmp_path / "other", rows, HEADER + ",label_A"))


def test_numbers_are_classes_where_that_is_said(tmp_path: Path) -> None:
    rows = ["v,1,a,10,train", "v,2,b,2,valid", "w,1,c,-1.0,test", "w,2,d,2.0,test"]
    source = folder(tmp_path, rows)
    assert load(source).info.classes is None
    data = load_again(tmp_path, task="classification")
    assert data.info.classes == ("-1", "2", "10")
    assert data.labels.tolist() == [2, 1, 0, 1]
    with pytest.raises(MitrError, match=r"classes -1, 2, 10; leave out --label-range"):
        import_dataset(source, tmp_path / "ranged", task="classification", label_range=(-1, 10))
    with pytest.raises(MitrError, match=r"label has 1\.5, which is no class; import it with --task regression"):
        load(folder(tmp_path / "fractions"), task="classification")
    with pytest.raises(MitrError, match="row 2: label is 'sad', not a number"):
        load(folder(tmp_path / "names", EMOTIONS), task="regression")


def test_texts_in_the_label_column_are_no_classes(tmp_path: Path) -> None:
    rows = [f"v,{i},a,saying {i},train" for i in range(101)]
    with pytest.raises(MitrError, match=r"label has 101 classes \('saying 0', .*, \.\.\.\); .* needs 2 to 100"):
        load(folder(tmp_path, rows))


def test_a_file_that_is_no_npz(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (source / "features/audio.npz").write_bytes(b"PK nonsense")
    with pytest.raises(MitrError, match="not an npz"):
        load(source)


def test_an_npz_whose_header_promises_more_than_it_holds(tmp_path: Path) -> None:
    source = folder(tmp_path)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(source / "features/audio.npz", "w") as file:
        file.writestr("v$_$0001.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"12345678")
    with pytest.raises(MitrError, match=r"v\$_\$0001.*damaged"):
        load(source)


def test_not_utf_8(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (source / "label.csv").write_bytes(HEADER.encode() + b"\nv,1,\xff,1,train\n")
    with pytest.raises(MitrError, match="not UTF-8"):
        load(source)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (source / "label.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + "\r\n" + ROWS[0] + "\r\n").encode())
    assert load(source).ids == ["v$_$0001"]


def test_mosi(shared: Path, tmp_path: Path) -> None:
    data = import_dataset(shared / "data/mosi_text_audio", tmp_path / "store")
    assert [len(data.indices(s)) for s in ("train", "valid", "test")] == [1284, 229, 686]
    assert list(data.info.modalities) == ["text", "audio"]
    assert data.info.modalities["audio"].dim == 73
    assert (data.lengths["audio"] == 1).all()
    assert data.info.label_range == (-3, 3)
    assert any("vision is absent from every sample" in note for note in data.info.notes)


def test_clips_without_features(shared: Path, tmp_path: Path) -> None:
    data = import_dataset(shared / "data/clips/label.csv", tmp_path / "store")
    assert data.ids[0] == "video_0001$_$0001"
    assert data.raw_text[0] == "我不想嫁给李茶"
    assert sum("absent from every sample" in note for note in data.info.notes) == 2
    assert data.info.name == "clips"
