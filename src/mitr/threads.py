"""How many CPU threads pay."""

from collections.abc import Mapping

import torch

_DEFAULT = torch.get_num_threads()
WIDE = 256  # features from which a matrix product is worth sharing among cores


def use_threads(asked: int, dims: Mapping[str, int]) -> None:
    """Set PyTorch's threads.

    Small layers lose more by waiting for each other than they gain. While they wait, threads sleep (`mitr.__init__`),
    so that a machine with other work slows two threads down little more than one; docs/performance.md has figures.

    Args:
        asked: the number of threads; 0: one if every modality is narrow, else PyTorch's own choice.
        dims: modality -> feature width.
    """
    narrow = all(dim < WIDE for dim in dims.values())
    torch.set_num_threads(asked or (1 if narrow else _DEFAULT))
