"""Checkpoints: whole or not at all."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mitr.errors import MitrError
from mitr.runs import checkpoint


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"x": torch.arange(6.0).reshape(2, 3).T}, {"epoch": 3, "best": None})
    tensors, about = checkpoint.load(path)
    assert about == {"epoch": 3, "best": None}
    assert torch.equal(tensors["x"], torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]))


def test_full_disk_leaves_the_last_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"x": torch.ones(2)}, {"epoch": 1})

    def full(_tensors: object, place: Path, _about: object) -> None:
        Path(place).write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(MitrError, match=r"No space left on device.*last good checkpoint.*--resume"):
        checkpoint.save(path, {"x": torch.zeros(2)}, {"epoch": 2})
    monkeypatch.undo()
    tensors, about = checkpoint.load(path)
    assert about["epoch"] == 1
    assert torch.equal(tensors["x"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("size", [0, 4, 40, -1])
def test_truncated_file_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, {"x": torch.ones(20)}, {})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MitrError, match=r"model.safetensors is not a whole mitr checkpoint"):
        checkpoint.load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="no checkpoint yet"):
        checkpoint.load(tmp_path / "model.safetensors")


def test_weights_leave_out_what_is_frozen_and_keep_buffers() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network[0].requires_grad_(False)
    assert set(checkpoint.weights(network)) == {
        "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"
    }  # fmt: skip


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(MitrError, match="not those of this model"):
        checkpoint.load_weights(nn.Linear(2, 2), {"other": torch.ones(1)}, "here")
    with pytest.raises(MitrError, match=r"here.*size mismatch for weight"):
        checkpoint.load_weights(nn.Linear(2, 2), checkpoint.weights(nn.Linear(3, 2)), "here")


def test_optimizer_state_round_trip_continues_identically() -> None:
    def step(network: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        network(torch.tensor([[1.0, -2.0]])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    torch.manual_seed(0)
    first = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(first.parameters(), lr=0.1)
    step(first, optimizer)
    second = nn.Linear(2, 1)
    second.load_state_dict(first.state_dict())
    other = torch.optim.Adam(second.parameters(), lr=0.1)
    checkpoint.load_optimizer_state(second, other, checkpoint.optimizer_state(first, optimizer))
    step(first, optimizer)
    step(second, other)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, torch.zeros_like(first.weight))
