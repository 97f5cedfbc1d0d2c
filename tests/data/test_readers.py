"""Which reader gets a source: the package's first, then those of other packages; one can be chosen."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mitr.data.draft import Draft
from mitr.data.importing import import_dataset
from mitr.data.readers import READERS, Reader, ReadOptions, digest_of, reader_for, reader_of
from mitr.data.schema import Modality
from mitr.errors import MitrError


def read(source: Path, options: ReadOptions) -> Draft:
    """One sample, whose text is the file's."""
    text = source.read_text(encoding="utf-8")
    return Draft({"text": Modality("raw")}, ["a"], ["train"], [1.0], [text], lambda row: {})


EVERYTHING = Reader("anything", lambda source: True, read)
NO_READER = read


def installed(monkeypatch: pytest.MonkeyPatch, **places: str) -> None:
    """Have other packages offer these readers, name -> place."""
    points = {name: EntryPoint(name, place, READERS.group) for name, place in places.items()}
    monkeypatch.setattr(READERS, "plugins", points)


def test_the_packages_readers_are_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, all=f"{__name__}:EVERYTHING")
    table, other = tmp_path / "label.csv", tmp_path / "notes.txt"
    table.write_text("")
    other.write_text("fine")
    assert (reader_for(table), reader_for(other), reader_for(tmp_path)) == ("label_csv", "all", "label_csv")


def test_several_that_know_a_source_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, one=f"{__name__}:EVERYTHING", two=f"{__name__}:EVERYTHING")
    (tmp_path / "a.txt").write_text("fine")
    with pytest.raises(MitrError, match=r"the readers one, two know: choose one with --reader"):
        reader_for(tmp_path / "a.txt")
    info = import_dataset(tmp_path / "a.txt", tmp_path / "store", reader="two").info
    assert (info.source.format, info.source.sha256) == ("two", digest_of(tmp_path / "a.txt"))


def test_one_that_cannot_be_imported_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, broken="no_such_module:X", fine=f"{__name__}:EVERYTHING")
    (tmp_path / "a.txt").write_text("fine")
    with pytest.warns(UserWarning, match="'broken' is no_such_module:X, which cannot be imported"):
        assert reader_for(tmp_path / "a.txt") == "fine"


def test_what_is_no_reader_is_refused() -> None:
    with pytest.raises(MitrError, match=r"must be a mitr\.data\.readers\.Reader, not <function read"):
        reader_of(f"{__name__}:NO_READER")
    with pytest.raises(MitrError, match=r"there is no reader 'mmsaa' \(did you mean mmsa\?\)"):
        reader_of("mmsaa")


def test_a_folder_is_known_by_all_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    before = digest_of(tmp_path)
    (tmp_path / "b").write_text("c")
    assert digest_of(tmp_path) != before


def test_a_draft_has_an_entry_a_sample_in_each_list() -> None:
    with pytest.raises(MitrError, match="it has: ids 2, splits 1, labels 1, raw_text 1"):
        Draft({}, ["a", "b"], ["train"], [1.0], [""], lambda row: {})
