"""What the C library does with memory that is free again."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**31 - 1  # bytes free at the end of the heap before any go back
MOST = 32 << 20  # bytes from which a block is mapped by itself, and goes back when it is free; glibc takes no more
FEW = 1 << 20


def keep_memory(keep: bool = True) -> bool:
    """Have freed memory kept for the next step, instead of given back and asked for again, page by page.

    Kept, it leaves holes between what is still used; given back, all its pages cost time again (docs/performance.md
    has what a step with BERT holds and takes). It is for the whole process, and left alone where the environment says
    how (MALLOC_..., GLIBC_TUNABLES).

    Args:
        keep: False: of all that is taken from now on, give back blocks of 1 MB or more as soon as they are free.

    Returns:
        Whether it is so: only glibc can.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return all([choose(M_TRIM_THRESHOLD, KEPT), choose(M_MMAP_THRESHOLD, MOST if keep else FEW)])
