"""Stores, runs and exports that version 0.1.0 wrote open, evaluate and predict the numbers that were recorded then.

`kept.tar.xz` holds three synthetic stores of 40 samples or fewer with text, audio and vision 4, 3 and 3 wide
(`features`, `words` with raw text, `classes`) and runs of one epoch: `dnet` (mitr-dnet with its defaults),
`dnet-changed` (other loss weights, dropout rates and switches; with an export), `lmf-words` (a rival with options of
its own on raw text, frozen MiniLM), `tfn-classes` (a rival of classes; with an export), and `lmf-stopped` (the first
of two epochs). Weights are rounded to five binary digits so that the archive stays small.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mitr
from mitr.api import resume
from mitr.bench.evaluate import Evaluation
from mitr.data.store import Dataset
from mitr.evaluation.calibrating import carried
from mitr.evaluation.intervals import Intervals
from mitr.evaluation.predicting import predict_at_rates
from mitr.export.network import onnx_network
from mitr.runs.run import Run

HERE = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
RUNS = ("dnet", "dnet-changed", "lmf-words", "tfn-classes")
WITH_INTERVALS = ("dnet", "dnet-changed", "lmf-words")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    with tarfile.open(HERE / "kept.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def carried_intervals(kept: Path) -> dict[str, Intervals]:
    """The intervals in the folders of the runs, as they were written."""
    return {name: intervals for name in WITH_INTERVALS for _, intervals in [carried(Run(kept / name)) or (0, None)]}


@pytest.fixture(scope="module")
def evaluations(kept: Path, carried_intervals: dict[str, Intervals]) -> dict[str, Evaluation]:
    """Each finished run on its test split; that makes the intervals of a run anew."""
    assert all(carried_intervals.values())
    found = {}
    for name in RUNS:
        data = Dataset(kept / EXPECTED[name]["store"])
        scale = data.info.classes is None
        found[name] = mitr.evaluate(
            kept / name,
            data,
            protocol="auilc" if scale else "complete",
            intervals=0.9 if scale else None,
            explain=True,
            resamples=10,
            quiet=True,
        )
    return found


@pytest.mark.parametrize("name", ["features", "words", "classes"])
def test_a_store_holds_the_same_samples(kept: Path, name: str) -> None:
    data, expected = mitr.open_dataset(kept / name), EXPECTED[name]
    assert data.info.content_sha256 == expected["sha256"]
    assert data.ids == expected["ids"]
    assert data.labels.tolist() == pytest.approx(expected["labels"], rel=1e-8)
    for m, total in expected["sums"].items():
        values = [np.asarray(data.features(m, row), np.float64).sum() for row in range(len(data.ids))]
        assert sum(values) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_predicts_the_same_numbers(evaluations: dict[str, Evaluation], name: str) -> None:
    table, expected = evaluations[name].predictions, EXPECTED[name]
    assert table["id"].tolist() == expected["id"]
    assert table["rate"].tolist() == expected["rate"]
    assert table["prediction"].tolist() == pytest.approx(expected["prediction"], abs=1e-5)
    assert evaluations[name].metrics == pytest.approx(expected["metrics"], abs=1e-5)
    shapley = evaluations[name].shapley
    assert shapley is not None
    assert shapley["shapley_audio"].tolist() == pytest.approx(expected["shapley_audio"], abs=1e-5)


@pytest.mark.parametrize("name", WITH_INTERVALS)
def test_a_run_gives_the_intervals_that_it_carries(
    kept: Path, carried_intervals: dict[str, Intervals], evaluations: dict[str, Evaluation], name: str
) -> None:
    scale = Dataset(kept / EXPECTED[name]["store"]).info.label_range
    ends = carried_intervals[name].interval(evaluations[name].predictions, scale)
    for end in ("low", "high"):
        assert np.asarray(ends[end]).tolist() == pytest.approx(EXPECTED[name][end], abs=1e-4)
    coverage = evaluations[name].coverage
    assert coverage is not None
    assert coverage["coverage"].between(0.5, 1).all()  # of the new ones, on a dozen samples


@pytest.mark.parametrize("name", ["dnet-changed", "tfn-classes"])
def test_an_export_predicts_what_its_run_does(kept: Path, name: str) -> None:
    pytest.importorskip("onnxruntime")
    run = Run(kept / name)
    data, network = Dataset(kept / EXPECTED[name]["store"]), onnx_network(run, threads=1)
    table = predict_at_rates(network, run.examples(data, "test", network), [0.0])
    expected = np.array(EXPECTED[name]["prediction"])[np.array(EXPECTED[name]["rate"]) == 0]
    assert table["prediction"].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_stopped_run_goes_on_to_the_same_numbers(kept: Path) -> None:
    folder, expected = kept / "lmf-stopped", EXPECTED["lmf-stopped"]
    run = resume(folder, kept / expected["store"], quiet=True)
    assert run.finished
    history = pd.read_csv(folder / "history.csv").drop(columns="seconds")
    assert list(history) == list(expected["history"])
    for name, values in expected["history"].items():
        assert history[name].tolist() == pytest.approx(values, abs=1e-5), name
    written = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert (written["best_epoch"], written["epochs"]) == (expected["best_epoch"], 2)
    assert written["best"] == pytest.approx(expected["best"], abs=1e-5)
