"""A guard against layouts of sound channels at which PyAV 18.1 crashes.

Its layout object shares the list of a custom channel order with the decoder, and both free the list, which ends the
process. (PyAV also crashes when the planes of planar sound with eight channels or more are read; mitr reads none.)
"""

import ctypes
from typing import Any


def shares_memory(layout: Any) -> bool:
    """Whether freeing PyAV's layout object would end the process; such an object is never freed."""
    try:
        custom = "(" in layout.name or "+" in layout.name  # as in `2 channels (FR+FL)`
    except (UnicodeDecodeError, RuntimeError):
        custom = True
    if custom:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return custom
