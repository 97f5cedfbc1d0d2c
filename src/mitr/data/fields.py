"""Single fields of a pickle, checked: arrays or lists of arrays with the samples first, numbers, strings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError


@dataclass(frozen=True)
class Place:
    """Where in a file a field stands."""

    path: Path
    split: str

    def error(self, field: str, message: str) -> MitrError:
        """The error of a field, to be raised."""
        return MitrError(f"{self.path}: split {self.split!r}, field {field!r} {message}")


@dataclass
class Field:
    """A field with one array a sample: a whole array (N, ...) or N arrays whose first axis may differ."""

    name: str
    values: np.ndarray | list[np.ndarray]
    ids: bool
    padded_length: int | None
    dim: int | None

    def entry(self, i: int) -> np.ndarray:
        """What the field holds for sample i: (T, D), or (3, L) for `text_bert`."""
        return np.asarray(self.values[i])

    def row(self, i: int) -> np.ndarray:
        """The steps of sample i: (T, D), or the (L,) token ids of `text_bert`."""
        return self.entry(i)[0] if self.ids else self.entry(i)

    def steps(self) -> np.ndarray:
        """The steps of each sample with its padding, (N,) int64."""
        axis = 1 if self.ids else 0
        return np.array([self.values[i].shape[axis] for i in range(len(self.values))], dtype=np.int64)


def read_field(place: Place, name: str, value: Sequence[Any] | np.ndarray) -> Field:
    """Check a field of features, embeddings (each sample two-dimensional) or token ids (`text_bert`).

    Raises:
        MitrError: not numbers, a wrong number of axes, different widths, or token ids that are none.
    """
    ids = name == "text_bert"
    wanted = "(N, 3, L)" if ids else "(N, T, D)"
    if isinstance(value, np.ndarray) and value.dtype != object:
        if value.ndim != 3 or value.dtype.kind not in "biuf":
            raise place.error(name, f"has shape {value.shape} and type {value.dtype}; it must be {wanted} numbers")
        entries: np.ndarray | list[np.ndarray] = value
        shape = value.shape[1:]
        padded = shape[1] if ids else shape[0]
    else:
        entries = [_entry(place, name, item, i) for i, item in enumerate(value)]
        if sum(entry.nbytes for entry in entries) > 2 * place.path.stat().st_size + (1 << 20) and _shared(entries):
            raise place.error(name, "names the same array for many samples")
        lengths = {entry.shape[1 if ids else 0] for entry in entries}
        padded = lengths.pop() if ids and len(lengths) == 1 else None
        shape = entries[0].shape
        for i, entry in enumerate(entries):
            if (entry.shape[0] if ids else entry.shape[1]) != (shape[0] if ids else shape[1]):
                raise place.error(
                    name,
                    f"has shape {entry.shape} for sample {i} and {shape} for sample 0; only T may differ",
                )
    if ids:
        if shape[0] != 3:
            raise place.error(name, f"has {shape[0]} rows a sample; it must be {wanted}: token ids, mask, types")
        _check_ids(place, name, entries)
        return Field(name, entries, True, padded, None)
    if not shape[1]:
        raise place.error(name, "has no columns")
    return Field(name, entries, False, padded, shape[1])


def _shared(entries: list[np.ndarray]) -> bool:
    return len({id(entry) for entry in entries}) < len(entries)


def _entry(place: Place, name: str, item: Any, i: int) -> np.ndarray:
    try:
        array = np.asarray(item) if isinstance(item, np.ndarray) else _from_lists(item)
        if array.dtype == object:
            array = np.array(array.tolist(), dtype=np.float64)
    except (ValueError, TypeError):
        raise place.error(name, f"holds no rectangle of numbers for sample {i}") from None
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise place.error(
            name,
            f"has shape {array.shape} and type {array.dtype} for sample {i}; it must be (T, D) numbers",
        )
    return array


def _from_lists(item: Any) -> np.ndarray:
    if not isinstance(item, (list, tuple)) or not all(isinstance(row, (list, tuple, np.ndarray)) for row in item):
        raise ValueError
    if any(isinstance(cell, (list, tuple, dict)) for row in item for cell in row):
        raise ValueError
    return np.array([np.asarray(row) for row in item])


def _check_ids(place: Place, name: str, entries: np.ndarray | list[np.ndarray]) -> None:
    for i, entry in enumerate(entries):
        ids = entry[0]
        if not (np.isfinite(ids) & (ids >= 0) & (ids < 2**31) & (ids == np.floor(ids))).all():
            raise place.error(name, f"has token ids that are no whole numbers of 0 or more, in sample {i}")


def numbers(place: Place, name: str, value: Sequence[Any] | np.ndarray) -> np.ndarray:
    """A field with one number a sample, as float64.

    Raises:
        MitrError: it holds something else.
    """
    if not isinstance(value, np.ndarray):
        value = [v.item() if isinstance(v, np.ndarray) and v.size == 1 else _only(v) for v in value]
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise place.error(name, "must hold one number a sample") from None


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def strings(place: Place, name: str, value: Sequence[Any] | np.ndarray) -> list[str]:
    """A field with one string a sample; lists are joined with `$_$`, bytes read as UTF-8 or latin1.

    Raises:
        MitrError: it holds something else.
    """
    try:
        items = value.tolist() if isinstance(value, np.ndarray) else list(value)
    except ValueError:  # code points beyond Unicode
        raise place.error(name, "holds damaged text") from None
    return [_string(place, name, item, i) for i, item in enumerate(items)]


def _string(place: Place, name: str, item: Any, i: int) -> str:
    if isinstance(item, np.ndarray):
        item = item.tolist()
    if isinstance(item, (list, tuple)) and item and not any(isinstance(entry, (list, tuple, dict)) for entry in item):
        return "$_$".join(_string(place, name, entry, i) for entry in item)
    if isinstance(item, bytes):
        try:
            item = item.decode("utf-8")
        except UnicodeDecodeError:
            item = item.decode("latin1")
    if item is None:
        return ""
    if isinstance(item, (bool, np.bool_)) or not isinstance(item, (str, int, float, np.integer, np.floating)):
        raise place.error(name, f"holds a {type(item).__name__} for sample {i}; it must be text")
    return str(item).encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be stored
