"""The sets that benchmarks are run on are what they say, and the benchmark of data sets runs."""

import importlib.util
import pickle
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mitr.data.importing import import_dataset

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return script("made_pickles")


def script(name: str) -> ModuleType:
    """A file of `benchmarks`, which is no package."""
    about = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert about is not None
    assert about.loader is not None
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module


def test_the_pickle_is_one_and_is_imported(made: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "made.pkl"
    made.write_pickle(path, 40)
    content: dict[str, dict[str, Any]] = pickle.loads(path.read_bytes())  # made here, so it may be run
    data = import_dataset(path, tmp_path / "store", text="ids")
    assert {split: len(fields["id"]) for split, fields in content.items()} == {"train": 29, "valid": 3, "test": 8}
    train = content["train"]
    shapes = {name: train[name].shape[1:] for name in ("text_bert", "audio", "vision")}
    assert shapes == {"text_bert": (3, 50), "audio": (500, 74), "vision": (375, 35)}
    assert data.ids == [id_ for fields in content.values() for id_ in fields["id"]]
    for row, length in enumerate(train["audio_lengths"]):
        np.testing.assert_array_equal(data.features("audio", row), train["audio"][row, :length])
        assert not train["audio"][row, length:].any()
        words = len(data.features("text", row)) - 2
        assert words == len(data.raw_text[row].split())


def test_lengths_are_those_of_clips(made: ModuleType) -> None:
    splits = made.draw(made.SAMPLES)
    assert {name: len(split.labels) for name, split in splits.items()} == {"train": 16326, "valid": 1871, "test": 4659}
    lengths = splits["train"].lengths
    for m, mean in {"text": 20.9, "audio": 145.0, "vision": 109.0}.items():
        assert abs(lengths[m].mean() / mean - 1) < 0.03
        assert 1 <= lengths[m].min() <= lengths[m].max() <= made.PADDED[m]


def test_making_a_store_holds_a_sample_at_a_time(
    made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "POOL", 1 << 17)
    made.write_made_store(tmp_path / "small", 3)
    tracemalloc.start()
    data = made.write_made_store(tmp_path / "store", 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "store/features.safetensors").stat().st_size > 10_000_000
    assert peak < 4_000_000
    assert data.info.synthetic
    assert data.info.modalities["text"].kind == "embeddings"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return script("data")


def test_what_a_thousand_samples_cost(bench: ModuleType) -> None:
    memory = {"private_mb": 50, "file_mb": 10, "peak_mb": 60}
    rows = [{"task": "open", "samples": n, "seconds": 0.1 + n / 1e5} | memory for n in (1000, 2000, 5000)]
    found = bench.growth([*rows, rows[0] | {"task": "import"}])
    assert list(found) == ["open"]  # one size says nothing of growth
    assert found["open"]["seconds_per_1000"] == pytest.approx(0.01)
    assert found["open"]["private_mb_per_1000"] == pytest.approx(0, abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a process holds")
def test_a_process_is_watched(bench: ModuleType) -> None:
    code = "import time; held = bytearray(64 << 20); time.sleep(0.2); print('words'); print('{\"seconds\": 7}')"
    facts = bench.watched([sys.executable, "-c", code])
    assert facts["seconds"] == 7  # the process knows better than its parent
    assert 64 <= facts["private_mb"] < 96
    assert facts["private_mb"] < facts["peak_mb"]
    with pytest.raises(SystemExit, match="failed"):
        bench.watched([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("task", ["open", "fit", "read", "longest"])
def test_every_task_runs(made: ModuleType, bench: ModuleType, tmp_path: Path, task: str) -> None:
    made.write_made_store(tmp_path / "store", 5)
    facts = bench.WORK[task](tmp_path / "store", 1)
    assert facts["seconds"] >= 0
    assert task in bench.TASKS
