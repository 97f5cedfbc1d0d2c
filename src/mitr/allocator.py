"""What the C library does with memory that is free again."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**31 - 1  # bytes free at the end of the heap before any go back
KEPT_BLOCK, RETURNED_BLOCK = (
    32 << 20,
    1 << 20,
)  # bytes from which a block is mapped by itself; glibc takes 32 MB at most


def keep_memory(keep: bool = True) -> bool:
    """Have freed memory kept for the next step, instead of given back and asked for again, page by page.

    Kept, it leaves holes between what is still used: a step with BERT then holds a quarter more than it needs. Given
    back, it takes that much longer, for all the pages that are asked for again (docs/performance.md). It is for the
    whole process, and left alone where the environment says how (MALLOC_..., GLIBC_TUNABLES).

    Args:
        keep: False: give back every block of 1 MB or more as soon as it is free.

    Returns:
        Whether it is so: only glibc can.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return all([choose(M_TRIM_THRESHOLD, KEPT), choose(M_MMAP_THRESHOLD, KEPT_BLOCK if keep else RETURNED_BLOCK)])
