"""Run folders, opened again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from made import options
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError
from mitr.runs import checkpoint
from mitr.runs.history import read_history, write_history
from mitr.runs.run import Run
from mitr.training.train import train


@pytest.fixture(scope="module")
def run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small, tmp_path_factory.mktemp("run") / "run", options(1), quiet=True)


def test_a_run_says_what_it_is(run: Run) -> None:
    assert repr(run) == f"<Run {run.folder}: mitr-dnet on synthetic, trained>"


def test_the_network_has_the_weights_of_the_best_epoch(run: Run) -> None:
    network = run.load_network()
    assert not network.training
    tensors, header = checkpoint.load(run.weights)
    assert header["epoch"] == 0
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in tensors.items())


def test_the_data_of_a_run(run: Run, small: Dataset, tmp_path: Path) -> None:
    assert run.data().info.content_sha256 == small.info.content_sha256
    assert run.trained_on(small)
    other = synthesise(tmp_path / "other", seed=1, train=4, valid=2, test=2)
    assert not run.trained_on(other)
    moved = Run(run.folder)
    moved.info = replace(moved.info, data=replace(moved.info.data, folder=str(tmp_path / "gone")))
    with pytest.raises(MitrError, match=r"are no longer at .*gone: name their folder"):
        moved.data()
    assert moved.data(small.folder).ids == small.ids


def test_history_has_a_column_for_every_name(tmp_path: Path) -> None:
    write_history(tmp_path, [{"epoch": 0, "valid_mae": 1.5}, {"epoch": 1, "valid_mae": 1.25, "best": True}])
    assert read_history(tmp_path) == [
        {"epoch": "0", "valid_mae": "1.5", "best": ""},
        {"epoch": "1", "valid_mae": "1.25", "best": "True"},
    ]
