"""A pickle machine that can only build data: NumPy arrays, numbers, strings and plain containers.

A pickle is a program. Python's own unpickler runs it, and even with a strict `find_class` it allocates what the program
declares: a 9-byte file may claim a memo of 32 GB. This machine maps the file and interprets it: no name is ever
imported, arrays are views of the mapped file (so reading costs no copy), and whatever is not data is refused by name.

Source: the opcodes as documented in Python's `pickletools`; protocols 0 to 5, Python 2's strings read as latin1.
"""

import codecs
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.mapped import MappedFile
from mitr.data.numpy_pickle import Name, NotData, Pending
from mitr.data.pickle_calls import ADMITTED, as_key, described
from mitr.errors import MitrError

BLOB = 1 << 16  # longer bytes stay views of the file; only arrays have them
NOT_RUN = ", which is not data and was not run"
READS = "mitr reads arrays, numbers, strings and plain containers"
EXPANSION = 16  # a list may name one object many times; this much is plausible


def read_pickle(path: Path, file: MappedFile | None = None) -> Any:
    """Read a pickle of plain data without running anything in it.

    Arrays are read-only views of the mapped file wherever the file holds their bytes as they are.
    `OrderedDict` and `defaultdict` become `dict`; bytes longer than 64 KiB that belong to no array stay a
    `memoryview`. Memory beyond the mapped file stays within a small multiple of the file's size, whatever the
    file declares.

    Args:
        path: the pickle.
        file: `map_pickle(path)`, for a caller that gives back what it has read; mapped here otherwise.

    Raises:
        MitrError: the file is missing, truncated, not a pickle, or asks for anything but data.
    """
    file = file or map_pickle(path)
    machine = _Machine(file)
    try:
        value = machine.run()
        _check_whole(value, len(file.data))
    except NotData as error:
        raise MitrError(f"{path}: refused at byte {machine.start}: {error}") from None
    except MemoryError:
        raise MitrError(f"{path}: refused: it needs more memory than there is") from None
    except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, struct.error) as error:
        what = f"{type(error).__name__}: {error}"
        place = f"byte {machine.start}"
        raise MitrError(f"{path} is not a whole pickle ({place}: {what}); download it again") from None
    return value


def map_pickle(path: Path) -> MappedFile:
    """Map a pickle.

    Raises:
        MitrError: the file is missing or empty.
    """
    try:
        return MappedFile(path)
    except ValueError:
        raise MitrError(f"{path} is empty: it is not a pickle") from None
    except OSError as error:
        raise MitrError(f"{path} cannot be read: {error.strerror}") from None


class _Machine:
    """The stack machine; `run` returns what the program leaves at STOP."""

    def __init__(self, file: MappedFile):
        self.file, self.data = file, file.data
        self.position = self.start = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        # one byte can make an object of 200; real files make far fewer than this
        self.budget = 4_000_000 + len(file.data) // 8

    def run(self) -> Any:
        data, opcodes = self.data, OPCODES
        while True:
            self.start = self.position
            if self.start >= len(data):
                raise NotData("the file ends before its data do; download it again")
            self.position += 1
            code = data[self.start]
            if code == 46:  # STOP
                return resolved(self.stack.pop())
            if code not in opcodes:
                raise NotData(f"{bytes([code])!r} is no pickle instruction that describes data")
            opcodes[code](self)

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, as a view."""
        start, stop = self.position, self.position + size
        if size < 0 or stop > len(self.data):
            left = len(self.data) - start
            raise NotData(f"{size} bytes are declared, {left} are left; download the file again")
        self.position = stop
        return self.data[start:stop]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """The bytes up to the next newline (protocol 0)."""
        block, start = 1 << 12, self.position
        while self.position < len(self.data):
            end = bytes(self.data[self.position : self.position + block]).find(b"\n")
            if end >= 0:
                stop = self.position + end
                self.position = stop + 1
                return bytes(self.copied(self.data[start:stop]))
            self.position += block
            block = min(block * 2, 1 << 24)
        raise NotData("the file ends inside a line; download it again")

    def copied(self, view: memoryview) -> memoryview:
        """A view, announced as read before it is copied: the pages of a long one need not stay as well."""
        if len(view) > BLOB:
            self.file.reading(len(view))
        return view

    def spend(self) -> None:
        self.budget -= 1
        if self.budget < 0:
            raise NotData("it makes far more objects than its size explains")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return resolved(self.stack.pop())

    def pop_mark(self) -> list[Any]:
        items = [resolved(item) for item in self.stack]
        self.stack = self.marks.pop()
        return items

    def mark(self) -> None:
        self.spend()
        self.marks.append(self.stack)
        self.stack = []

    def remember(self, index: int) -> None:
        self.spend()
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise NotData(f"entry {index} of its memo is used before it is made")
        self.push(self.memo[index])

    def make(self, value: Any) -> None:
        self.spend()
        self.push(value)

    def name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in ADMITTED:
            raise NotData(f"it asks for `{full}`{NOT_RUN} ({READS})")
        self.push(ADMITTED[full])

    def reduce(self) -> None:
        arguments, call = self.pop(), self.pop()
        if not isinstance(call, Name) or call.call is None or not isinstance(arguments, tuple):
            raise NotData(f"it calls {described(call)}{NOT_RUN}")
        self.make(call.call(*arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if not isinstance(target, Pending):
            raise NotData(f"it sets the inner state of {described(resolved(target))}")
        target.build(state)

    def extend(self, items: list[Any]) -> None:
        target = resolved(self.stack[-1])
        if not isinstance(target, list):
            raise NotData(f"it appends to {described(target)}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = resolved(self.stack[-1])
        if not isinstance(target, dict) or len(items) % 2:
            raise NotData(f"it sets keys in {described(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = value

    def add_items(self) -> None:
        items, target = self.pop_mark(), resolved(self.stack[-1])
        if not isinstance(target, set):
            raise NotData(f"it adds to {described(target)}")
        target.update(as_key(item) for item in items)

    def last(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def text(self, layout: str) -> None:
        self.push(str(self.copied(self.take(self.number(layout))), "utf-8", "surrogatepass"))

    def blob(self, layout: str) -> None:
        view = self.take(self.number(layout))
        self.push(view if len(view) > BLOB else bytes(view))

    def old_string(self, view: memoryview) -> None:
        self.push(view if len(view) > BLOB else str(view, "latin1"))

    def quoted(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
            raise NotData("a string is not quoted")
        self.old_string(memoryview(codecs.escape_decode(line[1:-1])[0]))

    def integer(self) -> None:
        line = self.line()
        self.push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.rstrip(b"L")))

    def long(self, layout: str) -> None:
        self.push(int.from_bytes(self.take(self.number(layout)), "little", signed=True))

    def named(self) -> None:
        module, name = str(self.line(), "latin1"), str(self.line(), "latin1")
        self.name(module, name)

    def stack_named(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(str(module)[:200], str(name)[:200])

    def frame(self) -> None:
        size = self.number("<Q")
        if size > len(self.data) - self.position:  # frames have no meaning here, but tell a cut file early
            self.take(size)

    def dictionary(self) -> None:
        items = self.pop_mark()
        self.make({})
        self.set_items(items)

    def discard(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def instance(self) -> None:
        items = self.pop_mark()
        call = items[0] if items else None
        raise NotData(f"it makes an instance of {described(call)}{NOT_RUN}")

    def new_object(self) -> None:
        raise NotData(f"it makes an instance of {described(self.stack[-2])}{NOT_RUN}")

    def old_instance(self) -> None:
        module, name = str(self.line(), "latin1"), str(self.line(), "latin1")
        raise NotData(f"it makes an instance of `{module}.{name}`{NOT_RUN}")


def resolved(value: Any) -> Any:
    """What a half-made array or dtype became, if it is finished."""
    return value.value if isinstance(value, Pending) and value.value is not None else value


def _check_whole(value: Any, size: int) -> None:
    """Refuse half-made arrays, cycles, and content that sharing blows up beyond what the size explains."""
    # id of a container -> its cost with everything below it, shared containers counted again
    costs: dict[int, int] = {}
    limit = EXPANSION * size + (1 << 20)
    path: list[tuple[Any, Iterator[Any], int]] = []
    open_ids: set[int] = set()

    def enter(item: Any) -> int:
        if isinstance(item, (Pending, Name)):
            raise NotData(f"{described(item)} stands where data should")
        if isinstance(item, np.ndarray) and item.dtype != object:
            return item.nbytes + 1
        if isinstance(item, (str, bytes, memoryview)):
            return len(item) + 1
        if not isinstance(item, (list, tuple, dict, set, frozenset, np.ndarray)):
            return 1
        if id(item) in open_ids:
            raise NotData("a container holds itself")
        if id(item) not in costs:
            keys = sum(map(enter, item)) if isinstance(item, dict) else 0
            open_ids.add(id(item))
            path.append((item, _children(item), keys + 1))
            return -1
        return costs[id(item)]

    total = enter(value)
    while path:
        item, children, total = path[-1]
        for child in children:
            cost = enter(child)
            if cost < 0:  # go down first, then count it
                path[-2] = (item, children, total)
                break
            total += cost
        else:
            path.pop()
            open_ids.discard(id(item))
            costs[id(item)] = total
            if path:
                parent, rest, before = path[-1]
                path[-1] = (parent, rest, before + total)
        if total > limit:
            raise NotData(f"it names the same content again and again, {EXPANSION} times its own size")


def _children(item: Any) -> Iterator[Any]:
    if isinstance(item, np.ndarray):
        return iter(item.flat)
    return iter(item.values() if isinstance(item, dict) else item)


_OPCODES: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"0": _Machine.discard,
    b"1": lambda m: m.pop_mark(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _Machine.integer,
    b"L": _Machine.integer,
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<i"),
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(m.number(">d")),
    b"S": _Machine.quoted,
    b"T": lambda m: m.old_string(m.take(m.number("<i"))),
    b"U": lambda m: m.old_string(m.take(m.number("<B"))),
    b"B": lambda m: m.blob("<I"),
    b"C": lambda m: m.blob("<B"),
    b"\x8e": lambda m: m.blob("<Q"),
    b"\x96": lambda m: m.blob("<Q"),  # BYTEARRAY8
    b"\x98": lambda m: None,  # READONLY_BUFFER: ours are anyway
    b"V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    b"X": lambda m: m.text("<I"),
    b"\x8c": lambda m: m.text("<B"),
    b"\x8d": lambda m: m.text("<Q"),
    b"]": lambda m: m.make([]),
    b"}": lambda m: m.make({}),
    b"\x8f": lambda m: m.make(set()),
    b")": lambda m: m.push(()),
    b"l": lambda m: m.make(m.pop_mark()),
    b"t": lambda m: m.make(tuple(m.pop_mark())),
    b"\x85": lambda m: m.make(tuple(m.last(1))),
    b"\x86": lambda m: m.make(tuple(m.last(2))),
    b"\x87": lambda m: m.make(tuple(m.last(3))),
    b"\x91": lambda m: m.make(frozenset(as_key(item) for item in m.pop_mark())),
    b"d": _Machine.dictionary,
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.pop_mark()),
    b"s": lambda m: m.set_items(m.last(2)),
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"\x90": _Machine.add_items,
    b"p": lambda m: m.remember(int(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.recall(int(m.line())),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": _Machine.named,
    b"\x93": _Machine.stack_named,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
    b"i": _Machine.old_instance,
    b"o": _Machine.instance,
    b"\x81": _Machine.new_object,
    b"\x92": _Machine.new_object,
}
OPCODES = {code[0]: action for code, action in _OPCODES.items()}
