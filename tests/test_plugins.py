"""Models of other packages: found by entry points and as `module:Class`, from every command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mitr.errors import MitrError
from mitr.plugins import Registry

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "mitr-tiny"
version = "1.0"

[project.entry-points."mitr.models"]
tiny = "mitr_tiny:Tiny"

[tool.setuptools]
py-modules = ["mitr_tiny"]
"""
MODULE = '''
from dataclasses import dataclass

import torch
from torch import nn

from mitr.models.base import Model
from mitr.models.options import ModelOptions, choice, weight
from mitr.nn.masked import masked_mean


@dataclass(frozen=True)
class TinyOptions(ModelOptions):
    """Two options.

    Args:
        bias: the last layer has a bias.
        loss_task_student: the error of the prediction.
    """

    bias: bool = choice(True)
    loss_task_student: float = weight(1.0)


class Tiny(Model[TinyOptions]):
    """One linear layer on what was observed."""

    options_class = TinyOptions

    def __init__(self, dims, options=None, task=None):
        super().__init__(dims, options, task)
        self.head = nn.Linear(sum(dims.values()), self.task.outputs, bias=self.options.bias)

    def forward(self, view):
        means = [masked_mean(view[m].values, view[m].available & view[m].valid) for m in self.dims]
        return self.score(self.head, torch.cat(means, dim=1))
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a distribution with a model is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    source, site = folder / "source", folder / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (source / "mitr_tiny.py").write_text(MODULE, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(site), str(source)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return site


def mitr(site: Path, *words: str, status: int = 0) -> str:
    """What a command prints, where the distribution is installed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "mitr", *words], capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == status, done.stderr[-3000:]
    return done.stdout + done.stderr


QUICK = ("--train.max_epochs", "1", "--train.threads", "1", "--train.device", "cpu", "--quiet")


@pytest.mark.parametrize("name", ["tiny", "mitr_tiny:Tiny"])
def test_a_model_of_another_package_works_from_the_command_line(name: str, site: Path, tmp_path: Path) -> None:
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    mitr(site, "data", "synth", "--out", data, "--train", "40", "--valid", "24", "--test", "24")
    assert "--model.bias" in mitr(site, "train", "--help", "--model.name", name)
    mitr(site, "train", data, "--out", run, "--model.name", name, "--model.bias", "false", *QUICK)
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert stored["config"]["model"] == {"name": name, "bias": False}
    words = ("train", data, "--out", run + "2", "--model.name", name)
    said = mitr(site, *words, "--model.bais", "false", *QUICK, status=2)
    assert "the closest that it has is model.bias" in said
    mitr(site, "evaluate", run, "--out", str(tmp_path / "report"), "--quiet")
    assert (tmp_path / "report" / "report.html").is_file()
    mitr(site, "export", run, "--out", str(tmp_path / "exported"))
    assert (tmp_path / "exported" / "model.onnx").is_file()
    elsewhere = mitr(tmp_path, "evaluate", run, "--out", str(tmp_path / "no"), status=2)
    assert ("cannot be imported" if ":" in name else "there is no model 'tiny'") in elsewhere


def test_a_benchmark_of_it_runs_in_other_processes(site: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    mitr(site, "data", "synth", "--out", data, "--train", "40", "--valid", "24", "--test", "24")
    words = ("--models", "tiny,mean", "--protocol", "mean", "--seeds", "1", "--jobs", "2")
    said = mitr(site, "bench", data, *words, "--out", str(tmp_path / "bench"), *QUICK)
    assert "tiny" in said
    assert "failed" not in said


def test_a_clip_is_predicted_by_it(site: Path, tmp_path: Path, talks_data: object) -> None:
    folder, run = str(talks_data.folder), str(tmp_path / "run")  # type: ignore[attr-defined]
    mitr(site, "train", folder, "--out", run, "--model.name", "tiny", "--text.finetune", "false", *QUICK)
    assert "sentiment" in mitr(site, "predict", run, "--text", "a wonderful film")


class TestRegistry:
    def test_names_of_the_package_come_first(self) -> None:
        registry = Registry("thing", "mitr.nothing", {"b": "json:loads", "a": "json:dumps"})
        assert registry.names() == ["b", "a"]
        assert registry.find("b") is json.loads
        assert registry.find("json:JSONDecoder.decode") is json.JSONDecoder.decode
        assert "a" in registry
        assert "c" not in registry

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("dump", r"there is no thing 'dump' \(did you mean dumps\?\); the things are dumps"),
            ("zzz", "there is no thing 'zzz'; the things are dumps"),
            ("json:nothing", "the thing 'json:nothing' is json:nothing, which cannot be imported"),
            ("no_such_module:x", "cannot be imported .*: is its package installed, or its folder on PYTHONPATH"),
            (":x", "cannot be imported"),
        ],
    )
    def test_what_is_not_there(self, name: str, message: str) -> None:
        with pytest.raises(MitrError, match=message):
            Registry("thing", "mitr.nothing", {"dumps": "json:dumps"}).find(name)
