"""What the C library does with memory that is free again."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**31 - 1  # bytes free at the end of the heap before any go back
MAPPED = 32 << 20  # bytes from which a block is mapped by itself, the most that glibc takes


def keep_memory() -> bool:
    """Have freed memory kept for the next step, instead of given back and asked for again, page by page.

    A step with BERT gives back and takes anew 100 to 400 MB; the process never holds more than without this. It is for
    the whole process, and left alone where the environment says how (MALLOC_..., GLIBC_TUNABLES).

    Returns:
        Whether it is so: only glibc can.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    return all([choose(M_TRIM_THRESHOLD, KEPT), choose(M_MMAP_THRESHOLD, MAPPED)])
