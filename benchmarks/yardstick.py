"""What this machine can do, measured in the same run as everything else: machines are shared, so only ratios count."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

SIZE, TRIES = 2048, 8


def yardstick(dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of a 2048 x 2048 x 2048 matrix product, the best of 8."""
    a, b = (torch.randn(SIZE, SIZE, dtype=dtype) for _ in range(2))
    return 2 * SIZE**3 / best(lambda: a @ b, TRIES) / 1e9


def best(work: Callable[[], object], tries: int) -> float:
    """Seconds of the fastest of several calls, after one that is not counted."""
    work()
    found = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def machine() -> dict[str, Any]:
    """The processor, its cores and the libraries."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": name, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
