"""The device and the number format of a run."""

import pytest
import torch

from mitr.config import TrainConfig
from mitr.errors import MitrError
from mitr.training.device import autocast, chosen_device


@pytest.mark.parametrize(
    ("asked", "gpu", "device"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_the_device(monkeypatch: pytest.MonkeyPatch, asked: str, gpu: bool, device: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert chosen_device(TrainConfig(device=asked)).type == device


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MitrError, match=r"--train\.device cuda: PyTorch sees no GPU here"):
        chosen_device(TrainConfig(device="cuda"))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("no", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_format_on_a_cpu(precision: str, dtype: torch.dtype) -> None:
    with autocast(TrainConfig(precision=precision), torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("precision", "able", "half"),
    [("auto", True, True), ("auto", False, False), ("no", True, False), ("bf16", True, True)],
)
def test_the_format_on_a_gpu(monkeypatch: pytest.MonkeyPatch, precision: str, able: bool, half: bool) -> None:
    made: list[tuple[str, torch.dtype, bool]] = []
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: able)
    monkeypatch.setattr("torch.autocast", lambda device, dtype, enabled: made.append((device, dtype, enabled)))
    autocast(TrainConfig(precision=precision), torch.device("cuda"))
    assert made == [("cuda", torch.bfloat16, half)]
