"""What the benchmarks share: their command line, a process of its own for each case, and the file that they write."""

import argparse
import json
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from yardstick import machine

from mitr.files import write_json

Row = dict[str, Any]


def arguments(about: str | None, cases: Iterable[str]) -> argparse.ArgumentParser:
    """`--out`, `--cases`, `--threads` and `--quick`."""
    words = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    words.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    words.add_argument("--cases", nargs="+", choices=list(cases), help="those to measure; default: all")
    words.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch; default: one a core")
    words.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers say nothing")
    return words


def run(
    name: str, about: str | None, cases: Iterable[str], quick: Iterable[str], measure: Callable[..., Row | list[Row]]
) -> None:
    """Measure the cases that the command line asks for, or those of a `quick` run, and write them."""
    cases = list(cases)
    chosen = arguments(about, cases).parse_args()
    names = chosen.cases or (quick if chosen.quick else cases)
    write(name, in_processes(measure, names, chosen.quick, chosen.threads), chosen.out)


def in_processes(
    measure: Callable[..., Row | list[Row]], names: Iterable[str], quick: bool, threads: int, *more: Any
) -> list[Row]:
    """Call `measure(name, quick, *more)` for each case in a process of its own, one by one, and print its rows."""
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    for name in names:
        with context.Pool(1, torch.set_num_threads, (threads,)) as pool:
            found = pool.apply(measure, (name, quick, *more))
        for row in found if isinstance(found, list) else [found]:
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def write(name: str, rows: list[Row], out: Path, **more: Any) -> None:
    """Write the rows of a benchmark, with the machine."""
    write_json(out, {"machine": machine(), name: rows} | more)


def peak_mb() -> int:
    """The most that this process ever held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
