"""`history.csv` of a run: one row an epoch, written anew after every epoch (it is small)."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mitr.files import write_text

HISTORY_CSV = "history.csv"
EpochRow = dict[str, float | int | bool | None]  # `epoch`, `train_<term>`, `valid_<metric>`, `best`, `seconds`


def read_history(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's `history.csv`, one an epoch."""
    with (folder / HISTORY_CSV).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_history(folder: Path, rows: Sequence[EpochRow]) -> None:
    """Write `history.csv` with a column for every name that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / HISTORY_CSV, text.getvalue())
