"""A run answers about clips: as it would about the data set, whatever is missing of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mitr
from made import options
from made_clips import moving_squares, silence, tone
from made_talks import face_at, talk, words_for
from mitr.__main__ import main
from mitr.batches.examples import Examples
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation import calibrating
from mitr.evaluation.curves import Curves
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE
from mitr.media.cache import Cache
from mitr.media.captions import Cue, Transcript
from mitr.media.options import SpeechConfig
from mitr.media.reading import read_clip
from mitr.missing.masks import Mask
from mitr.missing.protocols import Condition
from mitr.prediction import predictor as predictor_module
from mitr.prediction.answer import Prediction
from mitr.prediction.moments import _changes
from mitr.prediction.predictor import Predictor
from mitr.training.run import Run, train

WORDS = words_for(2.0, 0)


@pytest.fixture(scope="module")
def predictor(talks_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(talks_run, cache=Cache(tmp_path_factory.mktemp("predict") / "cache"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a smiling face that speaks."""
    return talk(tmp_path_factory.mktemp("predict") / "clip.mp4", 2.0, 2.0)


@pytest.fixture(scope="module")
def whole(predictor: Predictor, clip: Path) -> Prediction:
    return predictor.predict(clip, text=WORDS)


def test_a_clip_gets_the_same_answer_as_in_its_data_set(talks_run: Run, talks_data: Dataset, clips: Path) -> None:
    network = talks_run.network()
    table = predict_under(network, talks_run.examples(talks_data, "test", network), [COMPLETE], batch_size=1)
    words = dict(zip(talks_data.ids, talks_data.raw_text, strict=True))
    predictor = Predictor(talks_run, cache=Cache(talks_run.folder.parent / "cache-of-its-own"))
    for row in table.itertuples():
        video, number = row.id.split("$_$")
        answer = predictor.predict(clips / "Raw" / video / f"{number}.mp4", text=words[row.id])
        assert answer.sentiment == np.clip(row.prediction, -3, 3)  # to the last bit
        assert answer.observed["vision"] == pytest.approx(row.observed_vision, abs=1e-4)


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


def half_width(predictor: Predictor, answer: Prediction) -> float:
    """Of the interval before it is cut to the scale."""
    assert predictor.intervals is not None
    observed = pd.DataFrame([{f"observed_{m}": share for m, share in answer.observed.items()}])
    return float(predictor.intervals[1].half_width(observed)[0])


def test_without_words_and_without_anything(predictor: Predictor, clip: Path, tmp_path: Path, talks_run: Run) -> None:
    mute = predictor.predict(clip)
    assert [span.reason for span in mute.missing["text"]] == ["no transcript"]
    assert mute.shapley["text"] == 0
    blank = talk(tmp_path / "blank.mp4", picture=lambda t: np.full((120, 160, 3), 90, np.uint8), sound=silence)
    nothing = predictor.predict(blank)
    assert nothing.all_missing
    assert nothing.sentiment == pytest.approx(talks_run.about["network"]["prior"])
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


def test_a_run_without_text_says_that_words_change_nothing(clips: Path, talks_cache: Path, tmp_path: Path) -> None:
    from mitr.media.extracting import extract
    from mitr.media.options import FeatureConfig, MediaConfig

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "Raw").symlink_to(clips / "Raw")
    table = pd.read_csv(clips / "label.csv").assign(text="")
    table.to_csv(tmp_path / "clips" / "label.csv", index=False)
    config = MediaConfig(features=FeatureConfig(vision="none"))
    data = extract(tmp_path / "clips", tmp_path / "data", config, jobs=1, cache=talks_cache, quiet=True).dataset
    silent = Predictor(train(data, tmp_path / "run", options(1), quiet=True), cache=Cache(talks_cache))
    file = clips / "Raw" / "video0" / "0.mp4"
    plain, told = silent.predict(file), silent.predict(file, text=WORDS)
    assert told.sentiment == plain.sentiment
    assert any("this run reads no text" in note for note in told.notes)
    assert not any("reads no text" in note for note in plain.notes)
    assert "text" not in told.missing
    with pytest.raises(MitrError, match="words alone cannot be answered: name a file"):
        silent.predict(None, text=WORDS)


def test_words_that_are_heard(
    talks_run: Run, clip: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Transcript(WORDS, (Cue(0.0, 9.0, WORDS),), (), "speech recognition (small)")
    asked: list[str] = []
    monkeypatch.setattr("mitr.media.speech.check", lambda model, allow: asked.append(model))
    monkeypatch.setattr("mitr.media.speech.transcribe", lambda *_: asked.append("heard") or heard)
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
        return _changes(network, examples, [hidden])[0]

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


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: a face until 4 s, words in two cues, a pause between 2.4 and 3.6 s."""

    def pictures(time: float) -> np.ndarray:
        return face_at(time, 2.0) if time < 4 else np.full((240, 320, 3), int(90 + 20 * time) % 256, np.uint8)

    def sound(times: np.ndarray) -> np.ndarray:
        return np.where((times > 2.4) & (times < 3.6), 0, tone(times, 200.0))

    folder = tmp_path_factory.mktemp("long")
    path = talk(folder / "long.mp4", 2.0, 6.0, picture=pictures, sound=sound)
    first = "1\n00:00:00,200 --> 00:00:02,300\nI loved this film\n"
    second = "2\n00:00:03,700 --> 00:00:05,900\nbut the end is bad\n"
    (folder / "long.srt").write_text(f"{first}\n{second}")
    return path


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


def test_a_run_on_features_that_no_clip_can_give(small: Dataset, clip: Path, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(1), quiet=True)
    with pytest.raises(MitrError) as refused:
        Predictor(run)
    said = str(refused.value)
    for part in ("text (embeddings of width", "audio (features of width", "vision (features", "mitr extract CLIPS"):
        assert part in said
    assert "mitr evaluate" in said
    assert "--missing" not in said  # nothing would be left


def test_a_run_on_words_and_foreign_sound_answers_by_words(small_text: Dataset, clip: Path, tmp_path: Path) -> None:
    run = train(small_text, tmp_path / "run", options(1), quiet=True)
    with pytest.raises(MitrError, match=r"or leave them out with --missing audio,vision"):
        Predictor(run)
    answer = Predictor(run, missing=["audio", "vision"], cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert answer.observed["text"] == 1.0


def test_no_calibration_is_said(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    (tmp_path / "run" / "conformal.json").unlink()
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    answer = Predictor(tmp_path / "run", cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.low, answer.high, answer.level) == (None, None, None)
    assert any("carries no calibration" in note for note in answer.notes)


def test_a_run_that_may_only_be_read_is_calibrated_each_time(
    talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    (tmp_path / "run" / "conformal.json").unlink()

    def refused(path: Path, value: object) -> None:
        raise PermissionError(f"{path} may only be read")

    monkeypatch.setattr(calibrating, "write_json", refused)
    answer = Predictor(tmp_path / "run", cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.low, answer.high) == (whole.low, whole.high)
    assert not (tmp_path / "run" / "conformal.json").exists()


def test_the_intervals_of_an_older_version_answer(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "conformal.json"
    older = Path(__file__).parents[1] / "evaluation" / "older" / "conformal_format1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intervals": json.loads(older.read_text())}))
    before = path.read_bytes()
    predictor = Predictor(tmp_path / "run", missing=["vision", "audio"], cache=Cache(tmp_path / "cache"))
    answer = predictor.predict(None, text=WORDS)
    assert answer.sentiment is not None
    assert answer.high is not None
    assert answer.level == 0.9
    # the file has no group for text alone: `any`, with the observed shares of 1 and 0
    width = Curves.from_json(json.loads(older.read_text())).half_width(
        {"observed_text": np.ones(1), "observed_audio": np.zeros(1)}
    )
    assert answer.high == pytest.approx(min(answer.sentiment + width.item(), answer.label_range[1]), abs=1e-6)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [{"level": "high"}, {"level": None}, {"intervals": {}}])
def test_damaged_intervals_are_named(talks_run: Run, tmp_path: Path, damage: dict[str, object]) -> None:
    shutil.copytree(talks_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "conformal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(MitrError, match=r"conformal\.json"):
        Predictor(tmp_path / "run")


def test_what_is_not_installed_is_said_before_the_first_clip(
    talks_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path))
    predictor = Predictor(talks_run, cache=Cache(tmp_path / "cache"))
    with pytest.raises(MitrError, match="mitr assets fetch"):
        predictor.ready()
    with pytest.raises(MitrError, match="mitr assets fetch"):
        predictor.predict(tmp_path / "any.mp4")
    assert predictor.predict(None, text=WORDS).observed["text"] == 1.0  # which takes none of it
    Predictor(talks_run, missing=["vision"]).ready()
    assert main(["predict", str(talks_run.folder), "a.mp4", "b.mp4"]) == 2
    assert capsys.readouterr().err.count("mitr assets fetch") == 1


def test_options_between_files_and_letters_that_an_output_lacks(talks_run: Run, clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "你好 é.mp4"
    shutil.copy(clip, odd)
    command = [sys.executable, "-m", "mitr", "predict", str(talks_run.folder), "--json", str(odd), "--text", "très"]
    command += ["--cache", str(tmp_path / "cache")]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, env=ascii_only, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.decode("ascii"))
    assert (answer["file"], answer["text"]) == (str(odd), "très")
    done = subprocess.run([w for w in command if w != "--json"], capture_output=True, env=ascii_only, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"sentiment" in done.stdout


def test_a_timeline_that_cannot_be_written_is_that_clips_fault(
    talks_run: Run, long: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines" / "long.csv").mkdir(parents=True)
    shutil.copytree(long.parent, tmp_path / "other")
    (tmp_path / "other" / "long.mp4").rename(tmp_path / "other" / "b.mp4")
    words = ["predict", str(talks_run.folder), str(long), str(tmp_path / "other" / "b.mp4"), "--segments", "windows"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "lines"), "--json"]
    assert main(words) == 2
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert "IsADirectoryError" in lines[0]["error"]
    assert lines[1]["sentiment"] is not None
    assert "1 of 2 clips could not be answered" in said.err


def test_the_command_goes_on_past_a_bad_file(
    talks_run: Run, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_text("no media")
    files = [str(clip), str(tmp_path / "bad.mp4"), str(tmp_path / "none.mp4"), str(clip)]
    words = ["predict", str(talks_run.folder), *files]
    words += ["--cache", str(tmp_path / "cache")]
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert lines[0]["sentiment"] == lines[3]["sentiment"]
    assert "bad.mp4" in lines[1]["error"]
    assert "2 of 4 clips could not be answered" in said.err
    assert main(words[:3] + words[6:]) == 0
    assert capsys.readouterr().out.startswith(f"{clip}  2.0 s\n  sentiment  ")


def test_the_command_writes_timelines(talks_run: Run, long: Path, tmp_path: Path) -> None:
    words = ["predict", str(talks_run.folder), str(long), "--segments", "subtitles", "--cache", str(tmp_path / "cache")]
    assert main([*words, "--out", str(tmp_path / "lines")]) == 0
    assert sorted(path.name for path in (tmp_path / "lines").iterdir()) == ["long.csv", "long.json", "long.png"]
    table = pd.read_csv(tmp_path / "lines" / "long.csv")
    assert table["start"].tolist() == [0.2, 3.7]
    assert table["stop"].tolist() == [2.3, 5.9]
    assert "vision 4-5.9 (no face)" in table["missing"][1] or "vision 4.1-5.9 (no face)" in table["missing"][1]
    assert {"sentiment", "low", "high", "observed_vision", "shapley_text", "missing", "text"} <= set(table)
    assert json.loads((tmp_path / "lines" / "long.json").read_text())["segments"][1]["text"] == "but the end is bad"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "name a file, or give --text"),
        (["RUN", "a.mp4", "b.mp4", "--text", "hi"], "--text is of one clip, but 2 are named"),
        (["RUN", "a.mp4", "--out", "x"], "--out is for timelines"),
        (["RUN", "a.mp4", "--window", "0"], "--window is 0; it must be a number of seconds above 0"),
        (["RUN", "a.mp4", "--engine", "onnx"], "has no ONNX export yet: make it with `mitr export"),
        (["nowhere", "a.mp4"], "nowhere is not a mitr run"),
    ],
)
def test_bad_words(
    words: list[str], message: str, talks_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(talks_run.folder) if word == "RUN" else word for word in words]
    assert main(["predict", *words, "--cache", str(tmp_path / "cache")]) == 2
    assert message in capsys.readouterr().err


def test_classes_have_probabilities(clips: Path, talks_cache: Path, assets: None, tmp_path: Path) -> None:
    from mitr.media.extracting import extract

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "Raw").symlink_to(clips / "Raw")
    table = pd.read_csv(clips / "label.csv")
    table["label"] = np.where(table["label"] > 0, "glad", "sad")
    table.to_csv(tmp_path / "clips" / "label.csv", index=False)
    data = extract(tmp_path / "clips", tmp_path / "data", jobs=1, cache=talks_cache, quiet=True).dataset
    run = train(data, tmp_path / "run", options(1), quiet=True)
    answer = Predictor(run, cache=Cache(talks_cache)).predict(clips / "Raw" / "video0" / "0.mp4", explain=True)
    assert set(answer.probabilities) == {"glad", "sad"}
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.category == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    assert answer.sentiment is None
    assert answer.low is None
    assert f" to the probability of {answer.category} (from the prior 0." in str(answer)
    file = clips / "Raw" / "video0" / "0.mp4"
    words = Transcript(answer.text, (), (), "x")
    part = Predictor(run, cache=Cache(talks_cache))
    reading = read_clip(file, part.recipes, cache=part.cache, transcript=words)
    first = next(m for m in answer.moments if m.start is not None)
    steps = {
        m: np.array([i for i in range(len(t.values)) if first.start <= (i + 0.5) / t.rate < first.stop])  # type: ignore
        for m, t in reading.tracks.items()
    }
    examples = part._examples([reading])
    masks = {m: np.ones((1, extent.steps), bool) for m, extent in examples.extents().items()}
    for m, own in steps.items():
        masks[m][0, own] = False
    hidden = Condition(
        "hidden",
        "x",
        None,
        lambda extents: {m: Mask(masks[m], np.zeros(1, bool)) for m in extents},
    )
    table = predict_under(part.network, examples, [COMPLETE, hidden])
    shares = table[f"probability_{answer.category}"]
    assert first.change == pytest.approx(shares[0] - shares[1], abs=1e-5)


def test_a_run_carries_on_without_its_data(talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path) -> None:
    """Moved, with its data gone: the folder has all that an answer takes."""
    moved = tmp_path / "moved"
    shutil.copytree(talks_run.folder, moved)
    about = json.loads((moved / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (moved / "run.json").write_text(json.dumps(about))
    answer = Predictor(moved, cache=Cache(tmp_path / "cache")).predict(clip, text=WORDS)
    assert (answer.sentiment, answer.low, answer.high) == (whole.sentiment, whole.low, whole.high)


def test_a_long_clip_is_said_to_be_long(predictor: Predictor, tmp_path: Path) -> None:
    path = talk(tmp_path / "long.wav", picture=None, seconds=62.0, audio_rate=16000, layout="mono")
    answer = predictor.predict(path)
    assert any("62 s were answered as one sample" in note for note in answer.notes)


def test_onnxruntime_answers_alike(
    talks_run: Run, clip: Path, whole: Prediction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    shutil.copytree(talks_run.folder, tmp_path / "run")
    assert main(["export", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    words = ["predict", str(tmp_path / "run"), str(clip), "--text", WORDS, "--engine", "onnx", "--explain", "--json"]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sentiment"] == pytest.approx(whole.sentiment, abs=1e-4)
    assert (answer["low"], answer["high"]) == pytest.approx((whole.low, whole.high), abs=1e-4)
    assert answer["shapley"] == pytest.approx(whole.shapley, abs=1e-4)
    assert answer["moments"]
