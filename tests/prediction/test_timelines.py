"""Answers about the segments of a clip."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_talks import half_width
from mitr.batches.examples import Examples
from mitr.errors import MitrError
from mitr.prediction import predictor as predictor_module
from mitr.prediction.predictor import Predictor


def test_a_timeline_by_subtitles(predictor: Predictor, long: Path) -> None:
    answer = predictor.predict(long, segments="subtitles")
    assert [(part.start, part.stop) for part in answer.segments] == [(0.2, 2.3), (3.7, 5.9)]
    assert [part.text for part in answer.segments] == ["I loved this film", "but the end is bad"]
    assert answer.segments[0].observed["vision"] > 0.9
    assert 0.05 < answer.segments[1].observed["vision"] < 0.3
    assert answer.segments[0].low != answer.segments[1].low  # each has an interval of its own
    for part in answer.segments:
        width = half_width(predictor, part)
        assert part.sentiment is not None
        raw = part.prior + sum(part.shapley.values())  # type: ignore[operator]
        assert (part.low, part.high) == pytest.approx(np.clip([raw - width, raw + width], -3, 3), abs=1e-4)
    late = answer.segments[1].missing["vision"][-1]
    assert late.start == pytest.approx(4.0, abs=0.11)
    assert late.stop == pytest.approx(5.9, abs=0.11)


def test_a_timeline_by_pauses_and_by_windows(predictor: Predictor, long: Path) -> None:
    found = predictor.predict(long, segments="silence").segments
    assert any(part.start == pytest.approx(3.0, abs=0.2) for part in found)
    found = predictor.predict(long, segments="windows", window=2.0).segments
    assert [round(part.start) for part in found] == [0, 2, 4]
    assert found[1].missing["audio"][0].start == pytest.approx(2.4, abs=0.1)
    assert found[1].text == ""
    plain = predictor.predict(long, text="no times", segments="windows", window=2.0)
    assert any("the text has no times" in note for note in plain.notes)


def test_a_segment_is_answered_as_the_clip_of_it_would_be(predictor: Predictor, long: Path) -> None:
    one = predictor.predict(long, segments="windows", window=100.0)
    assert len(one.segments) == 1
    assert one.segments[0].sentiment == pytest.approx(one.sentiment, abs=1e-5)


def test_segments_cost_what_they_hold(predictor: Predictor, long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not padded to the whole clip, which would cost its square for each of them."""
    shapes: list[tuple[int, int]] = []
    known = predictor_module.predict_under

    def watched(network: object, examples: Examples, conditions: object, **more: object) -> pd.DataFrame:
        valid = examples.collate([examples[i] for i in range(len(examples))]).view["audio"].valid
        shapes.append(tuple(valid.shape))  # type: ignore[arg-type]
        return known(network, examples, conditions, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(predictor_module, "predict_under", watched)
    predictor.predict(long, segments="windows", window=1.0)
    assert [count for count, _ in shapes] == [1, 6]
    assert shapes[1][1] < shapes[0][1] / 5


def test_a_cue_after_another_has_its_own_words(predictor: Predictor, long: Path, tmp_path: Path) -> None:
    shutil.copy(long, tmp_path / "a.mp4")
    cues = "1\n00:00:00,200 --> 00:00:05,000\nfirst\n\n2\n00:00:02,000 --> 00:00:03,000\nsecond\n\n"
    late = cues + "3\n00:00:05,000 --> 00:00:19,000\nthird\n\n4\n00:00:20,000 --> 00:00:21,000\nlate\n"
    (tmp_path / "a.srt").write_text(late)
    answer = predictor.predict(tmp_path / "a.mp4", segments="subtitles")
    assert answer.text == "first second third late"
    assert any("1 subtitles after the clip's end are in no segment" in note for note in answer.notes)
    with pytest.raises(MitrError, match="which --text replaces: leave it out"):
        predictor.predict(tmp_path / "a.mp4", segments="subtitles", text="other")
    parts = answer.segments
    assert [part.text for part in parts] == ["first", "second", "third"]
    assert parts[2].stop == pytest.approx(6.0, abs=0.05)
    assert parts[2].observed["text"] == 1.0
