"""What an inspection finds and how it prints."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mitr.data.inspecting import Inspection, bars, inspect, print_inspection
from mitr.data.synth import synthesise


def printed(report: Inspection, width: int = 80) -> str:
    output = io.StringIO()
    print_inspection(report, Console(file=output, width=width))
    return output.getvalue()


def source(folder: Path) -> Path:
    audio = np.ones((4, 6, 2), np.float32)
    audio[:, :, 1] = np.arange(1, 7)
    audio[0, 2] = 0
    audio[1, 0, 0] = np.nan
    train = {
        "id": ["a", "b", "c", "d"],
        "audio": audio,
        "audio_lengths": [6, 5, 2, 1],
        "vision": np.ones((4, 2, 3)),
        "raw_text": ["good film"] * 4,
        "regression_labels": [1.0, -3.5, np.nan, 0],
    }
    test = train | {"id": ["a", "e", "f", "g"], "vision": np.zeros((4, 2, 3))}
    path = folder / "set.pkl"
    path.write_bytes(pickle.dumps({"train": train, "test": test}))
    return path


def test_classes_are_counted(tmp_path: Path) -> None:
    report = inspect(synthesise(tmp_path / "s", train=40, valid=4, test=0, task="classification").folder)
    assert report.classes is not None
    assert {name: set(counts) for name, counts in report.classes.items()} == {
        name: {"train", "valid"} for name in ("angry", "calm", "happy", "sad")
    }
    assert sum(counts["train"] for counts in report.classes.values()) == 40
    lacking = [name for name, counts in report.classes.items() if not counts["valid"]]
    for name in lacking:
        assert f"no sample of valid is of the class {name}" in report.warnings
    assert lacking
    text = printed(report)
    assert "4 classes" in text
    assert f"{report.classes['calm']['train']} · {report.classes['calm']['train'] / 40:.0%}" in text
    assert "labels from" not in text


def test_numbers_and_warnings(tmp_path: Path) -> None:
    report = inspect(source(tmp_path))
    assert list(report.splits) == ["train", "test"]
    assert (report.splits["train"].samples, report.splits["train"].labelled) == (4, 3)
    assert (
        report.splits["train"].negative,
        report.splits["train"].zero,
        report.splits["train"].positive,
    ) == (1, 1, 1)
    audio, text = report.modalities["audio"], report.modalities["text"]
    assert audio.lengths is not None
    assert (audio.lengths.minimum, audio.lengths.median, audio.lengths.maximum) == (1, 3.5, 6)
    assert audio.missing_share["train"] == pytest.approx(1 / 14)
    assert audio.cleaning.nonfinite_values == 2
    assert report.modalities["vision"].absent == {"train": 0, "test": 4}
    assert text.lengths is not None
    assert text.lengths.maximum == 2
    found = "\n".join(report.warnings)
    for words in (
        "vision is absent from the whole test",
        "no valid split",
        "1 samples have no label",
        "1 ids stand in more than one split, e.g. a",
        "2 values of 2 samples were not finite",
        "vision: 3 columns (0, 1, 2) are constant",
    ):
        assert words in found
    json.dumps(report.to_json())


def test_it_prints_in_80_columns(tmp_path: Path) -> None:
    reports = [
        inspect(source(tmp_path)),
        inspect(synthesise(tmp_path / "s", train=20, valid=5, test=5).folder),
    ]
    for report in reports:
        text = printed(report)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert report.name in text
    assert "SYNTHETIC" in printed(reports[1])
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("set.pkl", "s")] == []


def test_bars() -> None:
    assert bars([0, 1, 4, 8]) == "·▁▄█"
    assert bars([]) == ""


def test_ict_mmmo(shared: Path) -> None:
    report = inspect(shared / "data/ict_mmmo/ict_mmmo.pkl")
    assert report.modalities["text"].absent == {"train": 220, "valid": 0, "test": 0}
    assert "text is absent from the whole train split" in report.warnings
    assert "…" not in printed(report)


def test_mosi(shared: Path) -> None:
    report = inspect(shared / "data/mosi_text_audio")
    assert "vision is absent from every sample" in report.warnings
    assert report.splits["test"].samples == 686
