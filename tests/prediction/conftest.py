"""A run that answers, and clips to ask it about."""

from pathlib import Path

import numpy as np
import pytest

from made_clips import tone
from made_talks import WORDS, face_at, talk
from mitr.media.cache import Cache
from mitr.prediction.answer import Prediction
from mitr.prediction.predictor import Predictor
from mitr.runs.run import Run


@pytest.fixture(scope="session")
def predictor(talks_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(talks_run, cache=Cache(tmp_path_factory.mktemp("predict") / "cache"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a smiling face that speaks."""
    return talk(tmp_path_factory.mktemp("predict") / "clip.mp4", 2.0, 2.0)


@pytest.fixture(scope="session")
def whole(predictor: Predictor, clip: Path) -> Prediction:
    return predictor.predict(clip, text=WORDS)


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: a face until 4 s, words in two cues, a pause between 2.4 and 3.6 s."""

    def pictures(time: float) -> np.ndarray:
        return face_at(time, 2.0) if time < 4 else np.full((240, 320, 3), int(90 + 20 * time) % 256, np.uint8)

    def sound(times: np.ndarray) -> np.ndarray:
        return np.where((times > 2.4) & (times < 3.6), 0, tone(times, 200.0))

    folder = tmp_path_factory.mktemp("long")
    path = talk(folder / "long.mp4", 2.0, 6.0, picture=pictures, sound=sound)
    first = "1\n00:00:00,200 --> 00:00:02,300\nI loved this film\n"
    second = "2\n00:00:03,700 --> 00:00:05,900\nbut the end is bad\n"
    (folder / "long.srt").write_text(f"{first}\n{second}")
    return path
