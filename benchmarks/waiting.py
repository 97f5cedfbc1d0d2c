"""Threads that wait, alone and beside other programs: `python benchmarks/waiting.py --out FILE [--cases NAME ...]`.

A training step of MITR-DNet, text as states, float32, a batch of 32 of middle length at CMU-MOSI's: on one thread, and
on two of which those that are done spin (OpenMP's default) or sleep. `beside` means that as many processes as the
machine has cores compute all the time. `seconds` is the median of the steps by the clock, `most_seconds` the longest,
`cpu_seconds` the median of what they took of all processors.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import harness
from kernels import CHOSEN, Kernels, steps_of
from yardstick import yardstick

POLICIES = {"1 thread": (1, "PASSIVE"), "2 threads that spin": (2, "ACTIVE"), "2 threads that sleep": (2, "PASSIVE")}
CASES = {
    f"{name}, {company}": (*how, company == "beside others")
    for company in ("alone", "beside others")
    for name, how in POLICIES.items()
}
QUICK = ("2 threads that sleep, beside others",)
STEPS = 6


def main() -> None:
    """Measure and write."""
    chosen = harness.arguments(__doc__, CASES).parse_args()
    rows = []
    for name in chosen.cases or (QUICK if chosen.quick else CASES):
        os.environ["OMP_WAIT_POLICY"] = CASES[name][1]  # the process of the case inherits it before it imports PyTorch
        rows += harness.in_processes(measured, [name], chosen.quick, CASES[name][0])
    harness.write("waiting", rows, chosen.out)


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One case."""
    threads, _, beside = CASES[name]
    speed = yardstick()
    walls, processors = [], []
    CHOSEN["states"] = (10,)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        steps, _ = steps_of(Kernels((), "states", "no", threads), Path(place), quick)
        steps()
        if beside:
            stack.enter_context(others())
        for _ in range(2 if quick else STEPS):
            start, used = time.perf_counter(), time.process_time()
            steps()
            walls.append(time.perf_counter() - start)
            processors.append(time.process_time() - used)
    return {
        "case": name,
        "yardstick": round(speed, 1),
        "seconds": round(median(walls), 3),
        "units": round(median(walls) * speed, 1),
        "most_seconds": round(max(walls), 3),
        "cpu_seconds": round(median(processors), 3),
    }


def others() -> ExitStack:
    """Processes that compute until they are stopped, one a core."""
    stack = ExitStack()
    for _ in range(os.cpu_count() or 1):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(process.wait)
        stack.callback(process.kill)
    return stack


if __name__ == "__main__":
    main()
