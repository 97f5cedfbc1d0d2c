"""What was read once is found again, whole or not at all."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from mitr.errors import MitrError
from mitr.media.cache import Cache, cache_folder
from mitr.media.features import Span
from mitr.media.reading import Track

TRACK = Track(
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.array([True, False, True]),
    31.25,
    (Span(0.1, 0.2, "ä"),),
    ("n",),
    0.1,
)


def test_a_track_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.get("d" * 64, "audio-x 1") is None
    cache.put("d" * 64, "audio-x 1", TRACK)
    found = cache.get("d" * 64, "audio-x 1")
    assert found is not None
    np.testing.assert_array_equal(found.values, TRACK.values)
    np.testing.assert_array_equal(found.available, TRACK.available)
    assert found[2:] == TRACK[2:]
    assert cache.get("d" * 64, "audio-x 2") is None
    assert cache.get("e" * 64, "audio-x 1") is None


def test_nothing_in_it_is_kept_too(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("d" * 64, "vision-x", Track(np.zeros((0, 5), np.float32), np.zeros(0, bool), 10.0, (), ()))
    found = cache.get("d" * 64, "vision-x")
    assert found is not None
    assert found.values.shape == (0, 5)


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: bytes | None) -> None:
    cache = Cache(tmp_path)
    cache.put("d" * 64, "audio-x", TRACK)
    path = cache.path("d" * 64, "audio-x")
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    assert cache.get("d" * 64, "audio-x") is None


def test_trimming_forgets_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = Cache(tmp_path, gigabytes=1.5 * 2000 / (1 << 30))
    track = TRACK._replace(values=np.zeros((100, 4), np.float32), available=np.ones(100, bool))
    for i, digest in enumerate(("a" * 64, "b" * 64, "c" * 64)):
        cache.put(digest, "audio-x", track)
        os.utime(cache.path(digest, "audio-x"), (time.time() - 100 + i,) * 2)
    assert cache.get("a" * 64, "audio-x") is not None  # used just now
    cache.trim()
    assert [cache.get(d * 64, "audio-x") is not None for d in "abc"] == [True, False, False]


def test_trimming_counts_what_was_heard_and_sweeps_up(tmp_path: Path) -> None:
    cache = Cache(tmp_path, gigabytes=50 / (1 << 30))
    folder = tmp_path / "dd" / ("d" * 64)
    folder.mkdir(parents=True)
    for name, age in (("speech-1.json", 10), ("speech-2.json", 20), (".a.1.partial", 7200), (".b.2.partial", 10)):
        (folder / name).write_text("x" * 40)
        os.utime(folder / name, (time.time() - age,) * 2)
    cache.trim()
    assert sorted(path.name for path in folder.iterdir()) == [".b.2.partial", "speech-1.json"]


def test_a_file_that_vanishes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path, gigabytes=0.0)
    cache.put("d" * 64, "audio-x", TRACK)
    monkeypatch.setattr(Path, "glob", lambda *_: iter([cache.path("d" * 64, "audio-x"), tmp_path / "gone.safetensors"]))
    cache.trim()
    assert cache.get("d" * 64, "audio-x") is None


def test_a_cache_of_others_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    cache.put("d" * 64, "audio-x", TRACK)

    def refused(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "utime", refused)
    found = cache.get("d" * 64, "audio-x")
    assert found is not None
    assert found.seconds == 0.1


def test_that_nothing_is_remembered_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "x")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cache.put("d" * 64, "audio-x", TRACK)
        cache.put("e" * 64, "audio-x", TRACK)
    assert len(said) == 1


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MitrError, match="name another folder with --cache"):
        Cache(tmp_path / "file" / "x").check()
    with pytest.warns(UserWarning, match="nothing is remembered"):
        Cache(tmp_path / "file" / "x").put("d" * 64, "audio-x", TRACK)


def test_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MITR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert Cache().folder == tmp_path / "features"
