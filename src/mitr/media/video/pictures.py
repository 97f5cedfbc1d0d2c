"""The pictures of a clip at a steady rate, true to the clip's time."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mitr.errors import MitrError
from mitr.media.features import Span
from mitr.media.files.clock import Clock, duration_of
from mitr.media.files.damage import Damage
from mitr.media.files.decode import SecondStream, decoded
from mitr.media.files.limits import Limits
from mitr.media.files.opening import (
    STILL,
    Clip,
    beginning,
    beyond,
    container_of,
    declared_end,
    picture_track,
    required,
)
from mitr.media.video.frozen import Shot, Thaw
from mitr.media.video.grid import Grid
from mitr.media.video.upright import Scaler

LATE = 0.1  # seconds up to which the first picture is shown from the beginning
EARLY = 0.25  # seconds before its declared end from which on a stream ends early
LONGEST = 10.0  # seconds that the last picture lasts at most, whatever the file says
FASTEST = 240  # pictures a second; two seconds of them are held
BELIEVED = 10  # a header that declares more than this many times the video that was read is not believed


class Frame(NamedTuple):
    """The picture that is shown at a time.

    Attributes:
        time: seconds from clip time 0.
        image: (H, W, 3) uint8 RGB, upright, read-only: neighbouring frames may share it; None where no picture is
            shown, or a frozen one.
    """

    time: float
    image: np.ndarray | None


@dataclass
class _Facts:
    """What is known of a clip's video once all of it is decoded."""

    seconds: float = 0.0
    missing: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class FrameStream:
    """Pictures at times k / fps while the video lasts, to be iterated once.

    Attributes:
        path: the file.
        fps: pictures a second.
    """

    def __init__(self, path: Path, fps: float, frames: Generator[Frame, None, None], facts: _Facts) -> None:
        self.path, self.fps, self._frames, self._facts = path, fps, frames, facts

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Close the file before all is read."""
        self._frames.close()

    @property
    def seconds(self) -> float:
        """Length of the video, once all is read."""
        return self._facts.seconds

    @property
    def missing(self) -> list[Span]:
        """Stretches without a picture or with a frozen one, once all is read."""
        return self._facts.missing

    @property
    def notes(self) -> list[str]:
        """What a user should know, once all is read."""
        return self._facts.notes


def frames_of(
    clip: Clip,
    fps: float = 10.0,
    longest_side: int = 640,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    container: Any | None = None,
    second: SecondStream | None = None,
) -> FrameStream:
    """The pictures of a clip; of a clip without any, an empty stream whose `missing` has the reason.

    Args:
        clip: from `open_clip`.
        fps: pictures a second.
        longest_side: larger pictures are scaled down to it, in pixels.
        limits: bounds on what is decoded.
        container: the open file; None: it is opened for this stream.
        second: another stream of the open file, which is decoded in the same pass.

    Raises:
        MitrError: an impossible `fps` or `longest_side`; or, while the stream is iterated, the file cannot be read any
            more.
    """
    if not (0 < fps <= FASTEST and longest_side >= 1):
        raise MitrError(f"{fps} pictures a second of {longest_side} px: choose at most {FASTEST}, of at least 1 px")
    facts = _Facts()
    source = _Source(clip, limits, container, second)
    frames = _read(source, fps, longest_side, facts)  # holds no reference to the stream, so that it ends with it
    return FrameStream(clip.path, fps, frames, facts)


class _Source(NamedTuple):
    """Where pictures are read from; see `frames_of`."""

    clip: Clip
    limits: Limits
    container: Any | None
    second: SecondStream | None


def _read(source: _Source, fps: float, side: int, facts: _Facts) -> Generator[Frame, None, None]:
    clip = source.clip
    if "vision" in clip.absent:
        facts.missing.append(Span(0.0, clip.seconds, clip.absent["vision"]))
        return
    thaw = Thaw(fps)
    for shot in thaw.pass_on(_shots(source, fps, side, facts, thaw)):
        yield Frame(shot.step / fps, shot.image)
    if thaw.still and facts.seconds:
        facts.missing[:] = [Span(0.0, facts.seconds, STILL)]
        facts.notes.append(f"the video is {STILL}")
    else:
        facts.missing += [Span(start, min(stop, facts.seconds), "frozen picture") for start, stop in thaw.stretches]
        facts.missing.sort()


def _shots(source: _Source, fps: float, side: int, facts: _Facts, thaw: Thaw) -> Iterator[Shot]:
    """The picture at each step of the grid; at the end, `thaw` learns whether the video has only one picture."""
    clip, limits, damage = source.clip, source.limits, Damage()
    with container_of(clip, limits, source.container) as container:
        stream = required(picture_track(container), clip.path)
        end = declared_end(container, stream, clip.path)
        grid = Grid(fps, limits, Scaler(side, float(stream.sample_aspect_ratio or 1)))
        usual = float(1 / stream.average_rate) if stream.average_rate else 0.04
        clock, last, lasts = Clock(beginning(container), end), -1.0, 0.0
        for frame in decoded(container, stream, limits, damage, source.second):
            time = max(last, clock.time_of(frame, max(0.0, last + lasts)))
            time = 0.0 if last < 0 and time <= LATE else time
            lasts = min(duration_of(frame) or usual, LONGEST)
            if time >= limits.seconds:
                grid.more = True
                break
            yield from grid.until(time)
            grid.show(frame, time)
            last = time
        if grid.pictures:
            yield from _tail(grid, last, last + lasts, end, limits.seconds, facts)
        else:  # a decoder does not know the size of pictures that it refuses for their size
            why = f", perhaps because they are {beyond(limits)}" if not stream.codec_context.width else ""
            grid.missing = [Span(0.0, clip.seconds, "no picture could be read" + why)]
            grid.notes = [grid.missing[0].reason]
    thaw.single = grid.pictures == 1
    facts.missing += grid.missing
    facts.notes += grid.notes + damage.notes("video")


def _tail(grid: Grid, last: float, over: float, end: float | None, limit: float, facts: _Facts) -> Iterator[Shot]:
    """The steps after the last picture began; `facts` gets the length, `grid` the notes of the end.

    Args:
        grid: holds the last picture.
        last: when the last picture began.
        over: when the last picture should be over.
        end: declared end of the stream; None: unknown.
        limit: in seconds.
        facts: gets the length.
    """
    declared = end or 0.0
    early = not grid.more and declared - over > max(EARLY, over - last) and over < limit
    shown = limit if grid.more else over if early or declared <= last else min(declared, limit)
    yield from grid.until(shown)
    grid.finish(shown)
    facts.seconds = shown
    if early:
        grid.notes.append(f"the video ends early, at {over:.2f} s of {declared:.2f} s (damaged or cut off)")
        grid.lose(over, min(declared, limit), "the file ends early")
        if declared <= BELIEVED * over:
            yield from grid.until(min(declared, limit))
            facts.seconds = min(declared, limit)
    elif grid.more or declared > limit + EARLY:
        grid.lose(limit, max(declared, limit + EARLY), f"beyond the limit of {limit:g} s")
        grid.notes.append(f"video beyond the limit of {limit:g} s is not read (limits.seconds)")
