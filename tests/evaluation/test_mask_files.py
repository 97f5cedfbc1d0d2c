"""Masks of a data set in a file, by the command line: whose they are, and data that cannot serve a protocol."""

from pathlib import Path

import numpy as np
import pytest

from made import options
from mitr.__main__ import main
from mitr.batches.examples import Examples
from mitr.data.normalize import Normalizer
from mitr.data.scale import Scale
from mitr.data.schema import DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, write_store
from mitr.errors import MitrError
from mitr.missing.protocols import PROTOCOLS
from mitr.missing.saved import condition_masks, read_masks
from mitr.missing.schedules import Masks
from mitr.text.encoder import TextEncoder


def same(one: Masks, other: Masks) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(a, b) and a.dtype == b.dtype for m in one for a, b in zip(one[m], other[m], strict=True)
    )


def test_from_embeddings(small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "m.npz"
    words = ["masks", "export", str(small.folder), "--protocol", "combinations", "--split", "valid"]
    assert main([*words, "--out", str(out)]) == 0
    assert "24 samples in 7 conditions" in capsys.readouterr().out
    found = read_masks(out)
    assert found.ids == [small.ids[row] for row in small.indices("valid")]
    assert found.about == {
        "protocol": "combinations",
        "data": "synthetic",
        "split": "valid",
        "content_sha256": small.info.content_sha256,
        "text": None,
    }
    assert main([*words, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--out", str(out), "--overwrite"]) == 0


def test_raw_text_has_masks_of_its_tokens(small_text: Dataset, minilm: TextEncoder, tmp_path: Path) -> None:
    out = tmp_path / "m.npz"
    words = ["masks", "export", str(small_text.folder), "--protocol", "auilc", "--out", str(out)]
    assert main([*words, "--text.encoder", "minilm"]) == 0
    examples = Examples(small_text, small_text.indices("test"), Normalizer({}), minilm)
    found = read_masks(out, examples.ids)
    assert found.about["text"] == options().text.encoder == "minilm"
    drawn = condition_masks(found, examples.ids)[4].masks(examples.extents())
    conditions = PROTOCOLS["auilc"].conditions(("text", "audio", "vision"), Scale.of((-3, 3)))
    expected = conditions[4].masks(examples.extents())
    assert same(drawn, expected)
    assert main([*words, "--overwrite", "--text.max_tokens", "4"]) == 0
    with pytest.raises(MitrError, match="4 steps of text"):
        condition_masks(read_masks(out), examples.ids)[0].masks(examples.extents())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--protocol", "auilc", "--out", "m.npz"], "nowhere is not a mitr data set"),
        (["nowhere", "--protocol", "auilc", "--out", "m"], "call the file m.npz"),
    ],
)
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["masks", "export", *words]) == 2
    assert message in capsys.readouterr().err


def test_data_that_cannot_serve_the_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [Sample("s", "test", 0.0, "", {"audio": np.ones((2, 2), np.float32)})]
    write_store(tmp_path, samples, DatasetInfo("x", (-3, 3), {"audio": Modality("features", 2)}, Source("x", "t")))
    words = ["masks", "export", str(tmp_path), "--protocol", "combinations", "--out", str(tmp_path / "m.npz")]
    assert main(words) == 2
    assert "needs 2 with content in the test split" in capsys.readouterr().err
    assert not (tmp_path / "m.npz").exists()
