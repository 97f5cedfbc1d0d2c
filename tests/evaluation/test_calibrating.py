"""Intervals of a run are made once, belong to its weights, and may have clips of their own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from made import options
from mitr.api import train
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation import calibrating
from mitr.evaluation.calibrating import calibrate_if_possible, calibrated, calibration_rows, can_calibrate, carried
from mitr.evaluation.conformal import Conformal
from mitr.evaluation.curves import Curves
from mitr.runs.run import Run

OLDER = Path(__file__).parent / "older" / "conformal_format1.json"


@pytest.fixture(scope="module")
def run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small, tmp_path_factory.mktemp("runs") / "run", options(1), quiet=True)


def test_made_once_and_read_again(run: Run, small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = calibrated(run, 0.8, data=small)
    assert (found.level, found.clips, found.divisions[0].ranked) == (0.8, 24, 20)
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
    after["intervals"]["divisions"][0]["base"] = 123.0
    (copy.folder / "conformal.json").write_text(json.dumps(after))
    assert calibrated(copy, 0.7, data=small).divisions[0].base < 123.0


def test_other_data_and_untrained_runs_are_refused(run: Run, emotions: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="is not the data set of"):
        calibrated(run, 0.85, data=emotions)
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    (copy.folder / "model.safetensors").unlink()
    with pytest.raises(MitrError, match="has no model yet"):
        calibrated(copy, 0.85)


def test_those_of_an_older_version_answer_until_they_are_made_again(run: Run, small: Dataset, tmp_path: Path) -> None:
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    calibrated(copy, 0.9, data=small)
    path = copy.folder / "conformal.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(kept | {"intervals": json.loads(OLDER.read_text(encoding="utf-8"))}), encoding="utf-8")
    kept_intervals = carried(copy)
    assert kept_intervals is not None
    assert kept_intervals[0] == 0.9
    assert isinstance(kept_intervals[1], Curves)
    assert isinstance(calibrated(copy, 0.9, data=small), Conformal)
    assert json.loads(path.read_text(encoding="utf-8")) == kept


def test_clips_that_took_no_part_in_stopping_calibrate_alone(small: Dataset, tmp_path: Path) -> None:
    held_out = train(small, tmp_path / "run", options(1, calibration_share=0.5), quiet=True)
    assert carried(held_out) is not None
    assert (calibrated(held_out).clips, calibrated(held_out).divisions[0].ranked) == (12, 12)
    rows = calibration_rows(held_out, small)
    assert len(rows) == 12
    assert set(rows) < set(small.indices("valid"))
    assert "without the 50% of it that calibrate intervals" in held_out.info.selection
    few = train(small, tmp_path / "few", options(1, calibration_share=0.25), quiet=True)
    assert not can_calibrate(few, small)
    assert calibrate_if_possible(few, small) is None
    assert carried(few) is None


def test_a_run_calibrates_on_the_same_clips_with_its_own_division(run: Run, small: Dataset) -> None:
    np.testing.assert_array_equal(calibration_rows(run, small), small.indices("valid"))
