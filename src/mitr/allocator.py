"""Whether the C library keeps memory that a training step freed."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**31 - 1  # bytes free at the end of the heap before any go back
MOST = 32 << 20  # bytes from which a block is mapped by itself, and goes back when it is free; glibc takes no more
FEW = 1 << 20


def keep_memory(keep: bool = True) -> bool:
    """Keep freed memory for the next step, instead of returning it to the system and asking for it again.

    Kept memory leaves holes between blocks in use, so that the peak is higher; pages that were returned cost time again
    (docs/performance.md has time and peak of a step). The setting is that of the whole process, and nothing is changed
    if the environment has a setting (MALLOC_..., GLIBC_TUNABLES).

    Args:
        keep: False: blocks of 1 MB or more, allocated from now on, are returned as soon as they are free.

    Returns:
        Whether the setting was made: only glibc has it.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return all([choose(M_TRIM_THRESHOLD, KEPT), choose(M_MMAP_THRESHOLD, MOST if keep else FEW)])
