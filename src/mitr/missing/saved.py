"""Masks of a split under a protocol as one `.npz` that numpy alone can read (docs/protocols.md lists its arrays).

C conditions, N samples, T steps; masks are packed eight steps to a byte.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mitr.errors import MitrError
from mitr.files import replacing
from mitr.missing.masks import Mask
from mitr.missing.protocols import Condition
from mitr.missing.schedules import Extent, Masks

VERSION = 1
MOST_BYTES = 1 << 30  # of all arrays of a file together


@dataclass
class SavedMasks:
    """The content of a file of masks.

    Attributes:
        about: what the writer said of it, such as the protocol, the split and the data.
        ids: of the N samples.
        conditions: (name, axis, level) of the C conditions; the level is NaN where there is none.
        lengths: modality -> (N,) steps of each sample.
        steps: modality -> T.
        keep: modality -> (C, N, ceil(T / 8)) uint8, the packed `Mask.keep`.
        absent: modality -> (C, N) bool, `Mask.absent`.
    """

    about: dict[str, object]
    ids: list[str]
    conditions: list[tuple[str, str, float]]
    lengths: dict[str, np.ndarray]
    steps: dict[str, int]
    keep: dict[str, np.ndarray]
    absent: dict[str, np.ndarray]


def write_masks(
    path: Path,
    conditions: Sequence[Condition],
    ids: Sequence[str],
    extents: Mapping[str, Extent],
    about: Mapping[str, Any],
) -> None:
    """Draw the masks of a split under these conditions and write them, replacing `path` at once.

    Args:
        path: the file, which ends in `.npz`.
        conditions: of a protocol.
        ids: of the N samples, in the order of `extents`.
        extents: modality -> Extent.
        about: what else the file is to say, as JSON.
    """
    arrays: dict[str, np.ndarray] = {
        "version": np.array(VERSION),
        "about": np.array(json.dumps(about, ensure_ascii=False)),
        "ids": np.array(list(ids)),
        "conditions": np.array([condition.name for condition in conditions]),
        "axes": np.array([condition.axis for condition in conditions]),
        "levels": np.array([math.nan if c.level is None else c.level for c in conditions]),
        "modalities": np.array(list(extents)),
    }
    for m, extent in extents.items():
        shape = len(conditions), len(ids)
        arrays[f"lengths_{m}"] = np.asarray(extent.lengths, np.int64)
        arrays[f"steps_{m}"] = np.array(extent.steps)
        arrays[f"keep_{m}"] = np.zeros((*shape, -(-extent.steps // 8)), np.uint8)
        arrays[f"absent_{m}"] = np.zeros(shape, bool)
    for i, condition in enumerate(conditions):
        for m, mask in condition.masks(extents).items():
            arrays[f"keep_{m}"][i] = np.packbits(mask.keep, axis=1)
            arrays[f"absent_{m}"][i] = mask.absent
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_masks(path: Path, ids: Sequence[str] | None = None) -> SavedMasks:
    """Read a file of masks; no more memory is used than its arrays declare, and at most 1 GiB.

    Args:
        path: the file.
        ids: samples that it must have masks of.

    Raises:
        MitrError: it is missing, damaged, not a file of masks of this version, or of other samples.
    """
    try:
        saved = _saved(_arrays(path))
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist: make it with `mitr masks export`") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise MitrError(f"{path} is not a file of masks of this version ({error}); export it again") from None
    if ids is not None:
        _rows(saved, ids)
    return saved


def condition_masks(saved: SavedMasks, ids: Sequence[str]) -> tuple[Condition, ...]:
    """The saved masks as conditions for these samples, in their order.

    Raises:
        MitrError: the file has no masks of one of the samples; or, from a condition's `masks`, a sample's length or
            modalities are not those that the masks were made for.
    """
    rows = _rows(saved, ids)
    return tuple(
        Condition(name, axis, None if math.isnan(level) else level, _masks_of(saved, i, rows))
        for i, (name, axis, level) in enumerate(saved.conditions)
    )


def _masks_of(saved: SavedMasks, condition: int, rows: np.ndarray) -> Callable[[Mapping[str, Extent]], Masks]:
    def masks(extents: Mapping[str, Extent]) -> Masks:
        drawn: Masks = {}
        for m, extent in extents.items():
            if m not in saved.keep:
                raise MitrError(f"the saved masks have no {m}, which the data have: export them from these data")
            if len(other := np.flatnonzero(saved.lengths[m][rows] != extent.lengths)):
                row = rows[other[0]]
                raise MitrError(
                    f"the saved masks are for {saved.lengths[m][row]} steps of {m} in sample {saved.ids[row]!r}, which "
                    f"has {extent.lengths[other[0]]}: export them from these data, with the same text encoder"
                )
            keep = np.unpackbits(saved.keep[m][condition, rows], axis=1, count=saved.steps[m]).astype(bool)
            drawn[m] = Mask(keep, saved.absent[m][condition, rows])
        return drawn

    return masks


def _rows(saved: SavedMasks, ids: Sequence[str]) -> np.ndarray:
    row_of = {name: row for row, name in enumerate(saved.ids)}
    if unknown := [name for name in ids if name not in row_of]:
        raise MitrError(
            f"the saved masks have none for {len(unknown)} of {len(ids)} samples, such as {unknown[0]!r}: they are of "
            f"{saved.about.get('data', 'other data')}, {saved.about.get('split', 'another')} split"
        )
    return np.array([row_of[name] for name in ids], np.int64)


def _saved(arrays: dict[str, np.ndarray]) -> SavedMasks:
    if arrays["version"] != VERSION:
        raise ValueError(f"version {arrays['version']}")
    names = [arrays[name].tolist() for name in ("conditions", "axes", "levels")]
    conditions, ids = list(zip(*names, strict=True)), arrays["ids"].tolist()
    if len(set(ids)) != len(ids):
        raise ValueError("an id occurs twice")
    saved = SavedMasks(json.loads(str(arrays["about"])), ids, conditions, {}, {}, {}, {})
    for m in arrays["modalities"].tolist():
        saved.lengths[m], saved.steps[m] = arrays[f"lengths_{m}"], int(arrays[f"steps_{m}"])
        saved.keep[m], saved.absent[m] = arrays[f"keep_{m}"], arrays[f"absent_{m}"]
        expected = {
            "lengths": ((len(ids),), np.int64),
            "keep": ((len(conditions), len(ids), -(-saved.steps[m] // 8)), np.uint8),
            "absent": ((len(conditions), len(ids)), np.bool_),
        }
        for what, (shape, dtype) in expected.items():
            if arrays[f"{what}_{m}"].shape != shape or arrays[f"{what}_{m}"].dtype != dtype:
                raise ValueError(f"{what}_{m} is not {np.dtype(dtype)} of the form {shape}")
    return saved


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 20} MiB")
        found = {}
        for member in members:
            with archive.open(member) as file:  # gives no more bytes than the member declares
                found[member.filename.removesuffix(".npy")] = _array(file)  # type: ignore[arg-type]
        return found


def _array(file: BinaryIO) -> np.ndarray:
    """One array; numpy's own reader would allocate whatever the header declares."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.hasobject or fortran_order:
        raise ValueError("it holds something else than plain arrays")
    return np.frombuffer(file.read(), dtype).reshape(shape)
