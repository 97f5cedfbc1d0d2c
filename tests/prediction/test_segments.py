"""Clips cut into stretches."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitr.errors import MitrError
from mitr.media.features import Span
from mitr.media.reading import Reading, Track
from mitr.media.words.captions import Cue, Transcript, Word
from mitr.prediction.segments import LONGEST, SHORTEST, Stretch, between_pauses, cut, part_of, windows


def reading(seconds: float = 6.0, transcript: Transcript | None = None) -> Reading:
    steps = int(seconds * 10)
    there = np.ones(steps, bool)
    there[20:40] = False
    values = np.where(there, np.arange(steps, dtype=np.float32), 0)[:, None] + there[:, None]
    track = Track(values, there, 10.0, (Span(2.0, 4.0, "no face"),), ())
    absent = {"audio": "no audio stream"} | ({} if transcript else {"text": "no transcript"})
    return Reading(Path("clip.mp4"), "0" * 64, seconds, {"vision": track}, absent, transcript, [])


def test_windows_share_a_short_rest() -> None:
    assert windows(0.0, 6.0, 2.0) == [Stretch(0, 2), Stretch(2, 4), Stretch(4, 6)]
    assert windows(0.0, 6.9, 2.0) == [Stretch(0, 2), Stretch(2, 4), Stretch(4, 6.9)]
    assert windows(0.0, 7.0, 2.0) == [Stretch(0, 2), Stretch(2, 4), Stretch(4, 6), Stretch(6, 7)]
    assert windows(0.0, 0.4, 2.0) == [Stretch(0, 0.4)]


@given(st.floats(0.1, 500), st.floats(0.1, 60))
def test_windows_cover_the_clip_once(seconds: float, width: float) -> None:
    parts = windows(0.0, seconds, width)
    assert parts[0].start == 0
    assert parts[-1].stop == pytest.approx(seconds, abs=1e-3)
    assert all(a.stop == b.start for a, b in pairwise(parts))
    assert all(part.stop - part.start < 1.5 * width + 2e-3 for part in parts)


def sound(*parts: tuple[float, float]) -> np.ndarray:
    return np.concatenate([np.full(round(seconds * 100), level) for seconds, level in parts])


def test_pauses_cut_in_their_middle() -> None:
    loud, room = -20.0, -50.0
    loudness = sound((2.0, loud), (0.4, room), (3.0, loud), (0.3, room), (2.0, loud), (1.0, room), (1.5, loud))
    assert between_pauses(loudness, 10.2) == [Stretch(0, 2.2), Stretch(2.2, 8.2), Stretch(8.2, 10.2)]


@given(st.lists(st.tuples(st.floats(0.05, 70), st.sampled_from([-20.0, -60.0])), min_size=1, max_size=8))
def test_stretches_between_pauses_are_neither_short_nor_long(parts: list[tuple[float, float]]) -> None:
    loudness = sound(*parts)
    seconds = len(loudness) / 100
    if seconds == 0:
        return
    found = between_pauses(loudness, seconds)
    assert found[0].start == 0
    assert found[-1].stop == pytest.approx(seconds, abs=1e-3)
    assert all(a.stop == b.start for a, b in pairwise(found))
    assert all(part.stop - part.start <= LONGEST + 2e-3 for part in found)
    assert all(part.stop - part.start >= min(SHORTEST, seconds) - 2e-3 for part in found)


SPOKEN = (Cue(0.5, 1.5, "one"), Cue(1.6, 5.0, "two three"), Cue(7.0, 8.0, "late"))
CUES = Transcript("one two three", SPOKEN, (), "x.srt")


def test_a_cue_is_a_stretch() -> None:
    found = cut(reading(transcript=CUES), "subtitles", 10.0)
    assert found == [Stretch(0.5, 1.5, "one"), Stretch(1.6, 5.0, "two three")]
    assert part_of(reading(transcript=CUES), found[0]).text == "one"


@pytest.mark.parametrize("window", [0.0, -1.0, float("inf"), float("nan")])
def test_windows_have_a_length(window: float) -> None:
    with pytest.raises(MitrError, match="it must be a number of seconds above 0"):
        cut(reading(), "windows", window)


def test_windows_are_not_too_many() -> None:
    with pytest.raises(MitrError, match=r"--window 1e-05 cuts 6 s into more than 10000 parts; take more"):
        cut(reading(), "windows", 1e-5)


def test_a_part_shorter_than_a_step_at_the_end_has_the_last_one() -> None:
    track = part_of(reading(6.0), Stretch(5.96, 6.0)).tracks["vision"]
    assert track.values.tolist() == [[60.0]]


def test_the_last_part_has_the_last_step() -> None:
    whole = reading(6.1)
    whole.seconds = 6.0404  # the last step is begun, and not full
    first, last = cut(whole, "windows", 3.0)
    assert len(part_of(whole, first).tracks["vision"].values) == 30
    assert len(part_of(whole, last).tracks["vision"].values) == 31


def test_what_cannot_be_cut_is_said() -> None:
    with pytest.raises(MitrError, match=r"clip\.mp4 has no subtitles: put an \.srt"):
        cut(reading(), "subtitles", 10.0)
    with pytest.raises(MitrError, match="has no sound to cut by"):
        cut(reading(), "silence", 10.0, np.zeros(0))
    with pytest.raises(MitrError, match="its length is not known"):
        cut(reading(0.0), "windows", 10.0)
    late = Transcript("late", (Cue(7.0, 8.0, "late"),), (), "x.srt")
    with pytest.raises(MitrError, match=r"all lie after its end, 6\.0 s"):
        cut(reading(transcript=late), "subtitles", 10.0)


def test_a_part_has_its_own_steps_and_gaps() -> None:
    part = part_of(reading(transcript=CUES), Stretch(1.6, 5.0))
    track = part.tracks["vision"]
    assert track.available.tolist() == [True] * 4 + [False] * 20 + [True] * 10
    assert track.values[0, 0] == 16 + 1
    assert track.missing == (Span(0.4, 2.4, "no face"),)
    assert part.text == "two three"
    assert part.seconds == pytest.approx(3.4)
    assert part.absent == {"audio": "no audio stream"}


def test_a_part_without_anything_says_why() -> None:
    part = part_of(reading(transcript=CUES), Stretch(2.5, 3.2))
    assert part.tracks == {}
    assert part.absent == {"audio": "no audio stream", "vision": "no face", "text": "no words in this stretch"}


def test_words_go_to_the_stretch_that_holds_their_middle() -> None:
    words = (Word("one", 0.0, 1.0), Word("two", 1.0, 2.2), Word("three", 2.2, 3.0))
    timed = Transcript("one two three", (Cue(0.0, 3.0, "one two three"),), words, "x.vtt")
    assert [part_of(reading(transcript=timed), s).text for s in (Stretch(0, 2), Stretch(2, 3), Stretch(3, 6))] == [
        "one two",
        "three",
        "",
    ]


def test_text_without_times_is_in_no_part() -> None:
    untimed = Transcript("all of it", (), (), "given")
    part = part_of(reading(transcript=untimed), Stretch(0, 2))
    assert part.text == ""
    assert part.absent["text"] == "no words in this stretch"
