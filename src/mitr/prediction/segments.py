"""A clip cut into stretches of time that are answered one by one."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from mitr.errors import MitrError
from mitr.media.features import Span
from mitr.media.reading import Reading, Track
from mitr.media.spans import LOUDNESS_RATE, runs_of, within
from mitr.media.words.captions import Transcript, between

How = Literal["subtitles", "silence", "windows"]
PAUSE = 0.35  # seconds of low sound between which speech is cut
QUIETER = 25.0  # dB below the loud stretches at which sound is low; a room is never silent
SHORTEST, LONGEST = 1.0, 30.0  # seconds of a stretch between two pauses
ROUNDED = 0.001  # seconds by which the stop of the last part may be off
MOST = 10_000  # windows of a clip


class Stretch(NamedTuple):
    """A stretch of a clip.

    Attributes:
        start, stop: seconds from the clip's beginning.
        text: the words of a subtitle; None: the words whose times lie in the stretch.
    """

    start: float
    stop: float
    text: str | None = None


def cut(reading: Reading, how: How, window: float, loudness: np.ndarray | None = None) -> list[Stretch]:
    """Cut a clip.

    Args:
        reading: the clip.
        how: `subtitles`: a stretch a cue; `silence`: between pauses of speech; `windows`: of equal length.
        window: seconds of a window.
        loudness: (n,) dBFS of each 10 ms, for `silence`.

    Raises:
        MitrError: the clip has no subtitles, no sound, or no length, or `window` is no length of a part of it.
    """
    if reading.seconds <= 0:
        raise MitrError(f"{reading.path}: its length is not known, so it cannot be cut into segments")
    if how == "windows":
        check_window(window)
        if reading.seconds / window > MOST:
            raise MitrError(f"--window {window:g} cuts {reading.seconds:.0f} s into more than {MOST} parts; take more")
        return windows(0.0, reading.seconds, window)
    if how == "subtitles":
        cues = reading.transcript.cues if reading.transcript else ()
        if not cues:
            raise MitrError(
                f"{reading.path} has no subtitles: put an .srt or .vtt file of the same name beside it, or cut by "
                "--segments silence or windows"
            )
        kept = [Stretch(max(cue.start, 0.0), min(cue.stop, reading.seconds), cue.text) for cue in cues]
        kept = [part for part in kept if part.stop > part.start]
        if not kept:
            raise MitrError(f"{reading.path}: its subtitles all lie after its end, {reading.seconds:.1f} s")
        return kept
    if loudness is None or not len(loudness):
        raise MitrError(f"{reading.path} has no sound to cut by: use --segments windows or subtitles")
    return between_pauses(loudness, reading.seconds)


def check_window(window: float) -> None:
    """Check the length of windows.

    Raises:
        MitrError: the length is not above 0, or not finite.
    """
    if not 0 < window < np.inf:
        raise MitrError(f"--window is {window:g}; it must be a number of seconds above 0")


def windows(start: float, stop: float, width: float) -> list[Stretch]:
    """Stretches of `width` seconds from `start` to `stop`; a rest shorter than half a window joins the last one."""
    count = max(1, int(np.floor((stop - start) / width + 0.5)))
    edges = [start + i * width for i in range(count)] + [stop]
    return [Stretch(round(a, 3), round(b, 3)) for a, b in pairwise(edges)]


def between_pauses(loudness: np.ndarray, seconds: float) -> list[Stretch]:
    """Stretches from the middle of one pause to the middle of the next, of 1 to 30 s.

    Args:
        loudness: (n,) dBFS of each 10 ms.
        seconds: length of the clip.
    """
    low = loudness < np.quantile(loudness, 0.9) - QUIETER
    pauses = [(first, last) for first, last in runs_of(low) if (last - first) / LOUDNESS_RATE >= PAUSE]
    edges = [0.0]
    for first, last in pauses:
        middle = (first + last) / 2 / LOUDNESS_RATE
        if middle - edges[-1] >= SHORTEST and seconds - middle >= SHORTEST:
            edges.append(middle)
    edges.append(seconds)
    found: list[Stretch] = []
    for start, stop in pairwise(edges):
        parts = int(np.ceil((stop - start) / LONGEST))
        found += windows(start, stop, (stop - start) / parts)
    return found


def part_of(reading: Reading, stretch: Stretch) -> Reading:
    """The clip inside a stretch; words without a time belong to no stretch."""
    tracks, absent = {}, dict(reading.absent)
    for m, track in reading.tracks.items():
        piece = _piece(track, stretch, stretch.stop >= reading.seconds - ROUNDED)
        if piece.available.any():
            tracks[m] = piece
        else:
            absent[m] = piece.why_missing
    words = _words(reading.transcript, stretch)
    if words is None:
        absent["text"] = reading.absent.get("text") or "no words in this stretch"
    seconds = stretch.stop - stretch.start
    return Reading(reading.path, reading.sha256, seconds, tracks, absent, words, [])


def _piece(track: Track, stretch: Stretch, final: bool) -> Track:
    """The steps of a stretch, at least one; the `final` stretch of a clip has all remaining steps."""
    first, last = (round(time * track.rate) for time in (stretch.start, stretch.stop))
    first -= final and first == len(track.values)  # rounded up
    part = slice(first, len(track.values) if final else max(last, first + 1))
    missing: Sequence[Span] = within(track.missing, stretch.start, stretch.stop)
    return Track(track.values[part], track.available[part], track.rate, tuple(missing), ())


def _words(transcript: Transcript | None, stretch: Stretch) -> Transcript | None:
    if transcript is None or not (transcript.words or transcript.cues):
        return None
    text = between(transcript, stretch.start, stretch.stop) if stretch.text is None else stretch.text
    return Transcript(text, (), (), transcript.source) if text.strip() else None
