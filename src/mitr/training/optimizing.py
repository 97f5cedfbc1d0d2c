"""The optimiser: groups of parameters with their rates and decays, the schedule of the rates, and a step."""

import math

import torch

from mitr.config import TrainConfig
from mitr.models.network import Network


def parameter_groups(network: Network, config: TrainConfig) -> list[dict[str, object]]:
    """The optimiser's groups, as published: text encoder with and without decay, audio, vision, the rest.

    `full_lr` of a group is its rate before the schedule.
    """
    groups = [
        {"params": parameters, "full_lr": getattr(config, lr), "weight_decay": getattr(config, decay)}
        for name, parameters in network.model.parameter_groups().items()
        for lr, decay in [("lr", "decay") if name == "other" else (f"lr_{name}", f"decay_{name}")]
    ]
    if network.text is not None and network.text.finetune:
        parameters = list(network.text.parameters())
        matrices = [p for p in parameters if p.dim() > 1]
        vectors = [p for p in parameters if p.dim() < 2]  # biases and the scales of norms
        groups.append({"params": matrices, "full_lr": config.lr_text, "weight_decay": config.decay_text})
        groups.append({"params": vectors, "full_lr": config.lr_text, "weight_decay": 0.0})
    return groups


def adam(network: Network, config: TrainConfig) -> torch.optim.Adam:
    """Adam over the groups of a network."""
    return torch.optim.Adam(parameter_groups(network, config), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, epochs: float) -> None:
    """Set the learning rates for the step after this many epochs, a fraction within an epoch."""
    share = 1.0
    if config.lr_schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * epochs / config.max_epochs))
    for group in optimizer.param_groups:
        group["lr"] = share * group["full_lr"]


def step(optimizer: torch.optim.Optimizer, network: Network, config: TrainConfig) -> None:
    """Clip the gradients, whose norm is that of all parameters together, and take a step; gradients are gone then."""
    if config.clip_norm:
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    network.model.after_step()
