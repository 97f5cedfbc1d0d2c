"""Clip time from a stream's time stamps, which may be missing or absurd."""

from typing import Any

BACK = 0.5  # seconds before the expected time from which on a time stamp is absurd
BEYOND = 1.0  # seconds past the declared end from which on a time stamp is absurd


class Clock:
    """Gives the clip time of frames.

    Args:
        zero: the stream's time stamp at clip time 0, in seconds.
        end: the declared end of the stream in clip time, None if unknown.
    """

    def __init__(self, zero: float, end: float | None) -> None:
        self._zero = zero
        self._latest = float("inf") if end is None else end + BEYOND
        self._shift = 0.0

    def time_of(self, frame: Any, expected: float) -> float:
        """The clip time in seconds at which a frame begins; `expected` if its time stamp is missing or absurd.

        After an absurd time stamp the clock goes on from `expected`.
        """
        if frame.pts is None or not frame.time_base:
            return expected
        time = float(frame.pts * frame.time_base) - self._zero + self._shift
        if expected - BACK <= time <= self._latest:
            return time
        self._shift += expected - time
        return expected


def duration_of(frame: Any) -> float | None:
    """The declared duration of a frame in seconds; None without one."""
    if not frame.duration or not frame.time_base:
        return None
    seconds = float(frame.duration * frame.time_base)
    return seconds if seconds > 0 else None
