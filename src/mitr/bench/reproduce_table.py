"""All rows of a published table run again, one after the other, with one comparison of them all."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mitr.bench.catalogue import list_experiments
from mitr.bench.experiments import Experiment
from mitr.bench.reproduce import HEAD, Reproduction, Verdict, reproduce, source_file
from mitr.config import EncoderChoice
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import discard_partials, write_json, write_text
from mitr.version import VERSION


@dataclass(frozen=True)
class TableReproduction:
    """A published table that was run again.

    Attributes:
        name: the table's name.
        rows: the rows that ran.
        errors: row name -> the reason why it has no numbers.
        folder: the folder with one bench folder for each row, under the row's name.
    """

    name: str
    rows: list[Reproduction]
    errors: dict[str, str]
    folder: Path

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """The number of metrics with each verdict, of the verdicts that occur."""
        counts = Counter(compared.verdict for row in self.rows for compared in row.metrics)
        return {verdict: counts[verdict] for verdict in get_args(Verdict) if counts[verdict]}

    @property
    def problems(self) -> list[str]:
        """A line for each row that failed or lacks runs."""
        lacking = [f"{row.experiment.name}: {row.failed} runs failed" for row in self.rows if row.failed]
        return [*lacking, *(f"{name}: {error}" for name, error in self.errors.items())]


def reproduce_table(
    name: str,
    experiments: Sequence[Experiment],
    data: Sequence[str | Path],
    out: str | Path,
    *,
    text: EncoderChoice | None = None,
    jobs: int = 0,
    quiet: bool = False,
    command: str | None = None,
) -> TableReproduction:
    """Run the rows of a table and write `reproduction.json` and `reproduction.md`; a row that fails stops no other.

    Args:
        name: the table's name.
        experiments: its rows.
        data: stores; each row takes the one that `stores_of_rows` chooses.
        out: the folder to write to; called again on it, the runs go on where they stopped.
        text: the text encoder to use; None: each row's, without network.
        jobs: processes; 0: one for each core.
        quiet: show no progress.
        command: the command line to record.

    Raises:
        MitrError: before anything runs: a row has no data, or the folder holds other files.
    """
    stores = stores_of_rows(name, experiments, data)
    out = Path(out)
    _check_folder(out, experiments)
    rows, errors = [], {}
    for number, experiment in enumerate(experiments, start=1):
        _say(f"{experiment.name}, row {number} of {len(experiments)}", quiet)
        try:
            rows.append(
                reproduce(
                    experiment,
                    stores[experiment.name],
                    out / experiment.name,
                    text=text,
                    jobs=jobs,
                    quiet=quiet,
                    command=command,
                )
            )
        except MitrError as error:
            errors[experiment.name] = str(error)
    table = TableReproduction(name, rows, errors, out)
    _write(table, command)
    return table


def stores_of_rows(name: str, experiments: Sequence[Experiment], data: Sequence[str | Path]) -> dict[str, Path]:
    """The store that each row is run on, by the row's name.

    A row takes the store made of its paper's file (by SHA-256), else the one called as its data set, else, where all
    rows have the same data and there is one store, that one.

    Raises:
        MitrError: a folder is no store, or a row has none of them.
    """
    stores = [Dataset(folder) for folder in data]
    alike = len({experiment.data for experiment in experiments}) == 1
    chosen: dict[str, Path] = {}
    for experiment in experiments:
        expected = experiment.data
        of_file = [d for d in stores if expected.sha256 is not None and d.info.source.sha256 == expected.sha256]
        of_name = [d for d in stores if d.info.name == expected.name]
        only = stores if alike and len(stores) == 1 else []
        for dataset in [*of_file, *of_name, *only][:1]:
            chosen[experiment.name] = Path(dataset.folder)
    lacking = dict.fromkeys(experiment.data for experiment in experiments if experiment.name not in chosen)
    if lacking:
        needed = "".join(f"\n  {source_file(file)}" for file in lacking)
        raise MitrError(
            f"{name} has rows on data sets that --data does not name:{needed}\n"
            "Put each file into a data set with `mitr data import FILE --out DIR`, and name all with commas between "
            "them (--data DIR,DIR), or choose fewer rows (`mitr reproduce --list` prints them)."
        )
    return chosen


def table_as_markdown(table: TableReproduction) -> str:
    """The comparison of all rows as a page."""
    lines = [f"# {table.name}: {len(table.rows) + len(table.errors)} published rows", "", f"{_counted(table)}.", ""]
    head = ("experiment", *HEAD)
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [
        f"| {' | '.join((row.experiment.name, *compared.cells))} |" for row in table.rows for compared in row.metrics
    ]
    notes = [f"{row.experiment.name}: {note}" for row in table.rows for note in row.notes]
    lines += [line for note in [*notes, *table.problems] for line in ("", f"**{note}**")]
    return "\n".join(lines) + "\n"


def print_table(table: TableReproduction) -> None:
    """Print the comparison of all rows as one table that 80 columns hold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(
        "row", *(HEAD[i] for i in COLUMNS), title=table.name, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for row in table.rows:
        experiment = row.experiment
        settings = [experiment.model, experiment.data.name, experiment.protocol, experiment.training]
        columns = zip(*([compared.cells[i] for i in COLUMNS] for compared in row.metrics), strict=True)
        shown.add_row("\n".join(settings), *("\n".join(column) for column in columns))
        shown.add_section()
    console = Console()
    console.print(shown)
    console.print(_counted(table), highlight=False)


COLUMNS = tuple(HEAD.index(column) for column in ("metric", "ours", "published", "verdict"))


def _counted(table: TableReproduction) -> str:
    verdicts = [f"{verdict}: {count}" for verdict, count in table.verdicts.items()]
    return "Metrics " + (", ".join(verdicts) or "not measured")


def _say(line: str, quiet: bool) -> None:
    from rich.console import Console

    Console(stderr=True, quiet=quiet).print(line, highlight=False)


def _check_folder(out: Path, experiments: Sequence[Experiment]) -> None:
    names = {path.stem for path in list_experiments()} | {experiment.name for experiment in experiments}
    if not out.exists():
        return
    if not out.is_dir():
        raise MitrError(f"{out} is not a folder: choose another")
    discard_partials(out)
    strange = sorted(path.name for path in out.iterdir() if path.name not in names | set(FILES))
    if strange:
        raise MitrError(f"{out} holds {strange[0]}, which is no published row: choose another folder for a table")


FILES = ("reproduction.json", "reproduction.md")


def _write(table: TableReproduction, command: str | None) -> None:
    rows: list[Mapping[str, object]] = [
        {
            "name": row.experiment.name,
            "rows": [compared.to_json() for compared in row.metrics],
            "notes": row.notes,
            "failed": row.failed,
        }
        for row in table.rows
    ]
    written = {"table": table.name, "verdicts": table.verdicts, "experiments": rows, "errors": table.errors}
    write_json(table.folder / FILES[0], written | {"mitr": VERSION, "command": command})
    write_text(table.folder / FILES[1], table_as_markdown(table))
