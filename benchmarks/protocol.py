"""The wall time of protocol A on CMU-MOSI: `python benchmarks/protocol.py --out FILE [--data STORE] [--quick]`.

`mitr robustness` as it is: train one MITR-DNet for all rates, answer the test split at rates 0.0 to 1.0, write the
tables and the report; one seed. The data are made, in CMU-MOSI's sizes, shapes and lengths, unless a store is given.
MiniLM encodes the text, frozen or fine-tuned. `training` and `rest` (the eleven rates, metrics with their intervals,
the report) add up to the whole; training is given for the epochs that were trained, and each next one costs
`epoch_seconds`.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import harness
from made_sets import SHAPES, write_made
from yardstick import yardstick

CASES = {"minilm frozen": (False, 2), "minilm fine-tuned": (True, 1)}  # name -> is it trained, epochs
QUICK = ("minilm frozen",)


def main() -> None:
    """Measure and write."""
    words: argparse.ArgumentParser = harness.arguments(__doc__, CASES)
    words.add_argument("--data", type=Path, help="a store; default: a made one")
    chosen = words.parse_args()
    names = chosen.cases or (QUICK if chosen.quick else CASES)
    rows = harness.in_processes(measured, names, chosen.quick, chosen.threads, chosen.data)
    harness.write("protocol", rows, chosen.out)


def measured(name: str, quick: bool, store: Path | None) -> dict[str, Any]:
    """One case."""
    import torch

    from mitr.bench.robustness import robustness
    from mitr.data.store import Dataset
    from mitr.runs.config import RunConfig
    from mitr.runs.history import read_history

    finetune, epochs = CASES[name]
    speed = yardstick()
    with tempfile.TemporaryDirectory() as place:
        sizes = (16, 8, 8) if quick else SHAPES["mosi"].samples
        data = Dataset(store) if store else write_made(Path(place) / "data", SHAPES["mosi"], "ids", sizes)
        config = RunConfig()
        config.text.finetune, config.train.device, config.train.max_epochs = finetune, "cpu", 1 if quick else epochs
        config.train.threads = torch.get_num_threads()
        start = time.perf_counter()
        found = robustness(data, Path(place) / "out", config, seeds=[111], quiet=True)
        seconds = time.perf_counter() - start
        rows = read_history(found.folder / "runs" / "seed-111")
    training = sum(float(row["seconds"]) for row in rows)
    return {
        "case": f"{name}, {len(rows)} epoch{'s' if len(rows) > 1 else ''}",
        "samples": [int((data.indices(split)).size) for split in ("train", "valid", "test")],
        "yardstick": round(speed, 1),
        "seconds": round(seconds, 2),
        "units": round(seconds * speed, 1),
        "training_seconds": round(training, 2),
        "epoch_seconds": round(training / len(rows), 2),
        "rest_seconds": round(seconds - training, 2),
        "peak_mb": harness.peak_mb(),
    }


if __name__ == "__main__":
    main()
