"""A run answers about clips: as it would about the data set, whatever is missing of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import mitr
from made_clips import moving_squares, silence
from made_counts import Decodings, frames_in
from made_talks import WORDS, face_at, half_width, talk
from mitr.batches.examples import Examples
from mitr.batches.views import View
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE, coalitions_of
from mitr.media.cache import Cache
from mitr.media.options import SpeechConfig
from mitr.media.words.captions import Cue, Transcript
from mitr.prediction.answer import Prediction
from mitr.prediction.predictor import Predictor
from mitr.runs.run import Run


def test_a_clip_gets_the_same_answer_as_in_its_data_set(talks_run: Run, talks_data: Dataset, clips: Path) -> None:
    network = talks_run.load_network()
    table = predict_under(network, talks_run.examples(talks_data, "test", network), [COMPLETE], batch_size=1)
    words = dict(zip(talks_data.ids, talks_data.raw_text, strict=True))
    predictor = Predictor(talks_run, cache=Cache(talks_run.folder.parent / "cache-of-its-own"))
    for place, row in zip(talks_data.indices("test"), table.itertuples(), strict=True):
        video, number = row.id.split("$_$")
        answer = predictor.predict(clips / "Raw" / video / f"{number}.mp4", text=words[row.id])
        assert answer.sentiment == pytest.approx(np.clip(row.prediction, -3, 3), abs=1e-6)
        assert answer.observed["vision"] == pytest.approx(row.observed_vision, abs=1e-4)
        alone = Examples(talks_data, np.array([place]), talks_run.normalizer(), network.text, predictor.modalities)
        asked = predict_under(network, alone, coalitions_of(alone))["prediction"]  # in the batch of an answer
        assert answer.sentiment == np.clip(asked.iloc[-1], -3, 3)  # to the last bit


def test_the_answer_is_sure_of_itself_and_says_why(whole: Prediction) -> None:
    assert whole.sentiment is not None
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low < whole.sentiment <= whole.high
    assert whole.level == 0.9
    assert whole.observed == {"text": 1.0, "audio": pytest.approx(1.0, abs=0.4), "vision": pytest.approx(1.0, abs=0.1)}
    assert whole.prior is not None
    assert np.clip(whole.prior + sum(whole.shapley.values()), -3, 3) == pytest.approx(whole.sentiment, abs=1e-5)
    assert (whole.text, whole.text_source) == (WORDS, "given")


def test_the_three_lines_of_python(
    talks_run: Run, clip: Path, whole: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITR_CACHE", str(clip.parent / "users-cache"))
    answer = mitr.load(talks_run.folder).predict(clip, text=WORDS)
    assert answer.sentiment == whole.sentiment


def variants() -> list[tuple[str, dict[str, object], dict[str, str]]]:
    """name, how the clip is written, and what must be said to be missing."""
    return [
        ("no-sound.mp4", {"sound": None}, {"audio": "no audio stream"}),
        ("no-picture.wav", {"picture": None}, {"vision": "no video stream"}),
        ("silent.mp4", {"sound": silence}, {"audio": "silence"}),
        ("still.mp4", {"picture": lambda t: face_at(0.0, 2.0)}, {"vision": "a still picture, not a video"}),
        ("no-face.mp4", {"picture": moving_squares}, {"vision": "no face"}),
        ("cut.mp4", {"seconds": 1.0}, {}),
        ("again.webm", {}, {}),
        ("again.mkv", {}, {}),
        ("turned.mp4", {"rotation": 90}, {}),
        ("slow.mp4", {"fps": 5}, {}),
        ("fast.mp4", {"fps": 30}, {}),
    ]


@pytest.mark.parametrize(("name", "how", "missing"), variants(), ids=[name for name, _, _ in variants()])
def test_the_same_clip_otherwise(
    predictor: Predictor, whole: Prediction, tmp_path: Path, name: str, how: dict, missing: dict[str, str]
) -> None:
    seconds = how.pop("seconds", 2.0) if "seconds" in how else 2.0
    answer = predictor.predict(talk(tmp_path / name, 2.0, seconds, **how), text=WORDS)
    assert answer.sentiment is not None
    assert np.isfinite(answer.sentiment)
    assert {m: spans[0].reason for m, spans in answer.missing.items() if answer.observed[m] == 0} == missing
    assert whole.low is not None
    assert whole.high is not None
    if not missing and name != "cut.mp4":
        assert whole.low <= answer.sentiment <= whole.high
        assert answer.observed["vision"] > 0.9
    if missing:
        assert half_width(predictor, answer) >= half_width(predictor, whole)


def test_without_words_and_without_anything(predictor: Predictor, clip: Path, tmp_path: Path, talks_run: Run) -> None:
    mute = predictor.predict(clip)
    assert [span.reason for span in mute.missing["text"]] == ["no transcript"]
    assert mute.shapley["text"] == 0
    blank = talk(tmp_path / "blank.mp4", picture=lambda t: np.full((120, 160, 3), 90, np.uint8), sound=silence)
    nothing = predictor.predict(blank)
    assert nothing.all_missing
    assert nothing.sentiment == pytest.approx(talks_run.info.network.prior)
    assert set(nothing.missing) == {"text", "audio", "vision"}
    assert "nothing could be observed" in str(nothing)


def test_words_alone(predictor: Predictor) -> None:
    answer = predictor.predict(None, text=WORDS)
    assert answer.observed == {"text": 1.0, "audio": 0.0, "vision": 0.0}
    assert answer.file is None
    with pytest.raises(MitrError, match="name a file, or give --text"):
        predictor.predict(None)


def test_modalities_left_out_are_not_even_read(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    answer = Predictor(talks_run, missing=["audio", "vision"], cache=cache).predict(clip, text=WORDS)
    assert answer.observed == {"text": 1.0, "audio": 0.0, "vision": 0.0}
    assert answer.missing["audio"][0].reason == "left out as asked"
    assert not list(cache.folder.glob("*/*/*"))
    with pytest.raises(MitrError, match="--missing names 'sound'; it must be text, audio or vision"):
        Predictor(talks_run, missing=["sound"])


def test_words_left_out_are_not_read(talks_run: Run, clip: Path, predictor: Predictor, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "clip.srt").write_text("this is no subtitle")  # and so does not matter
    without = Predictor(talks_run, missing=["text"], cache=predictor.cache)
    answer = without.predict(tmp_path / "clip.mp4")
    assert (answer.text, answer.observed["text"], answer.shapley["text"]) == ("", 0.0, 0.0)
    assert answer.missing["text"][0].reason == "left out as asked"
    assert answer.sentiment == predictor.predict(clip).sentiment
    assert without.predict(clip, text=WORDS).sentiment == answer.sentiment
    with pytest.raises(MitrError, match="reads no text here, so words alone cannot be answered"):
        without.predict(None, text=WORDS)
    cue = "1\n00:00:00,100 --> 00:00:01,500\nI loved this film\n"
    (tmp_path / "clip.srt").write_text(cue)
    parts = without.predict(tmp_path / "clip.mp4", segments="subtitles").segments
    assert [(part.start, part.stop, part.text, part.observed["text"]) for part in parts] == [(0.1, 1.5, "", 0.0)]


def test_no_words_as_asked(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / "clip.txt").write_text(WORDS)
    assert predictor.predict(tmp_path / "clip.mp4").text_source == "clip.txt"
    assert predictor.predict(tmp_path / "clip.mp4", text="").observed["text"] == 0


def test_words_that_are_heard(
    talks_run: Run, clip: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Transcript(WORDS, (Cue(0.0, 9.0, WORDS),), (), "speech recognition (small)")
    asked: list[str] = []
    monkeypatch.setattr("mitr.media.words.speech.check", lambda model, allow: asked.append(model))
    monkeypatch.setattr("mitr.media.words.speech.transcribe", lambda *_: asked.append("heard") or heard)
    speech = SpeechConfig(model="small")
    listening = Predictor(talks_run, speech=speech, cache=Cache(tmp_path / "cache"))
    assert asked == []
    answer = listening.predict(clip)
    assert (answer.text, answer.text_source) == (WORDS, "speech recognition (small)")
    assert answer.sentiment == predictor.predict(clip, text=WORDS).sentiment
    assert "text" not in answer.missing
    listening.predict(clip, text="")
    listening.predict(clip)
    assert asked == ["small", "heard"]  # once, and never where words are given
    deaf = Predictor(talks_run, missing=["audio"], speech=speech, cache=Cache(tmp_path / "other"))
    assert deaf.predict(clip).missing["text"][0].reason == "no transcript"
    assert asked == ["small", "heard", "small"]


def test_a_long_clip_is_said_to_be_long(predictor: Predictor, tmp_path: Path) -> None:
    path = talk(tmp_path / "long.wav", picture=None, seconds=62.0, audio_rate=16000, layout="mono")
    answer = predictor.predict(path)
    assert any("62 s were answered as one sample" in note for note in answer.notes)


@pytest.fixture
def forwards(predictor: Predictor) -> Iterator[list[int]]:
    """The number of views in each forward pass of the network."""
    counts: list[int] = []

    def counted(network: torch.nn.Module, args: tuple[View, ...], output: object) -> None:
        counts.append(len(next(iter(args[0].values())).valid))

    hook = predictor.network.register_forward_hook(counted)
    yield counts
    hook.remove()


def test_the_network_is_asked_once(predictor: Predictor, clip: Path, forwards: list[int]) -> None:
    """About each set of modalities, the complete one among them, and with --explain about each hidden part too."""
    predictor.predict(clip, text=WORDS)
    assert forwards == [7]
    forwards.clear()
    predictor.predict(clip, text=WORDS, explain=True)
    stretches = 2
    assert forwards == [7 + stretches + len(WORDS.replace(",", "").split())]
    forwards.clear()
    predictor.predict(None, text=WORDS)
    assert forwards == [2]  # the words, and nothing
    forwards.clear()
    predictor.predict(clip, text="", segments="windows", window=1.0)
    assert len(forwards) == 2  # the clip, and its segments together


def test_a_clip_is_opened_and_decoded_once(
    talks_run: Run, clip: Path, tmp_path: Path, decodings: Decodings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file = frames_in(clip)
    predictor = Predictor(talks_run, cache=Cache(tmp_path / "plain"))
    predictor.predict(clip, text=WORDS)
    assert (decodings.opened, dict(decodings.frames)) == (1, in_file)
    decodings.clear()
    heard = Transcript(WORDS, (), (), "speech recognition (small)")
    monkeypatch.setattr("mitr.media.words.speech.check", lambda model, allow: None)
    monkeypatch.setattr("mitr.media.words.speech.transcribe", lambda *_: heard)
    listening = Predictor(talks_run, cache=Cache(tmp_path / "cut"), speech=SpeechConfig(model="small"))
    assert listening.predict(clip, segments="silence").text == WORDS
    assert (decodings.opened, dict(decodings.frames)) == (1, in_file)
    decodings.clear()
    listening.predict(clip, segments="silence")  # the loudness is not in the cache
    assert (decodings.opened, dict(decodings.frames)) == (1, {"audio": in_file["audio"]})
