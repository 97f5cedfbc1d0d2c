"""Global random states."""

import random

import numpy as np
import torch

from mitr.training.seeding import seed_everything


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_each_generator_is_seeded() -> None:
    seed_everything(5)
    first, later = drawn(), drawn()
    seed_everything(5)
    assert drawn() == first
    seed_everything(6)
    assert not set(drawn()) & {*first, *later}
    of_torch = torch.rand((), generator=torch.Generator().manual_seed(5))
    assert first == (random.Random(5).random(), np.random.RandomState(5).random(), float(of_torch))
