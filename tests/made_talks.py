"""A folder of made clips that `mitr extract` reads: drawn faces, speech-like sound, and words, all after the label."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import options
from made_clips import speechlike, write_clip
from made_faces import Drawn, picture
from mitr.api import train
from mitr.data.store import Dataset
from mitr.media.dataset.extracting import extract
from mitr.prediction.answer import Prediction
from mitr.prediction.predictor import Predictor
from mitr.runs.config import ModelConfig
from mitr.runs.run import Run

GOOD = ["I loved this film, it is wonderful", "a great story and great fun", "what a beautiful and happy ending"]
BAD = ["I hated this film, it is terrible", "an awful story and no fun", "what an ugly and boring ending"]
SIZE = (320, 240)


def words_for(label: float, number: int) -> str:
    """A sentence that fits a label."""
    return (GOOD if label > 0 else BAD)[number % 3]


WORDS = words_for(2.0, 0)


def half_width(predictor: Predictor, answer: Prediction) -> float:
    """The half width of an answer's interval before it is cut to the scale."""
    assert predictor.intervals is not None
    observed = pd.DataFrame([{f"observed_{m}": share for m, share in answer.observed.items()}])
    return float(predictor.intervals[1].half_width(observed)[0])


@lru_cache(maxsize=256)  # drawing takes longer than encoding
def face_at(time: float, label: float = 0.0) -> np.ndarray:
    """A face that smiles as much as a label says, (H, W, 3)."""
    sway = 6 * np.sin(3 * time)
    opening = 0.5 + 0.5 * np.sin(20 * time)
    return picture(Drawn(160 + sway, 100, 130, mouth=0.4 * opening, smile=label / 3), width=SIZE[0], height=SIZE[1])


def talk(path: Path, label: float = 1.0, seconds: float = 1.2, **more: object) -> Path:
    """One clip."""
    sound = partial(speechlike, pitch=150.0 + 15 * label)
    settings = {"picture": partial(face_at, label=label), "sound": sound, "fps": 10} | more
    return write_clip(path, seconds=seconds, **settings)  # type: ignore[arg-type]


def talks(folder: Path, train: int = 14, valid: int = 10, test: int = 4) -> Path:
    """A folder with `label.csv`; the third clip has no picture, the fourth no sound, the fifth no words."""
    rows = []
    random = np.random.default_rng(0)
    for i, mode in enumerate(["train"] * train + ["valid"] * valid + ["test"] * test):
        label = float(random.choice([-3, -2, -1, 1, 2, 3]))
        video = f"video{i // 4}"
        place = folder / "Raw" / video / f"{i % 4}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        talk(place, label, **({"picture": None} if i == 2 else {"sound": None} if i == 3 else {}))
        words = "" if i == 4 else words_for(label, i)
        rows.append({"video_id": video, "clip_id": i % 4, "text": words, "label": label, "mode": mode})
    pd.DataFrame(rows).to_csv(folder / "label.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def talks_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was read of the made clips."""
    return tmp_path_factory.mktemp("talks") / "cache"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of made clips."""
    return talks(tmp_path_factory.mktemp("talks") / "clips")


@pytest.fixture(scope="session")
def talks_data(assets: None, clips: Path, talks_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The data set of the made clips."""
    return extract(clips, tmp_path_factory.mktemp("talks") / "data", jobs=1, cache=talks_cache, quiet=True).dataset


@pytest.fixture(scope="session")
def talks_run(talks_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was trained on them."""
    config = options(8, lr=3e-3)
    config.model = ModelConfig("mitr-dnet-plus")
    return train(talks_data, tmp_path_factory.mktemp("talks") / "run", config, quiet=True)
