"""What a run tells: a CSV row and TensorBoard scalars an epoch, a progress bar with the time left."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mitr.runs.history import EpochRow, write_history


class TrainingLog:
    """The history of a run, kept whole in memory and written anew after every epoch (it is small).

    Args:
        folder: the run folder; gets `history.csv` and `tensorboard/`.
        rows: epochs that an earlier process finished.
        quiet: show no progress bar.
    """

    def __init__(self, folder: Path, rows: list[EpochRow], quiet: bool = False):
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

    def add(self, row: EpochRow) -> None:
        """Append an epoch."""
        self.rows.append(row)
        write_history(self.folder, self.rows)
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self._board.add_scalar(name.replace("_", "/", 1), float(value), int(row["epoch"] or 0))

    def close(self) -> None:
        """Flush the events."""
        self._board.close()
