"""NumPy arrays, dtypes and scalars as a pickle writes them, rebuilt without NumPy's reconstruction code.

Every size is checked against the bytes that the file holds before an array is made.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPE = re.compile(r"[biufcSUO?]\d{0,6}")


class NotData(Exception):
    """The pickle asks for something that is not data."""


@dataclass(frozen=True)
class Name:
    """A name that a pickle may use, with what a call of it does here (None: it must not be called)."""

    full: str
    call: Callable[..., Any] | None = None


class Pending:
    """An array or dtype that was announced; its BUILD instruction brings the content."""

    def __init__(self, build: Callable[[Any], Any]):
        self.value: Any = None
        self._build = build

    def build(self, state: Any) -> None:
        if self.value is not None:
            raise NotData("it fills an array twice")
        self.value = self._build(state)


def make_array(shape: Any, dtype: Any, fortran: bool, data: Any) -> np.ndarray:
    """An array of `shape` over `data`: bytes or latin1 text of just the right length, or a list of objects.

    Raises:
        NotData: shape, dtype and data do not fit together.
    """
    if not isinstance(dtype, np.dtype):
        raise NotData("an array has no dtype")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise NotData(f"an array has the shape {str(shape)[:80]}")
    count, order = math.prod(shape), "F" if fortran else "C"
    if _holds_objects(dtype):
        if not isinstance(data, list) or len(data) != count:
            raise NotData(f"an array of objects with shape {shape} does not come with a list of {count} objects")
        flat = np.empty(count, dtype=object)
        for i, item in enumerate(data):
            flat[i] = item
        return flat.reshape(shape, order=order)  # type: ignore[call-overload]
    if isinstance(data, str):
        data = data.encode("latin1")
    size = count * dtype.itemsize
    if not isinstance(data, (bytes, memoryview)) or len(data) != size or (count and not size):
        content = f"{len(data)} bytes" if isinstance(data, (bytes, memoryview)) else f"a {type(data).__name__}"
        raise NotData(f"an array declares {shape} of {dtype.str} ({size} bytes) and holds {content}")
    flat = np.frombuffer(data, dtype) if count else np.zeros(0, dtype)
    return flat.reshape(shape, order=order)  # type: ignore[call-overload]


def _holds_objects(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _array_state(state: Any) -> np.ndarray:
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise NotData("an array has no proper state")
    return make_array(*state[-4:])


def _reconstruct(*arguments: Any) -> Pending:
    kind, shape, code = arguments if len(arguments) == 3 else (None, None, None)
    if not (isinstance(kind, Name) and kind.full == "numpy.ndarray") or shape != (0,) or code not in (b"b", "b"):
        raise NotData("it calls NumPy's `_reconstruct` in another way than arrays do")
    return Pending(_array_state)


def _dtype(*arguments: Any) -> Pending:
    code = arguments[0] if arguments else None
    code = str(code, "latin1") if isinstance(code, bytes) else code
    if len(arguments) > 3 or not isinstance(code, str) or not DTYPE.fullmatch(code):
        raise NotData(f"it has the dtype {str(code)[:80]!r}; mitr reads numbers, strings and objects")
    dtype = np.dtype(code)

    def build(state: Any) -> np.dtype:
        if not isinstance(state, tuple) or len(state) < 5 or any(entry is not None for entry in state[2:5]):
            raise NotData("it has a dtype with fields or sub-arrays; mitr reads plain ones")
        endian: Any = str(state[1], "latin1") if isinstance(state[1], bytes) else state[1]
        if endian not in ("<", ">", "|", "="):
            raise NotData(f"it has the byte order {str(endian)[:20]!r}")
        return dtype if endian == "|" else dtype.newbyteorder(endian)

    return Pending(build)


def _scalar(*arguments: Any) -> Any:
    dtype, data = arguments if len(arguments) == 2 else (None, None)
    if _holds_objects(dtype):
        raise NotData("it holds a scalar of dtype object")
    return make_array((1,), dtype, False, data)[0]


def _from_buffer(*arguments: Any) -> np.ndarray:
    data, dtype, shape, order = arguments[:4] if len(arguments) in (4, 5) else (None,) * 4
    if _holds_objects(dtype) or order not in ("C", "F"):
        raise NotData("it calls NumPy's `_frombuffer` in another way than arrays do")
    return make_array(shape, dtype, order == "F", data)


_CORES = ("numpy.core", "numpy._core")  # before and since NumPy 2
NUMPY_NAMES = ("numpy.ndarray",)
NUMPY_CALLS: dict[str, Callable[..., Any]] = {"numpy.dtype": _dtype}
NUMPY_CALLS |= {f"{core}.multiarray._reconstruct": _reconstruct for core in _CORES}
NUMPY_CALLS |= {f"{core}.multiarray.scalar": _scalar for core in _CORES}
NUMPY_CALLS |= {f"{core}.numeric._frombuffer": _from_buffer for core in _CORES}
