"""The log of a run: a CSV row and TensorBoard scalars an epoch, and a progress bar with the time left."""

import csv
import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mitr.files import replacing

Row = dict[str, float | int | bool | None]


def read_history(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's `history.csv`, one an epoch."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TrainingLog:
    """The history of a run, kept whole in memory and written anew after every epoch (it is small).

    Args:
        folder: the run folder; gets `history.csv` and `tensorboard/`.
        rows: epochs that an earlier process finished.
        quiet: show no progress bar.
    """

    def __init__(self, folder: Path, rows: list[Row], quiet: bool = False):
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self.rows = rows
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=len(rows))
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=quiet,
        )

    def add(self, row: Row) -> None:
        """Append an epoch."""
        self.rows.append(row)
        names = list(dict.fromkeys(name for r in self.rows for name in r))
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(self.folder / "history.csv") as partial:
            partial.write_text(text.getvalue(), encoding="utf-8")
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._board.add_scalar(name.replace("_", "/", 1), float(value), int(row["epoch"] or 0))

    def close(self) -> None:
        """Flush the events."""
        self._board.close()
