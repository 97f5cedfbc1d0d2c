"""Mapped files are read in place, and stay small in memory however much is read of them."""

import re
from pathlib import Path

import numpy as np
import pytest

from mitr.data import mapped
from mitr.data.mapped import MappedFile

SMAPS = Path("/proc/self/smaps")
needs_smaps = pytest.mark.skipif(not SMAPS.exists(), reason="only Linux says what is in memory of a mapped file")


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory now."""
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", SMAPS.read_text(), flags=re.MULTILINE)
    own = [part for part in parts if part.partition("\n")[0].endswith(str(path))]
    return 1024 * sum(int(re.search(r"^Rss:\s+(\d+)", part, re.MULTILINE)[1]) for part in own)  # type: ignore[index]


def made(folder: Path, size: int) -> tuple[Path, bytes]:
    path, content = folder / "file.bin", np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    return path, content


def test_the_bytes_are_the_files(tmp_path: Path) -> None:
    path, content = made(tmp_path, 10_000)
    file = MappedFile(path)
    assert file.data.readonly
    assert bytes(file.data) == content
    with pytest.raises(ValueError, match="empty"):
        MappedFile(made(tmp_path, 0)[0])
    with pytest.raises(OSError, match="nothing"):
        MappedFile(tmp_path / "nothing")


@needs_smaps
def test_what_was_read_goes_back_and_stays_readable(tmp_path: Path) -> None:
    path, content = made(tmp_path, 1 << 20)
    file = MappedFile(path)
    array = np.frombuffer(file.data, np.uint8)
    total = int(array.sum())
    assert resident(path) == 1 << 20
    file.give_back()
    assert resident(path) == 0
    assert int(array.sum()) == total
    assert array.tobytes() == content


@needs_smaps
@pytest.mark.parametrize("kept", [1 << 20, 64 << 20])
def test_a_large_file_is_read_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(mapped, "KEPT", kept)
    path, _ = made(tmp_path, 16 << 20)
    file = MappedFile(path)
    array, most = np.frombuffer(file.data, np.uint8), 0
    for start in range(0, len(array), 1 << 18):
        file.reading(1 << 18)
        array[start : start + (1 << 18)].sum()
        most = max(most, resident(path))
    # the system brings in up to 2 MiB at a time; a file below the bound is never given back
    assert most < 8 << 20 if kept < 16 << 20 else most == 16 << 20
