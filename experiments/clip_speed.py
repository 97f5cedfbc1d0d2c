"""What reading and answering costs: `python experiments/clip_speed.py CLIPS --out docs/results/clips.json`.

CLIPS is a folder that `mitr extract` reads. Every stage of every clip is timed in a process of its own, alone and after
the first call has compiled what it compiles (the best of three); memory is the process's highest.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPEATS = 3


def main() -> None:
    """Measure and write."""
    words = argparse.ArgumentParser()
    words.add_argument("clips", type=Path)
    words.add_argument("--out", type=Path, required=True)
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run = trained(chosen.clips, Path(place))
        files = sorted(path for path in (chosen.clips / "Raw").rglob("*.mp4"))
        context = multiprocessing.get_context("spawn")
        found = []
        for number, path in enumerate(files, start=1):
            with context.Pool(1) as pool:
                found.append({"clip": number} | pool.apply(measured, (path, run)))
            print(found[-1])
        start = time.perf_counter()
        command = [sys.executable, "-m", "mitr", "predict", str(run), str(files[0]), "--text", "well"]
        subprocess.run([*command, "--cache", f"{place}/other"], check=True)
        whole = time.perf_counter() - start
    chosen.out.write_text(json.dumps({"clips": found, "command_seconds": whole}, indent=1) + "\n", encoding="utf-8")


def trained(clips: Path, place: Path) -> Path:
    """A run on the features of the clips, in which all clips train and validate: its answers are worth nothing."""
    import pandas as pd

    from mitr.config import RunConfig
    from mitr.data.label_csv import read_labelled
    from mitr.media.extracting import extract
    from mitr.training.run import train

    ids = read_labelled(clips / "label.csv").ids
    modes = ["valid" if i % 2 else "train" for i in range(len(ids))]
    pd.DataFrame({"id": ids, "mode": modes}).to_csv(place / "splits.csv", index=False)
    data = extract(clips, place / "data", splits=place / "splits.csv", cache=place / "cache", jobs=1).dataset
    config = RunConfig()
    config.train.max_epochs, config.train.device = 1, "cpu"
    return train(data, place / "run", config, quiet=True).folder


def measured(path: Path, run: Path) -> dict[str, Any]:
    """Milliseconds of each stage per second of the clip, and the process's highest memory."""
    from mitr.media.cache import Cache
    from mitr.media.decode import audio_of, frames_of, open_clip
    from mitr.media.registry import extractor_of
    from mitr.prediction.predictor import Predictor

    clip = open_clip(path)

    class Held(list):
        rate, fps = 16000, 10.0

    sound, pictures = Held(audio_of(clip)), Held(frames_of(clip))
    predictor = Predictor(run, cache=Cache(tempfile.mkdtemp()))
    predictor.predict(path, text="well")
    stages: dict[str, Callable[[], object]] = {
        "decode audio": lambda: list(audio_of(open_clip(path))),
        "sims33": lambda: extractor_of("sims33").extract(Held(sound)),
        "decode video": lambda: list(frames_of(open_clip(path))),
        "face": lambda: extractor_of("face").extract(Held(pictures)),
        "text and network": lambda: predictor.predict(path, text="well I do not know about that"),
    }
    times = {name: best(stage) / clip.seconds for name, stage in stages.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name in ("egemaps", "compare"):
        times[name] = best(lambda name=name: extractor_of(name).extract(Held(sound))) / clip.seconds
    chain = ["decode audio", "sims33", "decode video", "face", "text and network"]
    faces = predictor.predict(path, text="well").observed["vision"]
    return {
        "seconds": round(clip.seconds, 2),
        "milliseconds_per_second": {name: round(1000 * value, 1) for name, value in times.items()},
        "chain": round(1000 * sum(times[name] for name in chain), 1),
        "observed_vision": faces,
        "peak_mb": round(peak),
    }


def best(stage: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls, after one that is not counted."""
    stage()
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        stage()
        found.append(time.perf_counter() - start)
    return min(found)


if __name__ == "__main__":
    main()
