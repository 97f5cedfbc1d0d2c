"""Intervals of a run are made once, belong to its weights, and allow for clips of one video being alike."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made import options
from mitr.api import train
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation import calibrating
from mitr.evaluation.calibrating import calibrated, level_across_videos
from mitr.evaluation.conformal import Conformal
from mitr.runs.run import Run


@pytest.fixture(scope="module")
def run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small, tmp_path_factory.mktemp("runs") / "run", options(1), quiet=True)


def test_made_once_and_read_again(run: Run, small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = calibrated(run, 0.8, data=small)
    assert found.clips == 24
    assert found.level == 0.8  # the synthetic ids name no videos
    monkeypatch.setattr(calibrating, "predict_under", None)  # nothing may be predicted again
    assert calibrated(run, 0.8) == found


def test_other_weights_or_another_level_need_others(run: Run, small: Dataset, tmp_path: Path) -> None:
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    calibrated(copy, 0.8, data=small)
    before = json.loads((copy.folder / "conformal.json").read_text())
    calibrated(copy, 0.7, data=small)
    after = json.loads((copy.folder / "conformal.json").read_text())
    assert (before["level"], after["level"]) == (0.8, 0.7)
    after["model"] = "other weights"
    after["intervals"]["nothing"] = 123.0
    (copy.folder / "conformal.json").write_text(json.dumps(after))
    assert calibrated(copy, 0.7, data=small).nothing < 123.0


def test_other_data_and_untrained_runs_are_refused(run: Run, emotions: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="is not the data set of"):
        calibrated(run, 0.85, data=emotions)
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    (copy.folder / "model.safetensors").unlink()
    with pytest.raises(MitrError, match="has no model yet"):
        calibrated(copy, 0.85)


def predictions(videos: int, alike: float, seed: int = 0, separator: str = "$_$") -> pd.DataFrame:
    """20 clips a video whose errors have a part in common, as large as `alike`."""
    generator = np.random.default_rng(seed)
    common = np.repeat(alike * generator.normal(size=videos), 20)
    error = common + generator.normal(size=20 * videos)
    ids = [f"v{i // 20}{separator}{i}" for i in range(20 * videos)]
    about = {"id": ids, "label": error, "prediction": 0.0, "observed_text": 1.0, "observed_audio": 0.0}
    return pd.DataFrame(about)


def test_clips_that_are_alike_raise_the_level() -> None:
    raised = [level_across_videos(predictions(8, 2.0, seed), 0.9) for seed in range(12)]
    plain = [level_across_videos(predictions(8, 0.0, seed), 0.9) for seed in range(12)]
    assert np.mean(raised) > np.mean(plain) + 0.01
    assert min(raised + plain) >= 0.9
    assert max(plain) < 0.95


def test_with_the_raised_level_other_videos_are_covered() -> None:
    plain, allowing = [], []
    for seed in range(40):
        table, new = predictions(8, 2.0, seed), predictions(30, 2.0, 1000 + seed)
        plain.append(Conformal.fit(table, 0.9).coverage(new))
        allowing.append(Conformal.fit(table, level_across_videos(table, 0.9)).coverage(new))
    assert np.mean(plain) < 0.88
    assert np.mean(plain) + 0.01 < np.mean(allowing) < 0.93


def test_without_videos_the_level_stands() -> None:
    assert level_across_videos(predictions(8, 2.0, separator="-"), 0.9) == 0.9
    assert level_across_videos(predictions(4, 2.0), 0.9) == 0.9


def test_a_level_that_the_videos_cannot_reach_stays_attainable() -> None:
    table = predictions(5, 9.0)  # parts of 80 clips attain at most 80 / 81
    assert 0.9 < level_across_videos(table, 0.9) <= 80 / 81
