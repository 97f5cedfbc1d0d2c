"""Outputs appear whole or not at all: written beside their place, then renamed."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitr.errors import MitrError

if TYPE_CHECKING:
    from pandas import DataFrame


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def discard_partials(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def check_free(path: Path, marker: str, overwrite: bool) -> None:
    """Refuse to write where something lies that is not ours to replace; see `new_folder`.

    Raises:
        MitrError: with what lies there.
    """
    if not path.exists():
        return
    if not overwrite:
        raise MitrError(f"{path} exists already: choose another folder, or pass --overwrite to replace it")
    if not path.is_dir() or (path / "run.json").exists() or (any(path.iterdir()) and not (path / marker).is_file()):
        raise MitrError(
            f"{path} is not replaced: it holds something else (no {marker}, or a run); choose another folder"
        )


@contextmanager
def new_folder(path: Path, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it becomes `path` when the block succeeds.

    Args:
        path: the folder to make.
        marker: a file that the block writes, by which such a folder is known.
        overwrite: replace `path`, if it is such a folder and not a run as well.

    Raises:
        MitrError: `path` exists and may not be replaced.
    """
    check_free(path, marker, overwrite)
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.rename(old)
        partial.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def user_cache() -> Path:
    """The folder in which this user's programs keep what they can make again."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, replacing `path` at once."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, table: "DataFrame") -> None:
    """Write a table as CSV without its index, replacing `path` at once."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False)


def write_parquet(path: Path, table: "DataFrame") -> None:
    """Write a table as Parquet without its index, replacing `path` at once."""
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON (UTF-8, two-space indent, NaN refused), replacing `path` at once."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        MitrError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MitrError(f"{path} is not valid JSON: {error}") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _blocks(file)


def _blocks(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no file_digest
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
