"""The picture of a timeline shows what the segments say; names of files are not taken twice."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from mitr.media.features import Span
from mitr.prediction.answer import Prediction
from mitr.report.timeline import free_stem, joined, observed_of, picture, without, write_timeline


def timeline(classes: bool = False) -> Prediction:
    """Six seconds, two parts; no face from 4 s on, words in the first part."""

    def part(start: float, stop: float, score: float, text: str) -> Prediction:
        found = Prediction("a.mp4", start, stop, (-3.0, 3.0), observed={"text": float(bool(text)), "vision": 0.8})
        if classes:
            found.category, found.probabilities = "glad", {"glad": 0.5 + score / 6, "sad": 0.5 - score / 6}
        else:
            found.sentiment, found.low, found.high, found.level = score, score - 1, score + 1, 0.9
        found.text = text
        return found

    whole = part(0.0, 6.0, 0.5, "well")
    whole.missing = {"vision": [Span(4.0, 5.0, "no face"), Span(4.5, 9.0, "the file ends early")]}
    whole.segments = [part(0.0, 3.0, 1.0, "well"), part(3.0, 6.0, -1.0, "")]
    return whole


def test_when_a_modality_was_observed() -> None:
    assert observed_of(timeline(), "vision") == [(0.0, 4.0)]
    assert observed_of(timeline(), "text") == [(0.0, 3.0)]


def test_stretches() -> None:
    assert joined([(4, 5), (0, 1), (1, 2), (4.5, 9)]) == [(0, 2), (4, 9)]
    assert without([(0, 2), (4, 9)], 6) == [(2, 4)]
    assert without([], 6) == [(0, 6)]
    assert without([(0, 6)], 6) == []


@pytest.mark.parametrize("classes", [False, True])
def test_all_three_files(tmp_path: Path, classes: bool) -> None:
    paths = write_timeline(timeline(classes), tmp_path, "a")
    assert [path.name for path in paths] == ["a.csv", "a.json", "a.png"]
    drawn = imread(paths[2])
    assert drawn.shape[1] == 1800
    other = timeline(classes)
    other.missing = {}
    changed = imread(_write(picture(other), tmp_path / "b.png"))
    assert changed.shape == drawn.shape
    assert np.abs(changed - drawn).max() > 0.1  # what was missing is drawn


def _write(png: bytes, path: Path) -> Path:
    path.write_bytes(png)
    return path


def test_names_are_not_taken_twice() -> None:
    taken: set[str] = set()
    assert [free_stem(stem, taken) for stem in ("a", "a", "a-2", "a", "b")] == ["a", "a-2", "a-2-2", "a-3", "b"]
