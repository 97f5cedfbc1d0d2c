"""The global random states that initial weights and dropout draw from."""

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators, those of GPUs included."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
