"""Checkpoints: tensors in safetensors, everything else as JSON in its header; written beside and renamed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mitr.errors import MitrError
from mitr.files import replacing


def save(path: Path, tensors: dict[str, Tensor], about: Mapping[str, object]) -> None:
    """Write tensors and a JSON-able description; the former file stays until the new one is whole.

    Raises:
        MitrError: the disk is full or not writable.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with replacing(path) as partial:
            save_file(whole, partial, {"about": json.dumps(about)})
            partial.chmod(0o666 & ~_umask())  # the library makes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise MitrError(
            f"{path} could not be written ({error}); the last good checkpoint in {path.parent} is untouched. "
            "Make room, then continue with `mitr train --resume`"
        ) from None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read what `save` wrote.

    Raises:
        MitrError: the file is missing, truncated or not such a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist: this run has no checkpoint yet") from None
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise MitrError(f"{path} is not a whole mitr checkpoint: {error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def weights(network: nn.Module) -> dict[str, Tensor]:
    """Parameters that train, and buffers; a frozen text encoder is found again by its name, so it is left out."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in network.state_dict().items() if name not in frozen}


def load_weights(network: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Put `weights` back.

    Raises:
        MitrError: they are not those of this network.
    """
    expected = weights(network).keys()
    if expected != tensors.keys():
        odd = sorted(expected ^ tensors.keys())
        raise MitrError(f"{where}: its weights are not those of this model ({len(odd)} differ, e.g. {odd[0]!r})")
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise MitrError(f"{where}: its weights are not those of this model: {first}") from None


def optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors, named by parameter."""
    names = {id(p): name for name, p in network.named_parameters()}
    return {
        f"{names[id(p)]}/{key}": torch.as_tensor(value)
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `optimizer_state` back."""
    parameters = dict(network.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("/")
        parameter = parameters[name]
        optimizer.state[parameter][key] = tensor.to(parameter.device, copy=True)
