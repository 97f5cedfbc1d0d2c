"""A clip as models see it: its features, and what is missing of them when and why."""

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from made_clips import moving_squares, one_after_the_other, silence, tone, write_clip
from made_counts import Decodings, frames_in
from mitr.errors import MitrError
from mitr.media import reading, registry
from mitr.media.audio import sound
from mitr.media.cache import Cache
from mitr.media.features import Column, Extracted, Extractor, Span
from mitr.media.files.limits import Limits
from mitr.media.options import SpeechConfig
from mitr.media.reading import read_clip, tracks_of
from mitr.media.registry import FeatureRecipe
from mitr.media.words.captions import Cue, Transcript

CALLS = {"level": 0, "light": 0}


def level_of(stream: object) -> Extracted:
    """The mean loudness of each tenth of a second."""
    CALLS["level"] += 1
    sound = np.concatenate([*stream, np.zeros(1600, np.float32)])  # type: ignore[misc]
    return Extracted(np.abs(sound[: len(sound) // 1600 * 1600]).reshape(-1, 1600).mean(axis=1, keepdims=True) + 1e-6)


def light_of(frames: object) -> Extracted:
    """The mean brightness of each picture; a dark one is a step of which nothing is known."""
    CALLS["light"] += 1
    means = [np.nan if f.image is None or f.image.mean() < 20 else f.image.mean() for f in frames]  # type: ignore
    return Extracted(np.array(means, np.float32)[:, None], ["brightness was measured"])


LEVEL = Extractor("level", 1, "audio", "Level.", 10.0, (Column("level", "1", "mean of the size"),), level_of)
LIGHT = Extractor(
    "light", 1, "vision", "Light.", None, (Column("light", "1", "mean of the pixels"),), light_of, blank="too dark"
)
RECIPES = {
    "audio": FeatureRecipe("level", 1, silence_db=-60.0, silence_seconds=0.5),
    "vision": FeatureRecipe("light", 1, fps=10.0, longest_side=64),
}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.EXTRACTORS.places, "level", f"{__name__}:LEVEL")
    monkeypatch.setitem(registry.EXTRACTORS.places, "light", f"{__name__}:LIGHT")
    found = {"level": LEVEL, "light": LIGHT}
    monkeypatch.setattr(registry, "extractor_of", lambda name, modality=None: found[name])


def half_silent(times: np.ndarray) -> np.ndarray:
    return np.where((times < 1.0) | (times > 1.8), tone(times), 0)


def half_dark(time: float) -> np.ndarray:
    return moving_squares(time) * (0 if 0.45 < time < 0.95 else 1)


def test_a_whole_clip(tmp_path: Path) -> None:
    found = read_clip(write_clip(tmp_path / "a.mp4", 2.0), RECIPES, transcript=Transcript("hi", (), (), "given"))
    assert found.seconds == pytest.approx(2.0, abs=0.06)
    assert found.absent == {}
    assert found.missing() == {}
    assert found.text == "hi"
    assert found.tracks["vision"].values.shape == (20, 1)
    assert len(found.tracks["audio"].values) in (20, 21)
    assert found.tracks["audio"].rate == found.tracks["vision"].rate == 10.0
    assert found.notes == ["brightness was measured"]


def test_silence_and_dark_pictures_are_missing_and_said(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 3.0, picture=half_dark, sound=half_silent)
    found = read_clip(clip, RECIPES)
    audio, vision = found.tracks["audio"], found.tracks["vision"]
    assert [span.reason for span in audio.missing] == ["silence"]
    assert audio.missing[0].start == pytest.approx(1.0, abs=0.11)
    assert audio.missing[0].stop == pytest.approx(1.8, abs=0.11)
    assert not audio.available[11:17].any()
    assert not audio.values[11:17].any()
    assert vision.missing == (Span(0.5, 1.0, "too dark"),)
    assert vision.available.sum() == 25
    assert found.absent == {"text": "no transcript"}
    assert found.missing()["text"] == [Span(0.0, round(found.seconds, 3), "no transcript")]


def test_what_is_not_there_at_all_is_absent_with_its_reason(tmp_path: Path) -> None:
    no_sound = read_clip(write_clip(tmp_path / "a.mp4", sound=None), RECIPES)
    assert no_sound.absent == {"audio": "no audio stream", "text": "no transcript"}
    no_picture = read_clip(write_clip(tmp_path / "a.wav", picture=None), RECIPES)
    assert no_picture.absent["vision"] == "no video stream"
    assert set(no_picture.tracks) == {"audio"}
    quiet = read_clip(write_clip(tmp_path / "b.mp4", sound=silence), RECIPES)
    assert quiet.absent["audio"] == "silence"
    dark = read_clip(write_clip(tmp_path / "c.mp4", picture=lambda t: moving_squares(t) // 32), RECIPES)
    assert dark.absent["vision"] == "too dark"


def test_a_stream_that_ends_early_leaves_the_rest_missing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 3.0, frame_times=[i / 25 for i in range(25)])
    found = read_clip(clip, RECIPES)
    vision = found.tracks["vision"]
    assert len(vision.values) == pytest.approx(30, abs=1)
    assert vision.available[:9].all()
    assert not vision.available[11:].any()
    assert vision.missing[-1].stop == pytest.approx(3.0, abs=0.1)


def lying(path: Path, claimed: float) -> Path:
    """A second of sound in a file whose header says that it is longer."""
    write_clip(path, 1.0, picture=None, audio_rate=16000, layout="mono")
    data = bytearray(path.read_bytes())
    size = int(claimed * 32000)
    place = data.index(b"data") + 4
    data[place : place + 4], data[4:8] = struct.pack("<I", size), struct.pack("<I", size + place - 4)
    path.write_bytes(data)
    return path


def test_a_header_that_claims_hours_costs_what_is_there(tmp_path: Path) -> None:
    found = read_clip(lying(tmp_path / "a.wav", 3000), {"audio": RECIPES["audio"]})
    assert len(found.tracks["audio"].values) == 10
    assert found.seconds == pytest.approx(1.0, abs=0.01)
    (tail,) = found.missing()["audio"]
    assert (tail.start, tail.reason) == (pytest.approx(1.0, abs=0.11), "the file ends early")
    assert tail.stop == pytest.approx(3000, rel=0.01)
    little = read_clip(lying(tmp_path / "b.wav", 4), {"audio": RECIPES["audio"]})
    assert len(little.tracks["audio"].values) == 40  # so much may have been cut off
    assert little.seconds == pytest.approx(4.0, abs=0.05)
    assert little.tracks["audio"].available.sum() == pytest.approx(10, abs=1)


def test_little_of_one_stream_is_little_of_the_clip(tmp_path: Path) -> None:
    """Half a second of sound in a clip of 12 s is 4 % of it, whichever streams are read."""
    clip = write_clip(tmp_path / "a.mkv", 12.0, fps=5, sound=lambda t: tone(t), sound_seconds=0.5)
    for recipes in (RECIPES, {"audio": RECIPES["audio"]}):
        found = read_clip(clip, recipes)
        assert found.seconds == pytest.approx(12.0, abs=0.3)
        track = found.tracks["audio"]
        assert len(track.values) == pytest.approx(120, abs=3)
        assert track.available.mean() < 0.06
        assert track.missing[-1].stop == pytest.approx(12.0, abs=0.3)


def test_hours_that_another_stream_claims_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = reading.described
    monkeypatch.setattr(reading, "described", lambda *a: dataclasses.replace(described(*a), seconds=5000.0))
    found = read_clip(write_clip(tmp_path / "a.mkv", 2.0), {"audio": RECIPES["audio"]})
    assert found.seconds == pytest.approx(2.0, abs=0.1)
    assert len(found.tracks["audio"].values) in (20, 21)


def test_beyond_the_limit_is_said_with_its_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 3.0)
    found = read_clip(clip, RECIPES, limits=Limits(seconds=1.0))
    assert found.seconds == 1.0
    for m, track in found.tracks.items():
        assert len(track.values) == 10, m
        assert track.missing[-1] == Span(1.0, pytest.approx(3.0, abs=0.1), "beyond the limit of 1 s")


def test_the_length_of_a_silent_file_that_does_not_tell_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp3", 2.0, picture=None, sound=silence)
    found = read_clip(clip, {"audio": RECIPES["audio"]}, cache=Cache(tmp_path / "cache"))
    assert found.absent["audio"] == "silence"
    assert found.seconds == pytest.approx(2.0, abs=0.1)
    again = read_clip(clip, {"audio": RECIPES["audio"]}, cache=Cache(tmp_path / "cache"))
    assert again.seconds == found.seconds


def test_a_subtitle_that_outlasts_the_clip_ends_with_it(tmp_path: Path) -> None:
    words = Transcript("hi", (Cue(1.0, 9.0, "hi"),), (), "a.srt")
    found = read_clip(write_clip(tmp_path / "a.wav", 2.0, picture=None), {"audio": RECIPES["audio"]}, transcript=words)
    assert found.transcript is not None
    assert found.transcript.cues[0].stop == found.seconds == pytest.approx(2.0, abs=0.01)


def test_other_limits_are_read_anew(tmp_path: Path) -> None:
    clip, cache = write_clip(tmp_path / "a.mp4", 2.0), Cache(tmp_path / "cache")
    assert len(read_clip(clip, RECIPES, cache=cache).tracks["audio"].values) >= 20
    assert len(read_clip(clip, RECIPES, cache=cache, limits=Limits(seconds=1.0)).tracks["audio"].values) == 10


def test_a_file_that_changed_meanwhile_is_not_kept_under_its_old_name(tmp_path: Path) -> None:
    clip, cache = write_clip(tmp_path / "a.mp4"), Cache(tmp_path / "cache")
    first = read_clip(clip, RECIPES)
    write_clip(clip, 1.0)
    with pytest.raises(MitrError, match="has changed since it was first read"):
        read_clip(clip, RECIPES, cache=cache, digest=first.sha256)
    assert not list(cache.folder.glob("*/*/*"))


def test_what_was_read_once_is_not_read_again(tmp_path: Path) -> None:
    clip, cache = write_clip(tmp_path / "a.mp4"), Cache(tmp_path / "cache")
    first = read_clip(clip, RECIPES, cache=cache)
    before = dict(CALLS)
    moved = clip.rename(tmp_path / "b.mp4")
    again = read_clip(moved, RECIPES, cache=cache)
    assert before == CALLS
    for m, track in first.tracks.items():
        np.testing.assert_array_equal(again.tracks[m].values, track.values)
        assert again.tracks[m][3:] == track[3:]
    assert again.notes == first.notes
    other = RECIPES | {"audio": FeatureRecipe("level", 1, silence_db=-50.0, silence_seconds=0.5)}
    read_clip(moved, other, cache=cache)
    assert CALLS["level"] == before["level"] + 1
    assert CALLS["light"] == before["light"]


def test_an_extractor_that_breaks_its_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Extractor("level", 1, "audio", "", 10.0, LEVEL.columns * 2, level_of)
    monkeypatch.setattr(registry, "extractor_of", lambda name, modality=None: wide)
    with pytest.raises(MitrError, match=r"'level' gave an array of shape \(2\d, 1\), but its card says \(T, 2\)"):
        read_clip(write_clip(tmp_path / "a.mp4"), {"audio": RECIPES["audio"]})


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="has features level version 2, but this mitr makes version 1"):
        read_clip(write_clip(tmp_path / "a.mp4"), {"audio": FeatureRecipe("level", 2)})


def test_a_clip_is_opened_and_decoded_once(
    tmp_path: Path, decodings: Decodings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, cache = write_clip(tmp_path / "a.mp4", 2.0), Cache(tmp_path / "cache")
    in_file = frames_in(clip)
    heard: list[int] = []

    def transcribed(sound: np.ndarray, *options: object) -> Transcript:
        heard.append(len(sound))
        return Transcript("hello", (), (), "speech recognition (small)")

    monkeypatch.setattr("mitr.media.words.speech.transcribe", transcribed)
    whole = read_clip(clip, RECIPES, cache=cache, speech=SpeechConfig(model="small"), loudness=True)
    assert (decodings.opened, dict(decodings.frames)) == (1, in_file)
    assert (whole.text, heard) == ("hello", [round(16000 * whole.tracks["audio"].seconds)])
    assert whole.loudness is not None
    assert len(whole.loudness) == np.ceil(heard[0] / 160)
    decodings.clear()
    again = read_clip(clip, RECIPES, cache=cache, speech=SpeechConfig(model="small"), loudness=True)
    assert (decodings.opened, dict(decodings.frames)) == (1, {"audio": in_file["audio"]})  # for the loudness
    np.testing.assert_array_equal(again.loudness, whole.loudness)
    decodings.clear()
    assert read_clip(clip, RECIPES, cache=cache, speech=SpeechConfig(model="small")).loudness is None
    assert (decodings.opened, dict(decodings.frames)) == (1, {})
    assert heard == heard[:1]
    tracks = tracks_of(again, RECIPES, limits=Limits(), cache=cache)
    assert (decodings.opened, list(tracks)) == (1, ["audio", "vision"])  # nothing was opened


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".webm"])
def test_one_pass_gives_what_a_pass_for_each_stream_gives(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"a{suffix}", 3.0, picture=half_dark, sound=half_silent)
    both = read_clip(clip, RECIPES)
    for m, recipe in RECIPES.items():
        alone = read_clip(clip, {m: recipe}).tracks[m]
        np.testing.assert_array_equal(both.tracks[m].values, alone.values)
        np.testing.assert_array_equal(both.tracks[m].available, alone.available)
        assert both.tracks[m][3:] == alone[3:]


@pytest.mark.parametrize("first", ["video", "audio"])
def test_pictures_that_end_at_the_limit_leave_the_sound_whole(tmp_path: Path, first: str) -> None:
    clip = one_after_the_other(write_clip(tmp_path / "a.mp4", 3.0), tmp_path / "b.mp4", first)
    for limits in (Limits(), Limits(seconds=1.0)):
        alone = read_clip(clip, {"audio": RECIPES["audio"]}, limits=limits).tracks["audio"]
        both = read_clip(clip, RECIPES, limits=limits).tracks["audio"]
        assert len(alone.values) >= 10
        np.testing.assert_array_equal(both.values, alone.values)
        assert both[3:] == alone[3:]


def test_long_sound_is_held_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "a.mp4", 2.0)
    expected = read_clip(clip, RECIPES)
    monkeypatch.setattr(sound, "IN_MEMORY", 40_000)
    found = read_clip(clip, RECIPES)
    np.testing.assert_array_equal(found.tracks["audio"].values, expected.tracks["audio"].values)


def test_silence_is_not_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitr.media.words.speech.transcribe", lambda *_: pytest.fail("it was listened to"))
    clip = write_clip(tmp_path / "a.mp4", sound=silence)
    for cache in (Cache(tmp_path / "cache"), Cache(tmp_path / "cache")):
        found = read_clip(clip, RECIPES, cache=cache, speech=SpeechConfig(model="small"))
        assert found.absent == {"audio": "silence", "text": "no transcript"}


def test_without_the_cache_a_clip_is_read_again(tmp_path: Path) -> None:
    clip, cache = write_clip(tmp_path / "a.mp4", 2.0), Cache(tmp_path / "cache")
    whole = read_clip(clip, RECIPES, cache=cache)
    next(cache.folder.glob("*/*/audio-*")).unlink()
    tracks = tracks_of(whole, RECIPES, limits=Limits(), cache=cache)
    for m, track in whole.tracks.items():
        np.testing.assert_array_equal(tracks[m].values, track.values)
        assert tracks[m][3:] == track[3:]
