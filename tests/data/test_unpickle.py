"""Data come back as they were; programs, bombs and damage are refused by name, in little memory."""

import collections
import contextlib
import functools
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mitr.data import mapped
from mitr.data.unpickle import map_pickle, read_pickle
from mitr.errors import MitrError

PLAIN = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12)[::2],
    "big endian": np.arange(3, dtype=">f4"),
    "bool": np.array([True, False]),
    "unicode": np.array(["a", "éß你"]),
    "bytes array": np.array([b"ab"]),
    "objects": np.array(["x", None, [1, 2]], dtype=object),
    "empty": np.zeros((0, 3)),
    "large": np.arange(50_000, dtype=np.float32),
    "scalars": [np.float32(3), np.float64(2.5), np.int64(-1), np.str_("hey"), np.bool_(True)],
    "containers": (1, 2**70, -5, 70_000, 1.5, True, None, b"abc", b"", {1, 2}, frozenset([3]), complex(1, 2)),
    "text": "hé\n\\x 'quoted' 你好",
    "bytearray": bytearray(b"xx"),
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(list, a=[1]),
}


def same(left: Any, right: Any) -> None:
    if isinstance(right, np.ndarray):
        assert type(left) is np.ndarray
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(right, (list, tuple)):
        assert type(left) is type(right)
        for a, b in zip(left, right, strict=True):
            same(a, b)
    else:
        assert left == right


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(content)
    return path


def refused(folder: Path, content: bytes, match: str) -> None:
    path = write(folder, content)
    tracemalloc.start()
    try:
        with pytest.raises(MitrError, match=match) as caught:
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_come_back(tmp_path: Path, name: str, protocol: int) -> None:
    same(read_pickle(write(tmp_path, pickle.dumps({name: PLAIN[name]}, protocol)))[name], PLAIN[name])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("modern", [True, False])
def test_both_names_of_numpys_core(tmp_path: Path, protocol: int, modern: bool) -> None:
    content = pickle.dumps(PLAIN["array"], min(protocol, 3))  # from protocol 4 on names carry their length
    old, new = b"numpy._core.", b"numpy.core."
    content = content if modern else content.replace(old, new)
    assert (new in content) != modern
    same(read_pickle(write(tmp_path, content)), PLAIN["array"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(st.sampled_from(["<f4", ">f8", "<i8", "?", "<U3"]), st.tuples(st.integers(0, 4), st.integers(0, 3))),
    st.integers(0, 5),
)
def test_any_array_comes_back(tmp_path: Path, value: np.ndarray, protocol: int) -> None:
    same(read_pickle(write(tmp_path, pickle.dumps(value, protocol))), value)


def python2(data: bytes, protocol: int) -> bytes:
    """An array of two float32 as Python 2 pickled it: every string is a byte string."""
    if protocol == 0:
        quoted = repr(data)[1:].encode()
        head = b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        dtype = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
        return b"(dS'train'\n" + head + dtype + b"I00\nS" + quoted + b"\ntbs."
    head = b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02(K\x00tU\x01btR(K\x01(K\x02t"
    dtype = b"cnumpy\ndtype\nq\x03(U\x02f4K\x00K\x01tRq\x04(K\x03U\x01<NNNI-1\nI-1\nK\x00tb"
    start = b"\x80\x02" if protocol == 2 else b""
    flag = b"\x89" if protocol == 2 else b"I00\n"
    return start + b"}q\x00(U\x05train" + head + dtype + flag + b"T" + struct.pack("<i", len(data)) + data + b"tbu."


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_python_2_pickles(tmp_path: Path, protocol: int) -> None:
    expected = np.array([-1.5e10, 3.25], dtype="<f4")
    content = python2(expected.tobytes(), protocol)
    same(pickle.loads(content, encoding="latin1")["train"], expected)  # the sample is a true pickle
    same(read_pickle(write(tmp_path, content))["train"], expected)


class Call:
    """Pickles as a call of anything."""

    def __init__(self, call: Any, *arguments: Any):
        self.parts = (call, arguments)

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("gadget", "name"),
    [
        (Call(os.system, "touch HACKED"), r"(posix|nt)\.system"),
        (Call(eval, "open('HACKED', 'w')"), r"(builtins|__builtin__)\.eval"),
        (Call(getattr, "x", "upper"), r"(builtins|__builtin__)\.getattr"),
        (Call(np.load, "x.npy", None, True), r"numpy.*\.load"),
        (Call(np.fromfile, "x"), "fromfile"),
        (Call(np.memmap, "HACKED", "f4", "w+", 0, (4,)), "memmap"),
        (functools.partial(print, "x"), "functools.partial"),
        (Path("x"), "pathlib"),
    ],
    ids=["system", "eval", "getattr", "numpy.load", "fromfile", "memmap", "partial", "path"],
)  # fmt: skip
def test_calls_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gadget: Any, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, pickle.dumps({"train": gadget}, protocol), name)
    assert not (tmp_path / "HACKED").exists()


HEAD = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
FLOAT = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
OBJECT = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntb"
HUGE = b"I1000000000000\n"
EMPTY = HEAD + b"(I0\ntS'b'\ntR"
LAUGHS = b"".join(b"p%d\n0(" % i + b"g%d\n" % i * 9 + b"l" for i in range(30))
HOSTILE = {
    "reconstruct with a huge shape": (HEAD + b"(" + HUGE + b"tS'b'\ntR.", "_reconstruct"),
    "reconstruct of another class": (
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nmatrix\n(I0\ntS'b'\ntR.",
        "numpy.matrix",
    ),
    "array state larger than its data": (
        EMPTY + b"(I1\n(" + HUGE + b"t" + FLOAT + b"I00\nS'abc'\ntb.",
        "holds 3 bytes",
    ),
    "negative shape": (EMPTY + b"(I1\n(I-1\nt" + FLOAT + b"I00\nS''\ntb.", "shape"),
    "array without content": (HEAD + b"(I0\ntS'b'\ntR.", "array without content"),
    "ndarray called": (b"cnumpy\nndarray\n((" + HUGE + b"ttR.", "numpy.ndarray"),
    "objects from raw bytes": (
        EMPTY + b"(I1\n(I1\nt" + OBJECT + b"I00\nS'abcdefgh'\ntb.",
        "list of 1 objects",
    ),
    "objects with a short list": (EMPTY + b"(I1\n(" + HUGE + b"t" + OBJECT + b"I00\n(lI1\natb.", "list of"),
    "object scalar": (b"cnumpy._core.multiarray\nscalar\n(" + OBJECT + b"S'abcdefgh'\ntR.", "dtype object"),
    "structured dtype": (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "dtype"),
    "frombuffer of objects": (
        b"cnumpy._core.numeric\n_frombuffer\n(S'abcdefgh'\n" + OBJECT + b"(I1\ntS'C'\ntR.",
        "_frombuffer",
    ),
    "bytearray of a size": (b"c__builtin__\nbytearray\n(" + HUGE + b"tR.", "bytearray"),
    "list of a size": (b"c__builtin__\nlist\n(" + HUGE + b"tR.", "list"),
    "range": (b"c__builtin__\nrange\n(" + HUGE + b"tR.", "range"),
    "other codec": (b"c_codecs\nencode\n(Vx\nVzlib\ntR.", "latin1"),
    "memo read before it is made": (b"j\xff\xff\xff\xff.", "memo"),
    "bytes declared, absent": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "declared"),
    "text declared, absent": (b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.", "declared"),
    "bytearray declared, absent": (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.", "declared"),
    "integer declared, absent": (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.", "declared"),
    "negative string": (b"T" + struct.pack("<i", -5) + b"x.", "declared"),
    "frame declared, absent": (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", "declared"),
    "out-of-band buffer": (b"\x80\x05\x97.", "no pickle instruction"),
    "extension registry": (b"\x80\x02\x82\x01.", "no pickle instruction"),
    "persistent id": (b"Pabc\n.", "no pickle instruction"),
    "old instance": (b"(ios\nsystem\n.", "os.system"),
    "new instance": (b"\x80\x02c__builtin__\nlist\n)\x81.", "list"),
    "set state of a dict": (b"}}b.", "inner state"),
    "a tuple as key": (b"})" + b"\x85" * 100_000 + b"Ns.", "key"),
    "billion laughs": (b"]p0\n0" + b"g0\n" + LAUGHS + b".", "again and again"),
    "cycle": (b"]p0\ng0\na.", "holds itself"),
    "empty stack": (b".", "not a whole pickle"),
    "not a pickle": (b"\x00\x01hello", "no pickle instruction"),
    "empty file": (b"", "empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    content, match = HOSTILE[name]
    refused(tmp_path, content, match)


HARMLESS = {  # what costs Python's own unpickler gigabytes or its stack, and costs nothing here
    "memo index as text": b"Np4294967295\n.",
    "memo index in four bytes": b"Nr\xff\xff\xff\xff.",
    "deep list": b"]" * 200_000 + b"a" * 199_999 + b".",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_bombs_for_other_readers_cost_nothing(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, HARMLESS[name])
    tracemalloc.start()
    read_pickle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_many_objects_in_few_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, b"(" + b"}" * 5_000_000 + b"l.")
    with pytest.raises(MitrError, match="more objects"):
        read_pickle(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"train": {"audio": np.arange(4.0), "id": ["a", "b"]}})
    for stop in range(len(content)):
        with pytest.raises(MitrError):
            read_pickle(write(tmp_path, content[:stop]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_escapes_as_another_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(PLAIN, data.draw(st.integers(0, 5)))[:2000])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MitrError):
        read_pickle(write(tmp_path, bytes(content)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"nothing\.pkl cannot be read"):
        read_pickle(tmp_path / "nothing.pkl")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_are_views_of_the_file(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path, pickle.dumps({"audio": np.ones((4, 1 << 20), np.float32)}, protocol))
    tracemalloc.start()
    file = map_pickle(path)
    array = read_pickle(path, file)["audio"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.nbytes == 16 << 20
    assert peak < 1 << 20
    assert not array.flags.writeable
    assert np.shares_memory(array, np.frombuffer(file.data, np.uint8))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_text_that_is_copied_does_not_stay_mapped_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.setattr(mapped, "KEPT", 1 << 20)
    given: list[bool] = []
    monkeypatch.setattr(mapped.MappedFile, "give_back", lambda file: given.append(True))
    values = np.random.default_rng(0).integers(0, 256, (4, 1 << 20)).astype(np.uint8)
    read = read_pickle(write(tmp_path, pickle.dumps(list(values), protocol)))
    np.testing.assert_array_equal(read, values)
    assert len(given) == 4
