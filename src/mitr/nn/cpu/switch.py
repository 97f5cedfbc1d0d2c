"""The one place that says whether a kernel stands in for its plain block."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

KERNELS = ("attention", "bert", "dropout", "encoder", "temporal")
_off: set[str] = set()


def used(kernel: str, device: torch.device) -> bool:
    """Kernels are used on CPUs, unless they are switched off, and never while a network is exported."""
    return device.type == "cpu" and kernel not in _off and not torch.compiler.is_exporting()


@contextmanager
def without(*kernels: str) -> Iterator[None]:
    """Use the plain blocks instead of these kernels, in the whole process; for tests and benchmarks.

    Args:
        kernels: some of `KERNELS`; none: all of them.

    Raises:
        ValueError: there is no such kernel.
    """
    unknown = set(kernels) - set(KERNELS)
    if unknown:
        raise ValueError(f"no kernel {', '.join(sorted(unknown))}; the kernels are {', '.join(KERNELS)}")
    added = set(kernels or KERNELS) - _off
    _off.update(added)
    try:
        yield
    finally:
        _off.difference_update(added)
