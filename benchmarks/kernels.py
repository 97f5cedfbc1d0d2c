"""What each kernel of mitr.nn.cpu saves: `python benchmarks/kernels.py --out FILE [--cases NAME ...] [--quick]`.

A whole training step of MITR-DNet at CMU-MOSI's lengths, with a kernel and without it, in turns in one process: the
median of the ratios of the pairs is `ratio`, and `low` and `high` are their quartiles. The steps are those of three
batches of 32, a short, a middle and a long one of a window of 16 that is sorted by length; with BERT of the middle one.
With one thread, `seconds` and `without_seconds` are those of the processor, so that other processes count little; with
two, they are those of the clock. `peak_mb` and `without_peak_mb` are the most that a process of its own held in one
such step of each kind.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import harness
from yardstick import yardstick

from training import BATCH, Case, trainer_for

WINDOW = 16  # batches that are sorted by length together
CHOSEN = {"states": (3, 10, 14), "bert": (10,)}  # of a window
PAIRS = {"states": 10, "bert": 6}
GROUPS = {
    "dropout": ("states", ("dropout",)),
    "attention": ("states", ("attention",)),
    "temporal": ("states", ("temporal",)),
    "encoder": ("states", ("encoder",)),
    "all": ("states", ("attention", "dropout", "encoder", "temporal")),
    "bert": ("bert", ("bert",)),
}


class Kernels(NamedTuple):
    """What is switched off in the step without, and how the step is computed."""

    off: tuple[str, ...]
    text: str
    precision: Literal["no", "bf16"]
    threads: int


PRECISIONS: tuple[Literal["no", "bf16"], ...] = ("no", "bf16")
CASES = {
    f"{group}, {'float32' if precision == 'no' else precision}, {threads} thread{'s' if threads > 1 else ''}": Kernels(
        off, text, precision, threads
    )
    for group, (text, off) in GROUPS.items()
    for precision in PRECISIONS
    for threads in (1, 2)
}
QUICK = ("temporal, float32, 1 thread",)


def main() -> None:
    """Measure and write."""
    chosen = harness.arguments(__doc__, CASES).parse_args()
    names = list(chosen.cases or (QUICK if chosen.quick else CASES))
    rows = harness.in_processes(measured, names, chosen.quick, chosen.threads)
    for row in rows:
        for key, off in (("peak_mb", False), ("without_peak_mb", True)):
            (found,) = harness.in_processes(peak, [row["case"]], chosen.quick, chosen.threads, off)
            row |= {key: found["peak_mb"]}
    harness.write("kernels", rows, chosen.out)


def measured(name: str, quick: bool) -> dict[str, Any]:
    """The times of a case."""
    import torch

    case = CASES[name]
    torch.set_num_threads(case.threads)
    clock = time.process_time if case.threads == 1 else time.perf_counter
    speed = yardstick()
    with tempfile.TemporaryDirectory() as place:
        steps, batches = steps_of(case, Path(place), quick)
        steps()
        pairs = []
        for turn in range(2 if quick else PAIRS[case.text]):
            first, second = (timed(steps, clock, case.off if off else ()) for off in (turn % 2, 1 - turn % 2))
            pairs.append((first, second) if turn % 2 else (second, first))  # without, with
    ratios = [slow / fast for slow, fast in pairs]
    low, _, high = quantiles(ratios, n=4)
    slow, fast = (min(each) / batches for each in zip(*pairs, strict=True))
    return {
        "case": name,
        "yardstick": round(speed, 1),
        "seconds": round(fast, 4),
        "units": round(fast * speed, 1),
        "without_seconds": round(slow, 4),
        "ratio": round(median(ratios), 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "pairs": len(pairs),
    }


def peak(name: str, quick: bool, off: bool) -> dict[str, Any]:
    """The memory of a case, with or without its kernels."""
    import torch

    case = CASES[name]
    torch.set_num_threads(case.threads)
    with tempfile.TemporaryDirectory() as place:
        steps, _ = steps_of(case, Path(place), quick)
        timed(steps, time.process_time, case.off if off else ())
    return {"case": name, "without": off, "peak_mb": harness.peak_mb()}


def steps_of(case: Kernels, place: Path, quick: bool) -> tuple[Callable[[], object], int]:
    """What trains on the chosen batches once, and how many they are."""
    window = 2 if quick else WINDOW * BATCH
    trainer = trainer_for(Case("mosi", case.text, case.precision, window, window, 0), place, window, 2, 1000)
    trainer.order.seed = None  # sorted
    batches = list(trainer.order)
    trainer.order = ChosenBatches(batches if quick else [batches[i] for i in CHOSEN[case.text]])
    return lambda: trainer._train_epoch(lambda: None), len(trainer.order)


class ChosenBatches(list[list[int]]):
    """Batches of positions, the same in every epoch."""

    epoch = 0


def timed(steps: Callable[[], object], clock: Callable[[], float], off: tuple[str, ...]) -> float:
    """Seconds of all steps, without these kernels."""
    from mitr.nn.cpu.switch import without

    with without(*off) if off else nullcontext():
        start = clock()
        steps()
        return clock() - start


if __name__ == "__main__":
    main()
