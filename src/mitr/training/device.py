"""The device and the number format that a run computes with."""

import torch

from mitr.config import TrainConfig
from mitr.errors import MitrError


def chosen_device(config: TrainConfig) -> torch.device:
    """The device of the options; `auto` is a GPU where PyTorch sees one.

    Raises:
        MitrError: a GPU is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise MitrError("--train.device cuda: PyTorch sees no GPU here; use --train.device auto or cpu")
    return torch.device("cpu" if config.device == "cpu" or not torch.cuda.is_available() else "cuda")


def autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    """A context that computes in the number format of the options; `auto` is bf16 on a GPU that has it."""
    bf16 = config.precision == "bf16"
    if config.precision == "auto":
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)
