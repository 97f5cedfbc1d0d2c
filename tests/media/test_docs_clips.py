"""The extractor of docs/clips.md is one, from a folder of clips to an answer."""

import importlib
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import options
from made_clips import tone, write_clip
from mitr.api import train
from mitr.data.store import Dataset
from mitr.media.cache import Cache
from mitr.media.dataset.extracting import extract
from mitr.media.options import FeatureConfig, MediaConfig
from mitr.prediction.predictor import Predictor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clips.md"


def folder_of(place: Path) -> Path:
    """Tones, whose loudness is the label."""
    (place / "Raw" / "v").mkdir(parents=True)
    rows = []
    for i in range(24):
        label = float(i % 5 - 2)
        write_clip(place / "Raw" / "v" / f"{i}.wav", 0.5, picture=None, sound=partial(tone, level=0.05 * (label + 3)))
        mode = "train" if i < 10 else "valid"
        rows.append({"video_id": "v", "clip_id": str(i), "text": "", "label": label, "mode": mode})
    pd.DataFrame(rows).to_csv(place / "label.csv", index=False)
    return place


def test_the_example_extracts_trains_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = dict(re.findall(r"<!-- tested: (.*?) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert list(blocks) == ["loudness.py"]
    (tmp_path / "loudness.py").write_text(blocks["loudness.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    config = MediaConfig(features=FeatureConfig(audio="loudness:LOUDNESS", vision="none"))
    found = extract(folder_of(tmp_path / "clips"), tmp_path / "data", config, jobs=1, cache=tmp_path / "c", quiet=True)
    assert found.broken == {}
    data = Dataset(tmp_path / "data")
    assert data.info.modalities["audio"].dim == 3
    assert data.lengths["audio"].tolist() == [5] * 24
    quiet, loud = (np.mean(data.features("audio", row), axis=0) for row in (0, 4))
    assert (loud > quiet).all()
    run = train(data, tmp_path / "run", options(1), quiet=True)
    answer = Predictor(run, cache=Cache(tmp_path / "c")).predict(tmp_path / "clips" / "Raw" / "v" / "0.wav")
    assert answer.observed == {"audio": 1.0}
    sys.modules.pop("loudness")
    importlib.invalidate_caches()
