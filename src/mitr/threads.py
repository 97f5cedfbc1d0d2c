"""How many CPU threads pay."""

from collections.abc import Mapping

import torch

_DEFAULT = torch.get_num_threads()
WIDE = 256  # features from which a matrix product is worth sharing among cores


def use_threads(asked: int, dims: Mapping[str, int]) -> None:
    """Set PyTorch's threads.

    Small layers lose more by waiting for each other than they gain, and on a busy machine much more: the same epoch
    took 2 s on one thread and 8 to 145 s on two.

    Args:
        asked: the number of threads; 0: one if every modality is narrow, else PyTorch's own choice.
        dims: modality -> feature width.
    """
    narrow = all(dim < WIDE for dim in dims.values())
    torch.set_num_threads(asked or (1 if narrow else _DEFAULT))
