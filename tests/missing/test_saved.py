"""Masks in a file: what was written comes back, numpy alone can read it, and other data or files are refused."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.missing import saved
from mitr.missing.protocols import PROTOCOLS, Condition
from mitr.missing.saved import condition_masks, read_masks, write_masks
from mitr.missing.schedules import Extent, Masks

IDS = ["a", "b$_$1", "é 中"]
DOCS = Path(__file__).parents[2] / "docs"


def extents() -> dict[str, Extent]:
    return {
        "text": Extent(np.array([6, 12, 3]), 50, special_tokens=True),
        "audio": Extent(np.array([9, 0, 1])),
    }


def conditions(protocol: str) -> tuple[Condition, ...]:
    return PROTOCOLS[protocol].conditions(("text", "audio"), Scale.of((-3, 3)))


def same(one: Masks, other: Masks) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(a, b) and a.dtype == b.dtype for m in one for a, b in zip(one[m], other[m], strict=True)
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_masks(tmp_path / "m.npz", conditions("blocks"), IDS, extents(), {"data": "x", "split": "test"})
    return tmp_path / "m.npz"


class TestRoundTrip:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_the_same_conditions_come_back(self, protocol: str, tmp_path: Path) -> None:
        write_masks(tmp_path / "m.npz", conditions(protocol), IDS, extents(), {"protocol": protocol})
        found = read_masks(tmp_path / "m.npz", IDS)
        assert found.about == {"protocol": protocol}
        again = condition_masks(found, IDS)
        assert again == conditions(protocol)  # names, axes and levels
        for before, after in zip(conditions(protocol), again, strict=True):
            assert same(before.masks(extents()), after.masks(extents())), before.name

    def test_samples_in_another_order(self, file: Path) -> None:
        rows = [2, 0]
        mine = {m: Extent(e.lengths[rows], e.padded_length, e.special_tokens) for m, e in extents().items()}
        for before, after in zip(conditions("blocks"), condition_masks(read_masks(file), ["é 中", "a"]), strict=True):
            for m, mask in after.masks(mine).items():
                np.testing.assert_array_equal(mask.keep, before.masks(extents())[m].keep[rows])

    def test_the_same_masks_are_the_same_bytes(self, file: Path, tmp_path: Path) -> None:
        write_masks(tmp_path / "n.npz", conditions("blocks"), IDS, extents(), {"data": "x", "split": "test"})
        assert file.read_bytes() == (tmp_path / "n.npz").read_bytes()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=5))
    @settings(max_examples=20, deadline=None, derandomize=True)
    def test_any_lengths(self, tmp_path_factory: pytest.TempPathFactory, lengths: list[int]) -> None:
        path = tmp_path_factory.mktemp("masks") / "m.npz"
        made, ids = {"vision": Extent(np.array(lengths))}, [str(i) for i in range(len(lengths))]
        (condition, *_) = PROTOCOLS["auilc"].conditions(("vision",), Scale.of((-3, 3)))[5:]
        write_masks(path, [condition], ids, made, {})
        (again,) = condition_masks(read_masks(path), ids)
        assert same(condition.masks(made), again.masks(made))


class TestNumpyAlone:
    def test_the_lines_of_the_page(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = (DOCS / "protocols.md").read_text(encoding="utf-8")
        (lines,) = re.findall(r"<!-- tested -->\n```python\n(.*?)```", page, flags=re.DOTALL)
        file.rename(file.with_name("blocks.npz"))
        monkeypatch.chdir(file.parent)
        found: dict = {}
        exec(lines, found)
        expected = next(c for c in conditions("blocks") if c.name == "block start text=0.5").masks(extents())["text"]
        np.testing.assert_array_equal(found["keep"], expected.keep)
        np.testing.assert_array_equal(found["absent"], expected.absent)
        assert found["ids"].tolist() == IDS
        assert found["lengths"].tolist() == [6, 12, 3]

    def test_every_array_is_on_the_page(self, file: Path) -> None:
        page = (DOCS / "protocols.md").read_text(encoding="utf-8")
        with np.load(file, allow_pickle=False) as arrays:
            for name in arrays.files:
                assert f"`{re.sub('_(text|audio)$', '_<modality>', name)}`" in page, name
                assert not arrays[name].dtype.hasobject
            assert json.loads(str(arrays["about"])) == {"data": "x", "split": "test"}


class TestOtherData:
    def test_unknown_samples(self, file: Path) -> None:
        with pytest.raises(MitrError, match=r"none for 2 of 3 samples, such as 'c'.*x, test split"):
            read_masks(file, ["a", "c", "d"])
        with pytest.raises(MitrError, match="none for 1 of 1"):
            condition_masks(read_masks(file), ["c"])

    def test_other_lengths(self, file: Path) -> None:
        other = extents()
        other["text"].lengths[1] = 11
        with pytest.raises(MitrError, match=r"12 steps of text in sample 'b\$_\$1', which has 11"):
            condition_masks(read_masks(file), IDS)[0].masks(other)

    def test_another_modality(self, file: Path) -> None:
        other = extents() | {"vision": Extent(np.array([1, 1, 1]))}
        with pytest.raises(MitrError, match="have no vision"):
            condition_masks(read_masks(file), IDS)[0].masks(other)

    def test_fewer_modalities_are_no_fault(self, file: Path) -> None:
        assert set(condition_masks(read_masks(file), IDS)[0].masks({"audio": extents()["audio"]})) == {"audio"}


class TestOtherFiles:
    def changed(self, file: Path, **arrays: np.ndarray) -> Path:
        with np.load(file) as old:
            content = {name: old[name] for name in old.files} | arrays
        np.savez(file, **content)
        return file

    @pytest.mark.parametrize(
        "arrays",
        [
            {"version": np.array(2)},
            {"about": np.array("{")},
            {"ids": np.array(["a", "a", "b"])},
            {"ids": np.array(["a", "b"])},
            {"levels": np.zeros(3)},
            {"steps_text": np.array(60)},
            {"keep_text": np.zeros((26, 3, 7), np.int64)},
            {"absent_audio": np.zeros((26, 2), bool)},
            {"lengths_audio": np.zeros(4, np.int64)},
            {"modalities": np.array(["text", "vision"])},
        ],
        ids=lambda arrays: next(iter(arrays)),
    )
    def test_parts_that_do_not_fit(self, file: Path, arrays: dict[str, np.ndarray]) -> None:
        with pytest.raises(MitrError, match=r"m\.npz is not a file of masks"):
            read_masks(self.changed(file, **arrays))

    def test_pickles_are_not_opened(self, file: Path) -> None:
        with pytest.raises(MitrError, match="something else than plain arrays"):
            read_masks(self.changed(file, ids=np.array(["a", "b", "c"], dtype=object)))

    @pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 broken"])
    def test_no_masks_at_all(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "m.npz").write_bytes(content)
        with pytest.raises(MitrError, match="is not a file of masks"):
            read_masks(tmp_path / "m.npz")

    def test_a_damaged_one(self, file: Path) -> None:
        content = bytearray(file.read_bytes())
        for start in range(60, len(content), 97):
            content[start] ^= 0xFF
        file.write_bytes(bytes(content))
        with pytest.raises(MitrError, match="is not a file of masks"):
            read_masks(file)

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(MitrError, match="does not exist"):
            read_masks(tmp_path / "none.npz")

    def test_a_header_that_promises_more_than_there_is(self, file: Path, tmp_path: Path) -> None:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }\n"
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("more.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"x")
        with pytest.raises(MitrError, match="cannot reshape"):
            read_masks(file)

    def test_more_than_fits(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(saved, "MOST_BYTES", 1000)
        with pytest.raises(MitrError, match="unpacks to more than"):
            read_masks(file)
