"""CSV files of the user, read strictly: every complaint names the file and the row."""

import csv
from pathlib import Path

from mitr.errors import MitrError

MODES = {"train": "train", "valid": "valid", "dev": "valid", "val": "valid", "test": "test"}


def read_table(path: Path, required: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file (UTF-8, with a header) as they stand, every value a string.

    Raises:
        MitrError: the file is missing, is no CSV, lacks a column of `required`, or a row has another width.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None:
                raise MitrError(f"{path} is empty; it needs a header with {', '.join(required)}")
            header = [name.strip() for name in header]
            lacking = [name for name in required if name not in header]
            if lacking:
                raise MitrError(f"{path}: column {', '.join(lacking)} is missing (it has {', '.join(header)[:200]})")
            if len(set(header)) < len(header):
                raise MitrError(f"{path}: a column name stands twice in its header")
            rows = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise MitrError(f"{path}, line {reader.line_num}: {len(row)} values for {len(header)} columns")
                rows.append(dict(zip(header, row, strict=True)))
    except OSError as error:
        raise MitrError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MitrError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise MitrError(f"{path}, line {reader.line_num}: not a proper CSV: {error}") from None
    if not rows:
        raise MitrError(f"{path} has a header and no rows")
    return rows


UNUSED = "unused"


def read_mode(value: str, where: str) -> str:
    """The split that a `mode` cell names (`dev` and `val` are valid).

    Raises:
        MitrError: it names none; `where` says which cell.
    """
    mode = MODES.get(value.strip().lower())
    if mode is None:
        raise MitrError(f"{where}: mode is {value[:40]!r}; it must be train, valid or test")
    return mode


def read_splits(path: Path, ids: list[str]) -> list[str]:
    """The split of each of `ids` by a CSV with the columns `id,mode`, in the order of `ids`; `unused` leaves one out.

    Raises:
        MitrError: an id is missing, unknown or repeated, or a mode is unknown; up to five are listed.
    """
    modes: dict[str, str] = {}
    twice: list[str] = []
    for number, row in enumerate(read_table(path, ("id", "mode")), start=2):
        if row["id"] in modes:
            twice.append(row["id"])
        unused = row["mode"].strip().lower() == UNUSED
        modes[row["id"]] = UNUSED if unused else read_mode(row["mode"], f"{path}, row {number} ({row['id'][:80]!r})")
    known = set(ids)
    doubled = sorted({id_ for id_ in ids if id_ in modes}) if len(known) < len(ids) else []
    if doubled:
        seen: set[str] = set()
        doubled = [id_ for id_ in ids if id_ in seen or seen.add(id_)]  # type: ignore[func-returns-value]
    for wrong, what in (
        (twice, "stand twice in it"),
        (list(dict.fromkeys(doubled)), "stand more than once in the source, so a re-split is ambiguous"),
        ([id_ for id_ in ids if id_ not in modes], "of the source are missing from it"),
        ([id_ for id_ in modes if id_ not in known], "are not in the source"),
    ):
        if wrong:
            few = ", ".join(repr(id_[:80]) for id_ in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
            raise MitrError(f"{path}: {len(wrong)} ids {what}: {few}")
    return [modes[id_] for id_ in ids]
