"""How many CPU threads pay."""

from collections.abc import Mapping

import torch

WIDE = 256  # features from which a matrix product is worth sharing among cores


def use_threads(asked: int, dims: Mapping[str, int]) -> None:
    """Set PyTorch's threads.

    Small layers lose more by waiting for each other than they gain, and on a busy machine much more: the same epoch
    took 2 s on one thread and 8 to 145 s on two.

    Args:
        asked: the number of threads; 0: one if every modality is narrow, else PyTorch's own choice.
        dims: modality -> feature width.
    """
    if asked:
        torch.set_num_threads(asked)
    elif all(dim < WIDE for dim in dims.values()):
        torch.set_num_threads(1)
