"""Whatever goes into a store comes out of it."""

import json
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mitr.data import mapped
from mitr.data.schema import DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, content_sha256, write_store
from mitr.errors import MitrError
from waiting import LONGEST

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    made = []
    for i in range(draw(st.integers(1, 5))):
        sample = Sample(
            f"s{i}",
            draw(st.sampled_from(["train", "valid", "test"])),
            draw(st.none() | st.floats(-3, 3, width=32)),
        )
        sample.raw_text = draw(st.text(st.characters(codec="utf-8"), max_size=8))
        for m, dim in (("text", None), ("audio", 2)):
            steps = draw(st.integers(0, 4))
            if steps:
                kind = arrays(np.int32, steps, elements=st.integers(0, 30_000))
                sample.features[m] = draw(kind if dim is None else arrays(np.float32, (steps, dim), elements=finite))
                sample.available[m] = draw(arrays(bool, steps))
        made.append(sample)
    return made


@settings(max_examples=60, deadline=None)
@given(samples())
def test_any_ragged_set_round_trips(made: list[Sample]) -> None:
    modalities = {"text": Modality("ids", tokenizer="bert-base-uncased"), "audio": Modality("features", 2, 9)}
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), iter(made), DatasetInfo("x", (-3, 3), modalities, Source("x", "test")))
        data = Dataset(folder)
        assert data.info.modalities == modalities
        assert (data.ids, data.splits) == ([s.id for s in made], [s.split for s in made])
        assert data.raw_text == [s.raw_text for s in made]
        np.testing.assert_array_equal(
            data.labels, np.array([np.nan if s.label is None else s.label for s in made], np.float32)
        )
        for row, sample in enumerate(made):
            for m, empty in (("text", np.zeros(0, np.int32)), ("audio", np.zeros((0, 2), np.float32))):
                np.testing.assert_array_equal(data.features(m, row), sample.features.get(m, empty))
                np.testing.assert_array_equal(data.available(m, row), sample.available.get(m, np.zeros(0, bool)))


def test_a_store_from_before_there_were_classes_opens(tmp_path: Path) -> None:
    made = [Sample("a", "train", 1.0, features={"audio": np.ones((3, 2), np.float32)})]
    write_store(tmp_path, made, DatasetInfo("x", (-3, 3), {"audio": Modality("features", 2)}, Source("x", "test")))
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert about.pop("classes") is None
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    data = Dataset(tmp_path)
    assert data.info.classes is None
    assert data.info.content_sha256 == content_sha256(tmp_path)


def test_the_classes_come_back(tmp_path: Path) -> None:
    modalities = {"audio": Modality("features", 2)}
    made = [Sample("a", "train", 1.0, features={"audio": np.ones((3, 2), np.float32)}), Sample("b", "train", None)]
    info = DatasetInfo("x", (0, 1), modalities, Source("x", "test"), classes=("angry", "sad"))
    write_store(tmp_path, made, info)
    data = Dataset(tmp_path)
    assert data.info.classes == ("angry", "sad")
    np.testing.assert_array_equal(data.labels, [1, np.nan])


def test_damage_is_told(tmp_path: Path) -> None:
    made = [Sample("a", "train", 1.0, features={"audio": np.ones((3, 2), np.float32)})]
    write_store(tmp_path, made, DatasetInfo("x", (-3, 3), {"audio": Modality("features", 2)}, Source("x", "test")))
    path = tmp_path / "features.safetensors"
    content = path.read_bytes()
    for broken in (content[:-4], content[:20], b"", b"\xff" * 64, content[:8] + b"x" + content[9:]):
        path.write_bytes(broken)
        with pytest.raises(MitrError, match="damaged"):
            Dataset(tmp_path)
    path.unlink()
    with pytest.raises(MitrError, match="damaged"):
        Dataset(tmp_path)


def large(folder: Path) -> None:
    values = np.arange(20 * 1000 * 64, dtype=np.float32).reshape(20, 1000, 64)
    made = [Sample(str(i), "train", 1.0, features={"audio": part}) for i, part in enumerate(values)]
    write_store(folder, made, DatasetInfo("x", (-3, 3), {"audio": Modality("features", 64)}, Source("x", "test")))


def test_features_are_views_of_the_file(tmp_path: Path) -> None:
    large(tmp_path)
    tracemalloc.start()
    data = Dataset(tmp_path)
    read = [data.features("audio", row) for row in range(20)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(part.nbytes for part in read) == 20 * 1000 * 64 * 4
    assert peak < 1 << 20
    assert not any(part.flags.writeable or part.flags.owndata for part in read)
    assert np.shares_memory(read[3], data.features("audio", 3))
    np.testing.assert_array_equal(read[19][-1], np.arange(20 * 1000 * 64, dtype=np.float32)[-64:])


def test_reading_all_samples_gives_their_pages_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large(tmp_path)
    monkeypatch.setattr(mapped, "KEPT", 1 << 20)
    given: list[bool] = []
    monkeypatch.setattr(mapped.MappedFile, "give_back", lambda file: given.append(True))
    data = Dataset(tmp_path)
    for row in range(20):
        data.features("audio", row)
        data.available("audio", row)
    # each sample counts 250 KiB + 64 KiB + 1000 bytes + 64 KiB: the third goes beyond, then every second one
    assert len(given) == 9


def test_opening_does_not_import_pandas(tmp_path: Path) -> None:
    large(tmp_path)
    code = "import sys; from mitr.data.store import Dataset; Dataset(sys.argv[1]); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=LONGEST)
