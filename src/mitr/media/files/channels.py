"""A guard against layouts of sound channels at which PyAV 18.1 crashes.

Its layout object shares the list of a custom order of channels with the decoder, and both free it, which ends the
process. (It also crashes when the planes of planar sound with eight channels or more are looked at; nothing here does.)
"""

import ctypes
from typing import Any


def shares_memory(layout: Any) -> bool:
    """Whether PyAV's layout object is one whose end would end the process; then it is kept for ever."""
    try:
        custom = "(" in layout.name or "+" in layout.name  # as in `2 channels (FR+FL)`
    except (UnicodeDecodeError, RuntimeError):
        custom = True
    if custom:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return custom
