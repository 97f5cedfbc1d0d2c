"""What reading and answering costs: `python experiments/clip_speed.py CLIPS --out docs/results/clips.json`.

CLIPS is a folder that `mitr extract` reads. Every stage of every clip is timed in a process of its own, alone and after
the first call has compiled what it compiles (the best of three); memory is the process's highest. A long clip is made
(a drawn face, speech-like sound) and answered in windows, once, from nothing to its last segment.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from harness import peak_mb
from yardstick import best

from made_talks import face_at, talk
from mitr.files import write_json

REPEATS = 3
LONG = 300.0  # seconds


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
        with context.Pool(1) as pool:
            long = pool.apply(in_windows, (made_long(Path(place)), run))
        print(long)
        found = []
        for number, path in enumerate(files, start=1):
            with context.Pool(1) as pool:
                found.append({"clip": number} | pool.apply(measured, (path, run)))
            print(found[-1])
        start = time.perf_counter()
        command = [sys.executable, "-m", "mitr", "predict", str(run), str(files[0]), "--text", "well"]
        subprocess.run([*command, "--cache", f"{place}/other"], check=True)
        whole = time.perf_counter() - start
    results = {"clips": found, "long": long, "command_seconds": round(whole, 2)}
    write_json(chosen.out, results)


def trained(clips: Path, place: Path) -> Path:
    """A run on the features of the clips, in which all clips train and validate: its answers are worth nothing."""
    import pandas as pd

    from mitr.api import train
    from mitr.data.label_csv import read_labelled
    from mitr.media.dataset.extracting import extract
    from mitr.runs.config import RunConfig

    ids = read_labelled(clips / "label.csv").ids
    modes = ["valid" if i % 2 else "train" for i in range(len(ids))]
    pd.DataFrame({"id": ids, "mode": modes}).to_csv(place / "splits.csv", index=False)
    data = extract(clips, place / "data", splits=place / "splits.csv", cache=place / "cache", jobs=1).dataset
    config = RunConfig()
    config.train.max_epochs, config.train.device = 1, "cpu"
    return train(data, place / "run", config, quiet=True).folder


def measured(path: Path, run: Path) -> dict[str, Any]:
    """Milliseconds of each stage per second of the clip, and the process's highest memory."""
    from mitr.media.audio.sound import audio_of
    from mitr.media.cache import Cache
    from mitr.media.files.opening import open_clip
    from mitr.media.registry import extractor_of
    from mitr.media.video.pictures import frames_of
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
    times = {name: best(stage, REPEATS) / clip.seconds for name, stage in stages.items()}
    peak = peak_mb()
    others: dict[str, Callable[[], object]] = {
        "egemaps": lambda: extractor_of("egemaps").extract(Held(sound)),
        "compare": lambda: extractor_of("compare").extract(Held(sound)),
    }
    times |= {name: best(stage, REPEATS) / clip.seconds for name, stage in others.items()}
    chain = ["decode audio", "sims33", "decode video", "face", "text and network"]
    faces = predictor.predict(path, text="well").observed["vision"]
    return {
        "seconds": round(clip.seconds, 2),
        "milliseconds_per_second": {name: round(1000 * value, 1) for name, value in times.items()},
        "chain": round(1000 * sum(times[name] for name in chain), 1),
        "observed_vision": faces,
        "peak_mb": peak,
    }


def made_long(place: Path) -> Path:
    """Minutes of a drawn face that speaks."""
    return talk(place / "long.mp4", seconds=LONG, picture=lambda time: face_at(round(time % 10, 1), 1.0))


def in_windows(path: Path, run: Path) -> dict[str, Any]:
    """Seconds and memory of an answer in windows of 10 s, nothing being known of the clip before."""
    from mitr.media.cache import Cache
    from mitr.prediction.predictor import Predictor

    predictor = Predictor(run, cache=Cache(tempfile.mkdtemp()))
    start = time.perf_counter()
    answer = predictor.predict(path, text="well", segments="windows")
    seconds = time.perf_counter() - start
    again = time.perf_counter()
    predictor.predict(path, text="well", segments="windows")
    return {
        "seconds": round(answer.stop, 2),
        "segments": len(answer.segments),
        "milliseconds_per_second": round(1000 * seconds / answer.stop, 1),
        "milliseconds_per_second_known": round(1000 * (time.perf_counter() - again) / answer.stop, 1),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    main()
