"""The same clip otherwise: `python experiments/clip_variants.py CLIPS --out docs/results/clip_variants.json`.

A run is trained on made clips (drawn faces, speech-like sound, little sentences). The real clips in CLIPS are then
written anew without sound, without pictures, cut, turned, at another frame rate and in other containers, and answered.
The run knows nothing of people, so its answers mean nothing; how far they move does. `--picture PNG` draws a timeline.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_clips import moving_squares, speechlike, write_clip
from made_talks import face_at, talk, talks
from mitr.files import write_json

CLIPS = {"train": 96, "valid": 40, "test": 0}
TEXT = "well I do not know about that"


def main() -> None:
    """Train, answer, write."""
    words = argparse.ArgumentParser()
    words.add_argument("clips", type=Path)
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--picture", type=Path)
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run, about = trained(place)
        predictor = predictor_of(run, place)
        files = sorted((chosen.clips / "Raw").rglob("*.mp4"))
        rows = [answered(predictor, path, i, place) for i, path in enumerate(files, start=1)]
        about["example"] = example(predictor, place)
        if chosen.picture:
            timeline(predictor, place, chosen.picture)
    write_json(chosen.out, about | {"clips": rows})


def trained(place: Path) -> tuple[Path, dict[str, Any]]:
    """A run on made clips, and what it says of its validation split."""
    from mitr.api import train
    from mitr.media.dataset.extracting import extract
    from mitr.runs.config import ModelConfig, RunConfig

    (place / "clips").mkdir()
    data = extract(talks(place / "clips", **CLIPS), place / "data", cache=place / "cache").dataset
    config = RunConfig()
    config.model, config.text.finetune = ModelConfig("mitr-dnet-plus"), False
    config.train.max_epochs, config.train.lr, config.train.device = 30, 2e-3, "cpu"
    run = train(data, place / "run", config, quiet=True)
    return run.folder, {"made_clips": CLIPS, "validation_mae": run.outcome.best}


def predictor_of(run: Path, place: Path) -> Any:
    """The run, with a cache of its own."""
    from mitr.media.cache import Cache
    from mitr.prediction.predictor import Predictor

    return Predictor(run, cache=Cache(place / "cache"))


def answered(predictor: Any, path: Path, number: int, place: Path) -> dict[str, Any]:
    """A real clip and its variants: score, band, what was observed, what was said to be missing."""
    found = {"as it is": described(predictor.predict(path, text=TEXT))}
    found["without its words"] = described(predictor.predict(path))
    for name, change in VARIANTS.items():
        variant = change(path, place / f"{number}-{len(found)}")
        found[name] = described(predictor.predict(variant, text=TEXT))
    return {"clip": number, "variants": found}


def described(answer: Any) -> dict[str, Any]:
    """What the page shows of an answer."""
    return {
        "sentiment": answer.sentiment,
        "low": answer.low,
        "high": answer.high,
        "observed": answer.observed,
        "missing": {m: sorted({span.reason for span in spans}) for m, spans in answer.missing.items()},
    }


def rewritten(path: Path, out: Path, suffix: str, **changes: Any) -> Path:
    """The clip decoded and encoded again."""
    from mitr.media.audio.sound import audio_of
    from mitr.media.files.opening import open_clip
    from mitr.media.video.pictures import frames_of

    clip = open_clip(path)
    rate = changes.pop("fps", 25)
    frames = [frame.image for frame in frames_of(clip, rate, 1280)]
    sound = np.concatenate(list(audio_of(clip)))
    seconds = changes.pop("seconds", clip.seconds)

    def picture(time: float) -> np.ndarray:
        shown = frames[min(int(time * rate + 1e-6), len(frames) - 1)]
        assert shown is not None, "a frame without a picture"
        return shown[: len(shown) // 2 * 2, : shown.shape[1] // 2 * 2]

    def heard(times: np.ndarray) -> np.ndarray:
        return np.interp(times, np.arange(len(sound)) / 16000, sound, right=0.0)

    parts: dict[str, Any] = {"picture": picture, "sound": heard, "audio_rate": 16000, "layout": "mono"} | changes
    return write_clip(out.with_suffix(suffix), seconds=seconds, fps=rate, **parts)


def half(path: Path, out: Path) -> Path:
    """The first half."""
    from mitr.media.files.opening import open_clip

    return rewritten(path, out, ".mp4", seconds=open_clip(path).seconds / 2)


VARIANTS: dict[str, Callable[[Path, Path], Path]] = {
    "without its sound": partial(rewritten, suffix=".mp4", sound=None),
    "without its pictures": partial(rewritten, suffix=".wav", picture=None),
    "cut in half": half,
    "encoded again, mp4": partial(rewritten, suffix=".mp4"),
    "encoded again, webm": partial(rewritten, suffix=".webm", video_bits=2_000_000),
    "encoded again, webm at 0.2 Mbit/s": partial(rewritten, suffix=".webm", video_bits=200_000),
    "encoded again, mkv": partial(rewritten, suffix=".mkv"),
    "turned by 90 degrees": partial(rewritten, suffix=".mp4", rotation=90),
    "12 pictures a second": partial(rewritten, suffix=".mp4", fps=12),
}


def example(predictor: Any, place: Path) -> str:
    """What the command line prints of a made clip with a gap in its sound and one in its pictures (README)."""

    def pictures(time: float) -> np.ndarray:
        return moving_squares(time, (320, 240)) if 2.05 < time < 2.95 else face_at(round(time, 1), 1.0)

    def sound(times: np.ndarray) -> np.ndarray:
        return np.where((times > 4) & (times < 4.9), 0, speechlike(times, pitch=165.0))

    clip = talk(place / "new.mp4", 1.0, 6.0, picture=pictures, sound=sound)
    answer = predictor.predict(clip, text="I loved this film, it is wonderful")
    answer.file = clip.name
    return str(answer)


def timeline(predictor: Any, place: Path, path: Path) -> None:
    """Half a minute of a made face whose mood turns, with a gap in each modality."""
    from mitr.report.timeline import picture

    def mood(time: float) -> float:
        return float(np.round(3 * np.cos(2 * np.pi * time / 26), 0))

    def pictures(time: float) -> np.ndarray:
        return moving_squares(time, (320, 240)) if 7 < time < 10.5 else face_at(round(time, 1), mood(time))

    def sound(times: np.ndarray) -> np.ndarray:
        parts = [speechlike(times, pitch=150.0 + 15 * m) for m in (2.0, -2.0)]
        heard = np.where((times < 7) | (times > 20), parts[0], parts[1])
        return np.where((times > 20.5) & (times < 24), 0, heard)

    story = talk(place / "story.mp4", 0.0, 30.0, picture=pictures, sound=sound)
    cues = (
        (0.2, 3.0, "I loved this film, it is wonderful"),
        (3.1, 6.0, "a great story and great fun"),
        (9.2, 11.8, "what an ugly and boring ending"),
        (12.1, 15.0, "I hated this film, it is terrible"),
        (24.2, 27.0, "what a beautiful and happy ending"),
        (27.1, 29.8, "a great story and great fun"),
    )
    lines = ["WEBVTT", *(f"\n00:{a:06.3f} --> 00:{b:06.3f}\n{text}" for a, b, text in cues)]
    story.with_suffix(".vtt").write_text("\n".join(lines) + "\n")
    picture(predictor.predict(story, segments="windows", window=3.0), path)


if __name__ == "__main__":
    main()
