"""What every import shares: detection, re-splits, the label range, and that it is whole or not there."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mitr.data.importing import import_dataset
from mitr.errors import MitrError
from waiting import LONGEST


def source(root: Path, labels: Any = (0.5, -1.5, 1), n: int = 3) -> Path:
    path = root / "set.pkl"
    part = {
        "id": [f"s{i}" for i in range(n)],
        "audio": np.ones((n, 2, 2)),
        "regression_labels": np.array(labels),
    }
    path.write_bytes(pickle.dumps({"train": part, "test": part | {"id": [f"t{i}" for i in range(n)]}}))
    return path


def splits(root: Path, *lines: str) -> Path:
    path = root / "splits.csv"
    path.write_text("id,mode\n" + "\n".join(lines) + "\n")
    return path


def test_unused_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    table = splits(tmp_path, "t2,train", "t0,valid", "t1,unused", "s1,test", "s0,unused", "s2,dev")
    data = import_dataset(source(tmp_path), tmp_path / "store", splits=table)
    assert data.ids == ["s1", "s2", "t0", "t2"]
    assert data.splits == ["test", "valid", "valid", "train"]
    assert data.info.cleaning["audio"].steps == 8
    assert "2 samples were left out, as splits.csv says" in data.info.notes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((1, -0.2, 0), 1), ((1.2, 0, 0), 2), ((0, -3, 0), 3), ((0, 6.5, 1), 7), ((0, 0, 0), 1)],
)
def test_label_range_is_inferred_and_noted(tmp_path: Path, labels: Any, expected: int) -> None:
    info = import_dataset(source(tmp_path, labels), tmp_path / "store").info
    assert info.label_range == (-expected, expected)
    assert any("inferred" in note for note in info.notes)


def test_given_label_range_and_name(tmp_path: Path) -> None:
    info = import_dataset(source(tmp_path), tmp_path / "store", label_range=(-5, 5), name="mine").info
    assert (info.label_range, info.name) == ((-5, 5), "mine")
    assert not any("range" in note for note in info.notes)
    for wrong in ((1, 1), (2, -2), (0, float("nan"))):
        with pytest.raises(MitrError, match="label range"):
            import_dataset(source(tmp_path), tmp_path / "other", label_range=wrong)


def test_no_labels_at_all(tmp_path: Path) -> None:
    path = source(tmp_path, [np.nan] * 3)
    with pytest.raises(MitrError, match="pass --label-range"):
        import_dataset(path, tmp_path / "store")
    assert len(import_dataset(path, tmp_path / "store", label_range=(-3, 3))) == 6


def test_the_source_is_recorded(tmp_path: Path) -> None:
    path = source(tmp_path)
    recorded = import_dataset(path, tmp_path / "store").info.source
    assert (recorded.name, recorded.format) == ("set.pkl", "mmsa")
    assert recorded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_resplitting_keeps_the_order(tmp_path: Path) -> None:
    table = splits(tmp_path, "t2,train", "t0,valid", "t1,test", "s1,test", "s0,train", "s2,dev")
    data = import_dataset(source(tmp_path), tmp_path / "store", splits=table)
    assert data.ids == ["s0", "s1", "s2", "t0", "t1", "t2"]
    assert data.splits == ["train", "test", "valid", "valid", "test", "train"]


ALL = [f"{p}{i},train" for p in "st" for i in range(3)]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (ALL[:4], "2 ids of the source are missing from it: 't1', 't2'"),
        ([*ALL, "z,test"], "1 ids are not in the source: 'z'"),
        ([*ALL, "s0,test"], "1 ids stand twice in it: 's0'"),
        ([*ALL[1:], "s0,"], "row 7 .'s0'.: mode is ''"),
    ],
)
def test_a_resplit_that_does_not_fit(tmp_path: Path, lines: list[str], match: str) -> None:
    with pytest.raises(MitrError, match=match):
        import_dataset(source(tmp_path), tmp_path / "store", splits=splits(tmp_path, *lines))
    assert not (tmp_path / "store").exists()


def test_a_resplit_of_repeated_ids_is_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "set.pkl"
    part = {"id": ["a"], "audio": np.ones((1, 2, 2)), "regression_labels": [1.0]}
    path.write_bytes(pickle.dumps({"train": part, "test": part}))
    with pytest.raises(MitrError, match="ambiguous: 'a'"):
        import_dataset(path, tmp_path / "store", splits=splits(tmp_path, "a,train"))


def test_an_existing_store_is_kept_unless_asked(tmp_path: Path) -> None:
    path, out = source(tmp_path), tmp_path / "store"
    import_dataset(path, out)
    before = (out / "dataset.json").read_bytes()
    with pytest.raises(MitrError, match="exists"):
        import_dataset(path, out)
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(MitrError, match=r"broken\.pkl"):
        import_dataset(broken, out, overwrite=True)
    assert (out / "dataset.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.pkl", "set.pkl", "store"]


def test_an_error_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mitr.data.store.pq.write_table", full)
    with pytest.raises(OSError, match="disk full"):
        import_dataset(source(tmp_path), tmp_path / "store")
    assert [p.name for p in tmp_path.iterdir()] == ["set.pkl"]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.npz", b"PK\x03\x04", "zip archive"),
        ("b.pkl", b"PK\x03\x04", "zip archive"),
        ("a.txt", b"hello", "no format that mitr knows"),
        ("a.pkl", b"hello", "a.pkl"),
        ("a", None, "does not exist"),
    ],
)
def test_unknown_formats(tmp_path: Path, name: str, content: bytes | None, match: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MitrError, match=match):
        import_dataset(tmp_path / name, tmp_path / "store")


def test_folders_that_are_no_source(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"no label\.csv"):
        import_dataset(tmp_path, tmp_path / "store")
    store = import_dataset(source(tmp_path), tmp_path / "store").folder
    with pytest.raises(MitrError, match="already"):
        import_dataset(store, tmp_path / "again")


def test_data_modules_do_not_import_torch() -> None:
    modules = ("importing", "inspecting", "normalize", "synth", "verifying")
    code = "import sys; " + "".join(f"import mitr.data.{m}; " for m in modules) + "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=LONGEST).returncode == 0


def test_nothing_to_import_is_refused(tmp_path: Path) -> None:
    table = splits(tmp_path, *(f"{split}{i},unused" for split in "st" for i in range(3)))
    with pytest.raises(MitrError, match="nothing to import: the source has no sample"):
        import_dataset(source(tmp_path), tmp_path / "store", splits=table)
    (tmp_path / "label.csv").write_text("video_id,clip_id,text,label,mode\na,1,,0.5,train\n")
    with pytest.raises(MitrError, match="nothing to import: the source has no text, audio or vision"):
        import_dataset(tmp_path / "label.csv", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_overwriting_does_not_eat_the_source(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "label.csv").write_text("video_id,clip_id,text,label,mode\na,1,hello,0.5,train\n")
    with pytest.raises(MitrError, match="is not replaced"):
        import_dataset(folder, folder, overwrite=True)
    assert (folder / "label.csv").exists()
