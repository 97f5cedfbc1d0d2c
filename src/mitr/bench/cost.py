"""What a model costs: time to answer, and memory."""

import statistics
import time
from contextlib import suppress
from pathlib import Path

import torch

from mitr.batches.examples import Examples
from mitr.batches.sampler import LengthSortedBatches
from mitr.models.network import Network

SAMPLES, BATCH, PASSES = 128, 32, 3


def milliseconds_per_sample(network: Network, examples: Examples) -> float:
    """Time to answer for a sample with all of its data, text encoder included: the median pass over the first 128."""
    if network.text is not None:
        network.text.known = {}  # nothing of what was read before
    batches = [
        examples.collate([examples[p] for p in positions if p < SAMPLES])
        for positions in LengthSortedBatches(examples.costs()[:SAMPLES], BATCH)
    ]
    passes = []
    for _ in range(PASSES):
        started = time.perf_counter()
        with torch.inference_mode():
            for batch in batches:
                network(batch.view)
        passes.append(time.perf_counter() - started)
    return 1000 * statistics.median(passes) / min(len(examples), SAMPLES)


def reset_peak_memory() -> None:
    """Begin a new peak, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float | None:
    """Most memory of this process since `reset_peak_memory`, in MB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return round(found[0], 1) if found else None
