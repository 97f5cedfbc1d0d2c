"""The published rows that come with the package, by the name of a row or of a whole table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path

from mitr.bench.experiments import Experiment, read_experiment
from mitr.errors import MitrError

PUBLISHED = Path(__file__).parent / "published"
LINKED = "../src/mitr/bench/published"  # the same folder, seen from docs/
CLOSEST = 5  # names that are suggested for one that does not exist


def list_experiments(folder: Path = PUBLISHED) -> list[Path]:
    """The experiment files of a folder, by name."""
    return sorted(folder.glob("*.yaml"))


def experiment_file(name: str, folder: Path = PUBLISHED) -> Path | None:
    """The file at a path, or of a row's name (with or without `.yaml`); None where neither exists."""
    for path in (Path(name), folder / f"{name.removesuffix('.yaml')}.yaml"):
        if path.is_file():
            return path
    return None


def published_tables(folder: Path = PUBLISHED) -> dict[str, list[Path]]:
    """The tables by name, each with the files of its rows.

    A row is called `paper_model_data_protocol`. A table's name is its paper, followed by any of the other three in this
    order: `wang2025`, `wang2025_mosi`, `wang2025_mosi_auilc`.
    """
    tables: dict[str, list[Path]] = {}
    for path in list_experiments(folder):
        paper, *words = path.stem.split("_")
        for count in range(len(words)):  # all words together are the row's name
            for chosen in combinations(words, count):
                tables.setdefault("_".join([paper, *chosen]), []).append(path)
    return tables


def experiments_named(name: str | None, folder: Path = PUBLISHED) -> list[Experiment]:
    """The row or the rows of the table called `name`, or of the file at this path; None: all rows of the folder.

    Raises:
        MitrError: no row, table or file has this name (the message suggests the closest), or a file has faults.
    """
    if name is None:
        return [read_experiment(path) for path in list_experiments(folder)]
    if (path := experiment_file(name, folder)) is not None:
        return [read_experiment(path)]
    tables = published_tables(folder)
    if name not in tables:
        close = _closest(name, [*(path.stem for path in list_experiments(folder)), *tables])
        suggested = "".join(f"\n  {one}" for one in close)
        closest = f"\nThe closest names are:{suggested}" if close else ""
        raise MitrError(
            f"there is no published row, table or file {name!r}: `mitr reproduce --list` prints all rows.{closest}"
        )
    return [read_experiment(path) for path in tables[name]]


def experiments_markdown(folder: Path = PUBLISHED) -> str:
    """The experiment files of a folder as a Markdown table, with links relative to `docs/`."""
    lines = [
        "| experiment | model | data | protocol | training | MAE ↓ | Corr ↑ | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in list_experiments(folder):
        row = read_experiment(path)
        numbers = (f"{row.published[key]:.3f}" if key in row.published else "–" for key in ("mae", "corr"))
        link = f"[`{row.name}`]({LINKED}/{path.name})"
        cells = (link, row.model, row.data.name, row.protocol, row.training, *numbers, f"[{row.source}]({row.url})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def print_experiments(experiments: Sequence[Experiment]) -> None:
    """Print rows with their settings, published numbers and sources as a table that 80 columns hold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 1, 0))
    table.add_column("name\nmodel, data\nprotocol, training", no_wrap=True)
    table.add_column("published", ratio=5)
    table.add_column("source", ratio=4)
    for row in experiments:
        numbers = " ".join(f"{key}={_shown(number)}" for key, number in row.published.items())
        settings = f"{row.name}\n{row.model}, {row.data.name}\n{row.protocol}, {row.training}"
        table.add_row(settings, numbers, row.source)
    console = Console(highlight=False)
    console.print(table)
    papers = Counter(row.name.split("_")[0] for row in experiments)
    counted = ", ".join(f"{paper} ({count})" for paper, count in papers.items())
    console.print(
        f"Whole tables: {counted}. Behind the paper may stand a model, data set and protocol: wang2025_mosi_auilc."
    )


def _closest(name: str, names: Iterable[str]) -> list[str]:
    """The names most like `name`, whatever the order of the words."""

    def sorted_words(name: str) -> str:
        return "_".join(sorted(name.split("_")))

    by_words = {sorted_words(one): one for one in names}
    return [by_words[close] for close in get_close_matches(sorted_words(name), by_words, CLOSEST)]


def _shown(number: float) -> str:
    """At least three decimals, and a fourth where the paper prints it."""
    return f"{number:.3f}" if number == round(number, 3) else f"{number:.4f}"
