"""What the benchmarks share: their command line, a process of its own for each case, and the file that they write."""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from yardstick import machine

Row = dict[str, Any]


def arguments(about: str | None, cases: Iterable[str]) -> argparse.ArgumentParser:
    """`--out`, `--cases` and `--quick`."""
    words = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    words.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    words.add_argument("--cases", nargs="+", choices=list(cases), help="those to measure; default: all")
    words.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers say nothing")
    return words


def in_processes(measure: Callable[..., Row | list[Row]], jobs: Iterable[Sequence[Any]]) -> list[Row]:
    """Measure each job in a process of its own, one after the other, and print its rows."""
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    for job in jobs:
        with context.Pool(1) as pool:
            found = pool.apply(measure, job)
        for row in found if isinstance(found, list) else [found]:
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def write(name: str, rows: list[Row], out: Path, **more: Any) -> None:
    """Write the rows of a benchmark, with the machine."""
    out.write_text(json.dumps({"machine": machine(), name: rows} | more, indent=1) + "\n", encoding="utf-8")


def use_all_cores() -> int:
    """Let PyTorch use every core, whatever the environment says; how many there are."""
    import torch

    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)
    return cores
