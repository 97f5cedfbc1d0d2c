"""Does a benchmark gain from a second process? `python experiments/bench_speed.py DATA --out RESULT.json`."""

import argparse
import os
import tempfile
import time
from pathlib import Path

from mitr.bench.run import run_bench
from mitr.config import TrainConfig
from mitr.files import write_json
from mitr.runs.config import RunConfig

MODELS, SEEDS, EPOCHS, TRIES = ["misa", "lmf", "self-mm", "mitr-dnet"], [0, 1, 2, 3], 4, 2

if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("data")
    reader.add_argument("--out", type=Path, required=True)
    options = reader.parse_args()
    config = RunConfig(train=TrainConfig(max_epochs=EPOCHS, patience=EPOCHS, threads=1, device="cpu"))
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(TRIES):
        for jobs in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                run_bench(
                    [options.data],
                    Path(folder) / "bench",
                    models=MODELS,
                    protocols=["mean"],
                    seeds=SEEDS,
                    config=config,
                    jobs=jobs,
                    quiet=True,
                )
                seconds[str(jobs)].append(round(time.perf_counter() - started, 1))
    found = {"models": MODELS, "runs": len(MODELS) * len(SEEDS), "cores": os.cpu_count(), "seconds": seconds}
    write_json(options.out, found)
