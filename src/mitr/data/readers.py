"""Readers of data formats by name: each says which paths it knows, and reads one of them into a draft of a store."""

import hashlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mitr.data.classes import TaskChoice
from mitr.data.draft import Draft
from mitr.errors import MitrError
from mitr.files import sha256
from mitr.plugins import Registry

TextChoice = Literal["auto", "ids", "embeddings", "raw"]

READERS = Registry(
    "reader",
    "mitr.readers",
    {
        "mmsa": "mitr.data.mmsa:MMSA",
        "label_csv": "mitr.data.label_csv:LABEL_CSV",
    },
)


@dataclass(frozen=True)
class ReadOptions:
    """What a user asks of a reader.

    Args:
        text: which text representation to keep: token `ids`, `embeddings`, `raw` text, or the first of them there is.
        tokenizer: vocabulary of token ids, a Hugging Face name; None: the reader infers it.
        task: what the labels are: numbers on a scale (`regression`), or classes.
        source_splits: the splits of the source count; False where those of a CSV replace them.
        digest: SHA-256 of the source, by which published files are recognised.
    """

    text: TextChoice = "auto"
    tokenizer: str | None = None
    task: TaskChoice = "auto"
    source_splits: bool = True
    digest: str = ""


def digest_of_files(files: Iterable[Path]) -> str:
    """SHA-256 of the lines `<sha256>  <file name>` of files."""
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_of(source: Path) -> str:
    """SHA-256 of a file; of a folder, that of the lines `<sha256>  <file name>` of all its files, sorted by path."""
    if source.is_file():
        return sha256(source)
    return digest_of_files(sorted(path for path in source.rglob("*") if path.is_file()))


@dataclass(frozen=True)
class Reader:
    """How sources of one format are read.

    Args:
        reads: the format, for messages, such as `a feature pickle (.pkl)`.
        knows: whether an existing file or folder is of the format, from its name and its first bytes.
        read: (source, options) -> Draft; raises a MitrError that names the file where the source is not as described.
        digest: the source's SHA-256, 64 hexadecimal digits, recorded in dataset.json.
    """

    reads: str
    knows: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Draft]
    digest: Callable[[Path], str] = digest_of


def reader_of(name: str) -> Reader:
    """The reader of this name.

    Args:
        name: one of `READERS`, or `module:NAME` of one's own.

    Raises:
        MitrError: no reader has this name, or what has the name is no reader.
    """
    reader = READERS.find(name)
    if not isinstance(reader, Reader):
        raise MitrError(f"the reader {name!r} must be a mitr.data.readers.Reader, not {reader!r}")
    return reader


def reader_for(source: Path) -> str:
    """The name of the reader that knows a file or folder; the package's readers are asked before plugins.

    Raises:
        MitrError: no reader knows it, or several plugins do.
    """
    for name in READERS.places:
        if source.exists() and reader_of(name).knows(source):
            return name
    plugins = _plugins()
    names = [name for name, reader in plugins.items() if source.exists() and reader.knows(source)]
    if len(names) > 1:
        raise MitrError(f"{source} is of a format that the readers {', '.join(names)} know: choose one with --reader")
    if names:
        return names[0]
    raise MitrError(f"{source} {_trouble(source)}; mitr reads {readable(plugins.values())}")


def readable(plugins: Iterable[Reader] = ()) -> str:
    """The formats of the package's readers and of plugins, in words."""
    return ", or ".join(reader.reads for reader in (*map(reader_of, READERS.places), *plugins))


def _plugins() -> dict[str, Reader]:
    """Name -> reader of other packages; one that cannot be imported is left out with a warning."""
    readers = {}
    for name in READERS.names():
        if name not in READERS.places:
            try:
                readers[name] = reader_of(name)
            except MitrError as error:
                warnings.warn(str(error), stacklevel=2)
    return readers


def _trouble(source: Path) -> str:
    """Why no reader knows a source."""
    if source.is_dir():
        return "has no label.csv"
    if not source.is_file():
        return "does not exist"
    with source.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        return "is a zip archive (npz, PyTorch or other)"
    return "is of no format that mitr knows"
