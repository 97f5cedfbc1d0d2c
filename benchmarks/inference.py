"""Answers from features and words: `python benchmarks/inference.py --out FILE [--models NAME ...]`.

A clip here is five seconds: some fifteen tokens of raw text for MiniLM, sound at 31 Hz with 33 columns, pictures at
10 Hz with 49. Its features are at hand; what is timed is tokenising, scaling, padding and the network. Every call
brings another text. Engines are PyTorch, onnxruntime, and onnxruntime with an int8 text encoder, each in a process of
its own.

Times are in seconds and in yardstick units: seconds x GFLOP/s of a float32 matrix product, measured in that process
just before. `cpu_ms` is the processor time of a call (or of a clip in a batch), on all threads, which a busy machine
changes least.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from yardstick import machine, yardstick

from mitr.files import write_json

COLUMNS, RATES, SECONDS, WORDS = {"audio": 33, "vision": 49}, {"audio": 31.0, "vision": 10.0}, 5.0, 13
ENGINES = ("torch", "onnx", "onnx-int8")
LEXICON = "the a film was it great awful story and so with really plot scene music they funny dull ending you"


def main() -> None:
    """Measure and write."""
    words = argparse.ArgumentParser()
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--models", nargs="+", default=["mitr-dnet", "mitr-dnet-plus"])
    words.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    words.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    words.add_argument("--calls", type=int, default=300, help="single clips")
    words.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 64], help="clips a batch")
    words.add_argument("--clips", type=int, default=512, help="for each throughput")
    chosen = words.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for model in chosen.models:
            with context.Pool(1) as pool:
                prepared = pool.apply(prepare, (model, Path(place)))
            for engine in chosen.engines:
                about = (engine, Path(place) / model, chosen.threads, chosen.calls, chosen.batches, chosen.clips)
                with context.Pool(1) as pool:
                    found = pool.apply(measured, about)
                rows.append({"model": model, "engine": engine, "export_seconds": prepared} | found)
                print(json.dumps(rows[-1]), flush=True)
    report = {"machine": machine(), "threads": chosen.threads, "inference": rows}
    write_json(chosen.out, report)


def prepare(model: str, place: Path) -> float:
    """Train a run for an epoch, export it twice; seconds of the first export."""
    from mitr.api import train
    from mitr.export.exporting import export_onnx
    from mitr.runs.config import ModelConfig, RunConfig

    config = RunConfig()
    config.model, config.train.max_epochs, config.text.finetune = ModelConfig(model), 1, False
    run = train(held(clips(48)), place / model, config, quiet=True, calibrate=False)
    start = time.perf_counter()
    export_onnx(run)
    seconds = time.perf_counter() - start
    export_onnx(run, run.folder / "int8", int8_text=True)
    return round(seconds, 1)


def measured(engine: str, run: Path, threads: int, calls: int, batches: Sequence[int], count: int) -> dict[str, Any]:
    """One engine of one run, in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    speed = yardstick()
    start = time.perf_counter()
    answer = answering(engine, run, threads)
    loading = time.perf_counter() - start
    made = clips(calls + 20, seed=1)
    seconds = []
    for i, clip in enumerate(made):
        if i == 20:
            before = time.process_time()
        start = time.perf_counter()
        answer([clip], 1)
        seconds.append(time.perf_counter() - start)
    work = (time.process_time() - before) / calls
    p50, p99 = np.percentile(seconds[20:], [50, 99])
    return {
        "yardstick": round(speed, 1),
        "loading_seconds": round(loading, 2),
        "p50_ms": round(1e3 * p50, 2),
        "p99_ms": round(1e3 * p99, 2),
        "best_ms": round(1e3 * min(seconds), 2),
        "cpu_ms": round(1e3 * work, 2),
        "p50_units": round(p50 * speed, 2),
        "throughput": [throughput(answer, size, count, speed) for size in batches],
    }


def throughput(answer: Any, size: int, count: int, speed: float) -> dict[str, Any]:
    """Clips a second in batches of a size, the better of two passes."""
    made = clips(count, seed=2)
    answer(clips(size, seed=3), size)  # the first batch of a size finds its memory
    taken, work = [], []
    for i in range(2):
        start, before = time.perf_counter(), time.process_time()
        answer(made[i * count // 2 : (i + 1) * count // 2], size)
        taken.append((time.perf_counter() - start) / (count // 2))
        work.append((time.process_time() - before) / (count // 2))
    return {
        "batch": size,
        "clips_per_second": round(1 / min(taken), 1),
        "cpu_ms_per_clip": round(1e3 * min(work), 2),
        "units_per_clip": round(min(taken) * speed, 3),
    }


def answering(engine: str, folder: Path, threads: int) -> Any:
    """(clips, batch size) -> predictions; loading counts, since it is what a command waits for."""
    if engine != "torch":
        from mitr.export.engine import OnnxEngine

        return OnnxEngine(folder / ("onnx" if engine == "onnx" else "int8"), threads).predict
    import torch

    from mitr.batches.sampler import LengthSortedBatches
    from mitr.runs.run import Run

    run = Run(folder)
    network = run.load_network()
    torch.set_num_threads(threads)  # opening a network sets them

    def answer(clips: Sequence[Any], size: int) -> list[Any]:
        examples = run.examples(held(clips), "test", network)
        found = []
        with torch.inference_mode():
            for positions in LengthSortedBatches(examples.costs(), size):
                found.append(network(examples.collate([examples[p] for p in positions]).view).label.tolist())
        return found

    return answer


def clips(count: int, seed: int = 0) -> list[Any]:
    """Made clips of about the same length, no two texts alike."""
    from mitr.data.store import Sample

    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        length = SECONDS * random.uniform(0.8, 1.2)
        features = {
            m: random.standard_normal((round(rate * length), COLUMNS[m]), np.float32) for m, rate in RATES.items()
        }
        text = " ".join(random.choice(LEXICON.split(), round(WORDS * length / SECONDS)))
        split = "test" if seed else ("train", "valid")[i % 2]
        made.append(Sample(str(i), split, float(random.uniform(-3, 3)), text, features))
    return made


def held(samples: Sequence[Any]) -> Any:
    """The clips as a data set in memory."""
    from mitr.data.held import HeldDataset
    from mitr.data.schema import DatasetInfo, Modality, Source

    modalities = {"text": Modality("raw")} | {m: Modality("features", columns) for m, columns in COLUMNS.items()}
    return HeldDataset(samples, DatasetInfo("made", (-3.0, 3.0), modalities, Source("made", "made")))


if __name__ == "__main__":
    main()
