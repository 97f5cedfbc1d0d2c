"""Import, opening, reading and training on sets of CMU-MOSEI's shape: `python benchmarks/data.py --out FILE [--quick]`.

Every figure is taken in a process of its own, whose memory is sampled from outside: `private` is what the process
itself holds, `file` are pages of mapped files (its libraries among them), which the system takes back whenever it needs
room, `peak` is the most of both together. Times are in seconds and in yardstick units: seconds x GFLOP/s of a float32
matrix product, measured at the start.

    import    `mitr data import` of a pickle of 200 KB a sample
    open      the store, first with nothing of it in the system's cache, then again and again
    fit       the normalisation of the train split
    read      the train split once: shuffled, scaled, padded, masked
    train     `mitr train` for one epoch with LMF, the cheapest model, on text states 768 wide
    longest   steps of MITR-DNet on the longest samples there are, which is what its memory grows to
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_pickles import SAMPLES, write_made_store, write_pickle

Facts = dict[str, Any]
SIZES = (SAMPLES // 16, SAMPLES // 8, SAMPLES // 4, SAMPLES // 2, SAMPLES)
REPEATS = 9
INTERVAL = 0.004  # seconds between two looks at a process's memory
MEMORY = {"private": "RssAnon", "file": "RssFile", "peak": "VmHWM"}
GROWING = ("seconds", *(f"{name}_mb" for name in MEMORY))


def main() -> None:
    """Measure and write; with `--task`, be one of the processes that are measured."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--out", type=Path, help="the JSON file to write")
    words.add_argument("--samples", type=int, nargs="+", default=SIZES, help="sizes of the sets")
    words.add_argument("--only", nargs="+", default=list(TASKS), choices=list(TASKS), help="what to measure")
    words.add_argument("--quick", action="store_true", help="a tiny set and the first tasks, to see that it runs")
    words.add_argument("--scratch", type=Path, help="where to put 330 KB a sample; default: the temporary folder")
    words.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch, in train and longest")
    words.add_argument("--task", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    chosen = words.parse_args()
    if chosen.task:
        print(json.dumps(WORK[chosen.task[0]](Path(chosen.task[1]), chosen.threads)))
        return
    if chosen.quick:
        chosen.samples, chosen.only = (40,), list(TASKS)[:4]
    from yardstick import machine, yardstick

    about, speed = machine(), yardstick()
    rows: list[Facts] = []
    with tempfile.TemporaryDirectory(prefix="mitr-data-", dir=chosen.scratch) as scratch:
        for samples in sorted(chosen.samples):
            for row in measured(samples, Path(scratch), chosen.only, chosen.threads):
                row["units"] = float(f"{row['seconds'] * speed:.4g}")
                rows.append({"samples": samples} | row)
                print(json.dumps(rows[-1]), flush=True)
    found = {"machine": about, "yardstick": round(speed, 1), "data": rows, "slopes": growth(rows)}
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["slopes"], indent=1))


def measured(samples: int, scratch: Path, tasks: Sequence[str], threads: int) -> list[Facts]:
    """The rows of one size."""
    pickle, store = scratch / "made.pkl", scratch / "store"
    if "import" in tasks:
        write_pickle(pickle, samples)
    if set(tasks) - {"import"}:
        write_made_store(store, samples)
    rows = []
    for name in tasks:
        sizes = {"pickle_mb": mb(pickle.stat().st_size)} if name == "import" else {"store_mb": mb(size_of(store))}
        rows.append({"task": name} | watched(TASKS[name](scratch, threads)) | sizes)
    pickle.unlink(missing_ok=True)
    return rows


def watched(command: list[str]) -> Facts:
    """Run a command: its times, its peaks of memory in MB, and what its last line of output says.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        peaks = dict.fromkeys(MEMORY, 0.0)
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        while not done:
            now = memory(f"/proc/{process.pid}/status")
            peaks = {name: max(peak, now.get(name, 0.0)) for name, peak in peaks.items()}
            time.sleep(INTERVAL)
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        last = output.read().decode().strip().rpartition("\n")[2]
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    facts = {"seconds": round(seconds, 3), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3)}
    facts |= {f"{name}_mb": round(peak) for name, peak in peaks.items()}
    return facts | (json.loads(last) if last.startswith("{") else {})


def memory(status: str = "/proc/self/status") -> dict[str, float]:
    """What a process holds now, in MB, and its peak (Linux)."""
    try:
        text = Path(status).read_text()
    except OSError:
        return {}
    found = {name: re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE) for name, key in MEMORY.items()}
    return {name: int(match[1]) / 1024 for name, match in found.items() if match}


def growth(rows: list[Facts]) -> dict[str, Facts]:
    """Task -> what 1000 more samples cost, by least squares over the sizes."""
    slopes: dict[str, Facts] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        if len({row["samples"] for row in own}) > 1:
            thousands = [row["samples"] / 1000 for row in own]
            each = {key: np.polyfit(thousands, [row[key] for row in own], 1)[0] for key in GROWING}
            slopes[task] = {f"{key}_per_1000": round(float(slope), 4) for key, slope in each.items()}
    return slopes


def opening(folder: Path, threads: int) -> Facts:
    """Seconds to open a store: from the disk, again, and the best."""
    from mitr.data.store import Dataset

    forget(folder)
    seconds = [timed(lambda: Dataset(folder))[1] for _ in range(REPEATS)]
    return {"seconds": round(min(seconds), 4), "cold_seconds": round(seconds[0], 4)} | held()


def fitting(folder: Path, threads: int) -> Facts:
    """Seconds of `Normalizer.fit`, audio and vision."""
    from mitr.config import NormalizeConfig
    from mitr.data.normalize import Normalizer
    from mitr.data.store import Dataset

    data = Dataset(folder)
    return {"seconds": round(timed(lambda: Normalizer.fit(data, NormalizeConfig()))[1], 3)} | held()


def reading(folder: Path, threads: int) -> Facts:
    """Seconds of an epoch without a model, and what a batch of 32 takes of it."""
    import torch

    from mitr.batches.hiding import hide
    from mitr.config import MissingConfig
    from mitr.missing.schedules import for_epoch

    torch.set_num_threads(1)
    examples, batches = examples_of(folder)

    def epoch() -> None:
        masks = for_epoch(MissingConfig(), examples.extents(), 111, 0)
        for positions in batches:
            batch = examples.collate([examples[position] for position in positions])
            hide(batch.view, masks, batch.positions, examples.unknown)

    _, seconds = timed(epoch)
    return {"seconds": round(seconds, 3), "batch_milliseconds": round(1000 * seconds / len(batches), 3)} | held()


def stepping(folder: Path, threads: int) -> Facts:
    """Seconds of a training step of MITR-DNet on the 32 longest samples; and the 64 longest are predicted once."""
    import torch

    from mitr.batches.hiding import hide
    from mitr.batches.views import Targets
    from mitr.missing.schedules import for_epoch
    from mitr.models.mitr_dnet import MitrDNet
    from mitr.models.network import Network
    from mitr.runs.config import RunConfig

    torch.set_num_threads(threads)
    config = RunConfig()
    examples, batches = examples_of(folder)
    dims = {m: about.dim for m, about in examples.data.info.modalities.items() if about.dim}
    network = Network(MitrDNet(dims), special_tokens=True)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    masks = for_epoch(config.missing, examples.extents(), 111, 0)
    longest = np.argsort(-examples.costs(), kind="stable").tolist()

    def views(count: int) -> tuple[Any, Any]:
        batch = examples.collate([examples[position] for position in longest[:count]])
        return batch, hide(batch.view, masks, batch.positions, examples.unknown)

    def step() -> None:
        batch, hidden = views(batches.size)
        network(batch.view, hidden, Targets.plain(batch.labels)).total.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = min(timed(step)[1] for _ in range(3))
    with torch.inference_mode():
        network.eval()(views(2 * batches.size)[1])
    return {"seconds": round(seconds, 3)} | held()


def examples_of(folder: Path) -> tuple[Any, Any]:
    """The train split as training sees it, and its batches of 32."""
    from mitr.batches.examples import Examples
    from mitr.batches.sampler import LengthSortedBatches
    from mitr.config import NormalizeConfig
    from mitr.data.normalize import Normalizer
    from mitr.data.store import Dataset

    data = Dataset(folder)
    examples = Examples(data, data.indices("train"), Normalizer.fit(data, NormalizeConfig()), None)
    return examples, LengthSortedBatches(examples.costs(), 32, 111)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and its seconds."""
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def held() -> Facts:
    """What this process holds at its end, in MB."""
    return {f"{name}_at_end_mb": round(size) for name, size in memory().items() if name != "peak"}


def forget(folder: Path) -> None:
    """Put a folder's files out of the system's cache, where the system can."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.iterdir())


def mb(size: int) -> float:
    """Bytes as MB."""
    return round(size / 2**20, 1)


def mitr(*words: str) -> list[str]:
    """A command of mitr."""
    return [sys.executable, "-m", "mitr", *words]


def task(name: str) -> Callable[[Path, int], list[str]]:
    """The command that does one of the tasks of this file on the store."""
    return lambda scratch, threads: [
        *(sys.executable, __file__, "--task", name, str(scratch / "store"), "--threads", str(threads))
    ]


def importing(scratch: Path, threads: int) -> list[str]:
    """The command that imports the pickle."""
    place = str(scratch / "imported")
    return mitr("data", "import", str(scratch / "made.pkl"), "--out", place, "--text", "ids", "--overwrite")


def training(scratch: Path, threads: int) -> list[str]:
    """The command that trains for one epoch."""
    run = tempfile.mkdtemp(dir=scratch)
    words = ("--model.name", "lmf", "--train.max_epochs", "1", "--train.device", "cpu", "--train.threads", str(threads))
    return mitr("train", str(scratch / "store"), "--out", run, *words)


WORK = {"open": opening, "fit": fitting, "read": reading, "longest": stepping}
TASKS = {"import": importing, **{name: task(name) for name in ("open", "fit", "read")}, "train": training}
TASKS |= {"longest": task("longest")}

if __name__ == "__main__":
    main()
