"""The moments that mattered."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from made_talks import WORDS
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE
from mitr.media.reading import read_clip
from mitr.media.words.captions import Transcript
from mitr.prediction.answer import Moment
from mitr.prediction.moments import HiddenPart
from mitr.prediction.predictor import Predictor


def test_the_moments_that_mattered(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    answer = predictor.predict(clip, text=WORDS, explain=True)
    words = [moment for moment in answer.moments if moment.start is None]
    stretches = [moment for moment in answer.moments if moment.start is not None]
    assert 1 <= len(words) <= 3
    assert 1 <= len(stretches) <= 2
    assert all(moment.text in WORDS for moment in words)
    sizes = [abs(moment.change) for moment in words]
    assert sizes == sorted(sizes, reverse=True)
    shutil.copy(clip, tmp_path / "timed.mp4")
    cue = "WEBVTT\n\n00:00.000 --> 00:02.000\n<00:00.100>I <00:00.300>loved <00:01.200>this <00:01.500>film\n"
    (tmp_path / "timed.vtt").write_text(cue)
    timed = predictor.predict(tmp_path / "timed.mp4", explain=True)
    assert timed.text == "I loved this film"
    assert timed.moments
    assert all(moment.start is not None for moment in timed.moments)
    assert {moment.text for moment in timed.moments} <= {"I loved", "this film"}
    (tmp_path / "timed.vtt").unlink()
    (tmp_path / "timed.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,900\nI loved\n\n2\n00:00:01,000 --> 00:00:09,000\nit"
    )
    cued = predictor.predict(tmp_path / "timed.mp4", explain=True)
    times = {moment.text: (moment.start, moment.stop) for moment in cued.moments if moment.text}
    assert times == {"I": (0.1, 0.9), "loved": (0.1, 0.9), "it": (1.0, pytest.approx(2.0, abs=0.05))}


def test_a_hidden_part_is_what_the_change_says(predictor: Predictor, clip: Path) -> None:
    """All of a clip in one stretch: hidden, it leaves the words alone; a word hidden leaves the rest."""
    answer = predictor.predict(clip, text="wonderful", explain=True)
    network = predictor.network
    reading = read_clip(clip, predictor.recipes, cache=predictor.cache, transcript=Transcript("wonderful", (), (), "x"))
    examples = predictor._examples([reading])

    def without(hidden: dict[str, np.ndarray]) -> float:
        part = HiddenPart(Moment(None, None, "", 0.0), hidden, stretch=False)
        complete, rest = predict_under(network, examples, [COMPLETE, part.condition()])["prediction"]
        return complete - rest

    view = examples.collate([examples[0]]).view
    word = next(m for m in answer.moments if m.start is None)
    assert word.text == "wonderful"
    assert word.change == pytest.approx(without({"text": np.array([1])}), abs=1e-5)
    found = {(m.start, m.stop): m.change for m in answer.moments if m.start is not None}
    assert found
    for (start, stop), change in found.items():
        steps = {
            m: np.array(
                [i for i in range(view[m].valid.shape[1]) if start <= (i + 0.5) / reading.tracks[m].rate < stop]
            )
            for m in ("audio", "vision")
        }
        assert change == pytest.approx(without(steps), abs=1e-5)
        assert change != pytest.approx(without({"audio": steps["audio"]}), abs=1e-5)
        assert change != pytest.approx(without({"vision": steps["vision"]}), abs=1e-5)
