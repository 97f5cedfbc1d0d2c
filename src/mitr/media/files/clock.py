"""Clip time from a stream's time stamps, whatever state they are in."""

from typing import Any

BACK = 0.5  # seconds back from which on a time stamp is one of another clock
BEYOND = 1.0  # seconds past the declared end from which on it is, too


class Clock:
    """Gives the clip time of frames.

    Args:
        zero: the stream's time that is clip time 0, in seconds.
        end: the clip time at which the stream should end, None if unknown.
    """

    def __init__(self, zero: float, end: float | None) -> None:
        self._zero = zero
        self._latest = float("inf") if end is None else end + BEYOND
        self._shift = 0.0

    def time_of(self, frame: Any, expected: float) -> float:
        """When a frame begins, in seconds; at `expected` if its stamp is missing or absurd.

        After an absurd stamp the clock goes on from `expected`.
        """
        if frame.pts is None or not frame.time_base:
            return expected
        time = float(frame.pts * frame.time_base) - self._zero + self._shift
        if expected - BACK <= time <= self._latest:
            return time
        self._shift += expected - time
        return expected


def duration_of(frame: Any) -> float | None:
    """How long a frame lasts as the file says, in seconds; None if it does not."""
    if not frame.duration or not frame.time_base:
        return None
    seconds = float(frame.duration * frame.time_base)
    return seconds if seconds > 0 else None
