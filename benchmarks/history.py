"""What each benchmark gave at each commit: `python benchmarks/history.py FILE ...` after a run.

The cases of result files go into `history.csv` beside them, by date, commit, benchmark and case, in yardstick units.
A commit has one line for a case: a second run of it replaces the first. A case that takes more than 1.25 times its
best earlier units is named as a slowdown.
"""

import argparse
import csv
import datetime
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SLOWER = 1.25
HERE = Path(__file__).parent


class Entry(NamedTuple):
    """A line of the history; `yardstick` is GFLOP/s, `units` are seconds x GFLOP/s."""

    date: str
    commit: str
    benchmark: str
    case: str
    yardstick: float
    units: float


class Slowdown(NamedTuple):
    """A case that became slower; `best` is its best earlier line."""

    now: Entry
    best: Entry

    @property
    def times(self) -> float:
        """How much slower."""
        return self.now.units / self.best.units


def main() -> None:
    """Take files into the history."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("files", type=Path, nargs="+", help="result files of benchmarks")
    words.add_argument("--commit", default=commit(), help="what was measured; default: the checkout")
    chosen = words.parse_args()
    for path in chosen.files:
        place = path.parent / "history.csv"
        today = datetime.date.today().isoformat()
        new = [Entry(today, chosen.commit, *case) for case in cases(json.loads(path.read_text(encoding="utf-8")))]
        entries = merged(read(place), new)
        write(place, entries)
        for slow in slowdowns(entries):
            if slow.now in new:
                print(told(slow))


def cases(found: dict[str, Any]) -> Iterator[tuple[str, str, float, float]]:
    """(benchmark, case, yardstick, units) of a result file."""
    for row in found.get("data", []):
        yield "data", f"{row['task']}, {row['samples']} samples", found["yardstick"], row["units"]
    for row in found.get("inference", []):
        about, speed = f"{row['model']}, {row['engine']}", row["yardstick"]
        yield "inference", f"{about}, one clip", speed, row["p50_units"]
        for batch in row["throughput"]:
            yield "inference", f"{about}, a clip of {batch['batch']}", speed, batch["units_per_clip"]
    for benchmark in ("training", "kernels", "waiting", "compiled", "sweep", "protocol", "growth"):
        for row in found.get(benchmark, []):
            yield benchmark, row["case"], row["yardstick"], row["units"]


def merged(old: Sequence[Entry], new: Sequence[Entry]) -> list[Entry]:
    """The old lines and then the new ones, without what the new ones replace."""
    replaced = {(entry.commit, entry.benchmark, entry.case) for entry in new}
    return [entry for entry in old if (entry.commit, entry.benchmark, entry.case) not in replaced] + list(new)


def slowdowns(entries: Sequence[Entry]) -> list[Slowdown]:
    """The cases whose last line is more than `SLOWER` times their best line of another commit before it."""
    best: dict[tuple[str, str], Entry] = {}
    last = {(entry.benchmark, entry.case): entry for entry in entries}
    for entry in entries:
        key = entry.benchmark, entry.case
        if entry.commit != last[key].commit and (key not in best or entry.units < best[key].units):
            best[key] = entry
    return [Slowdown(last[key], early) for key, early in best.items() if last[key].units > SLOWER * early.units]


def told(slow: Slowdown) -> str:
    """A slowdown in a sentence."""
    now, best = slow
    return (
        f"slower: {now.benchmark}, {now.case}: {now.units:g} units at {now.commit}, "
        f"{slow.times:.2f} times the {best.units:g} at {best.commit} ({best.date})"
    )


def read(path: Path) -> list[Entry]:
    """The lines of a history, oldest first; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Entry(**row | {key: float(row[key]) for key in ("yardstick", "units")}) for row in rows]  # type: ignore[arg-type]


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a history."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(Entry._fields)
        lines.writerows(entries)


def commit() -> str:
    """The checkout's commit, with a + where what is measured has changes; unknown outside a checkout."""
    try:
        name = _git("rev-parse", "--short=9", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--", "../src", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(HERE), *words], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
