"""Published files are told by their hash."""

import hashlib
from pathlib import Path

import pytest

from mitr.data import verifying
from mitr.errors import MitrError


def test_an_unknown_file_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"x")
    with pytest.raises(MitrError) as caught:
        verifying.verify(path)
    assert hashlib.sha256(b"x").hexdigest() in str(caught.value)
    assert all(digest in str(caught.value) for digest in verifying.KNOWN_SHA256)
    with pytest.raises(MitrError, match="not a file"):
        verifying.verify(tmp_path)


def test_a_known_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"x")
    monkeypatch.setitem(verifying.KNOWN_SHA256, hashlib.sha256(b"x").hexdigest(), "MOSI aligned_50")
    assert "MOSI aligned_50" in verifying.verify(path)
