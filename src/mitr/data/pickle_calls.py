"""The names that a pickle may call, and what a call does here: it makes plain containers, bytes and arrays of data."""

from collections.abc import Callable
from typing import Any

from mitr.data.numpy_pickle import NUMPY_CALLS, NUMPY_NAMES, Name, NotData, Pending

KEYS = (str, int, float, bytes, type(None))  # hashing a deep tuple would exhaust the C stack


def described(value: Any) -> str:
    """A value of the stack in words, for a refusal."""
    if isinstance(value, Name):
        return f"`{value.full}`"
    return "an array without content" if isinstance(value, Pending) else f"a {type(value).__name__}"


def as_key(value: Any) -> Any:
    """The value, if it can be a key of a dictionary or an item of a set.

    Raises:
        NotData: it cannot.
    """
    if not isinstance(value, KEYS):
        raise NotData(f"{described(value)} stands where only a string or a number can: as a key")
    return value


def _plain(kind: Callable[..., Any]) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        if len(arguments) > 1 or (arguments and not isinstance(arguments[0], (list, tuple, set, frozenset))):
            raise NotData(f"it calls {kind.__name__} with something else than a list")
        items = arguments[0] if arguments else ()
        if kind is dict:
            return {as_key(key): value for key, value in items}
        return kind([as_key(item) for item in items] if kind in (set, frozenset) else items)

    return make


def _default_dict(*arguments: Any) -> dict[Any, Any]:
    if len(arguments) > 1 or (arguments and not isinstance(arguments[0], (Name, type(None)))):
        raise NotData("it calls defaultdict with content")
    return {}


def _encode(*arguments: Any) -> bytes:
    text, codec = arguments if len(arguments) == 2 else (None, None)
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise NotData("it calls `_codecs.encode` with something else than text and latin1")
    return text.encode("latin1")


def _bytes(*arguments: Any) -> bytes:
    if not arguments:
        return b""
    if len(arguments) == 2:
        return _encode(*arguments)
    if len(arguments) != 1 or not isinstance(arguments[0], (bytes, memoryview)):
        raise NotData("it calls bytes or bytearray with something else than bytes")
    return bytes(arguments[0])


def _complex(*arguments: Any) -> complex:
    if len(arguments) != 2 or not all(isinstance(a, (int, float)) for a in arguments):
        raise NotData("it calls complex with something else than two numbers")
    return complex(*arguments)


_CONTAINERS = (dict, list, tuple, set, frozenset)
_BUILTINS: dict[str, Callable[..., Any] | None] = {kind.__name__: _plain(kind) for kind in _CONTAINERS}
_BUILTINS |= {"bytes": _bytes, "bytearray": _bytes, "complex": _complex}
_BUILTINS |= dict.fromkeys(("str", "int", "float", "bool"))  # only ever the factory of a defaultdict
_CALLS = {f"{module}.{name}": call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()}
_CALLS |= {"collections.OrderedDict": _plain(dict), "collections.defaultdict": _default_dict}
_CALLS |= {"_codecs.encode": _encode}
_CALLS |= NUMPY_CALLS | dict.fromkeys(NUMPY_NAMES)
ADMITTED = {full: Name(full, call) for full, call in _CALLS.items()}
