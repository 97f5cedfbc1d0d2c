"""The front door: its types, what it calibrates, and that it is light to open."""

import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api as mypy

import mitr
from made import options, run_files
from mitr.api import TrainedRun
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.calibrating import FILE

USED = """
import mitr
reveal_type(mitr.load("run"))
reveal_type(mitr.load("run").predict("clip.mp4"))
reveal_type(mitr.train("data", "run"))
reveal_type(mitr.evaluate("run"))
reveal_type(mitr.open_dataset("data"))
mitr.load("run").predict("clip.mp4", explian=True)
"""
TYPES = ["mitr.api.TrainedRun", "mitr.prediction.answer.Prediction", "mitr.api.TrainedRun"]
TYPES += ["mitr.bench.evaluate.Evaluation", "mitr.data.store.Dataset"]


def test_the_front_door_is_typed(tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text(USED)
    configured = str(Path(__file__).parents[1] / "pyproject.toml")
    told, _, _ = mypy.run([str(tmp_path / "used.py"), "--config-file", configured, "--follow-imports", "silent"])
    lines = [line for line in told.splitlines() if "Revealed type" in line]
    assert [line.rpartition('"')[0].rpartition('"')[2] for line in lines] == TYPES
    assert 'Unexpected keyword argument "explian"' in told


def test_all_names_are_there_and_no_others() -> None:
    for name in mitr.__all__:
        assert getattr(mitr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        mitr.fit  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mitr; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0


def test_training_calibrates_unless_told_not_to(small: Dataset, tmp_path: Path) -> None:
    run = mitr.train(small, tmp_path / "run", options(1), quiet=True)
    assert isinstance(run, TrainedRun)
    assert FILE in run_files(run.folder)
    plain = mitr.train(small, tmp_path / "plain", options(1), quiet=True, calibrate=False)
    assert FILE not in run_files(plain.folder)
    assert mitr.resume(plain.folder, quiet=True).finished
    assert FILE not in run_files(plain.folder)  # it had finished, so nothing was done
    assert "mitr-dnet on synthetic, trained" in repr(mitr.load(plain.folder))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="is not a mitr run"):
        mitr.load(tmp_path)
