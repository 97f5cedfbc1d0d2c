"""Pictures at irregular times resampled to a steady grid of steps."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mitr.media.features import Span
from mitr.media.files.limits import Limits
from mitr.media.files.opening import beyond, too_large
from mitr.media.video.frozen import Shot
from mitr.media.video.upright import Scaler

NEAR = 0.002  # seconds by which containers round time stamps


class Grid:
    """The picture that is shown at each step of the grid; other pictures are not converted.

    Attributes:
        pictures: number of pictures so far.
        more: whether the video goes on beyond the limit.
        missing: stretches without a picture.
        notes: what a user should know.
    """

    def __init__(self, fps: float, limits: Limits, scaler: Scaler) -> None:
        self.pictures, self.more = 0, False
        self.missing: list[Span] = []
        self.notes: list[str] = []
        self._fps, self._limits, self._scaler = fps, limits, scaler
        self._step = 0
        self._frame: Any = None
        self._made: tuple[np.ndarray, np.ndarray] | tuple[None, None] | None = None
        self._since = 0.0
        self._why = "the video starts later"  # no picture is shown

    def show(self, frame: Any, time: float) -> None:
        """Show a picture from a time on."""
        self.finish(time)
        self.pictures += 1
        self._frame, self._made, self._since = frame, None, time
        self._why = ""
        if too_large(frame.width, frame.height, self._limits):
            self._frame, self._why = None, f"a picture {beyond(self._limits)}"

    def lose(self, start: float, stop: float, reason: str) -> None:
        """Show no picture from `start` on; up to `stop` it is missing."""
        self.finish(start)
        self._frame = self._made = None
        self._why, self._since = "", stop
        self.missing.append(Span(start, stop, reason))

    def until(self, time: float) -> Iterator[Shot]:
        """The remaining steps before a time."""
        while self._step / self._fps < time - NEAR:
            image, cells = self._picture()
            yield Shot(self._step, image, cells)
            self._step += 1

    def _picture(self) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        import av

        if self._frame is None:
            return None, None
        if self._made is None:
            try:
                self._made = self._scaler.image(self._frame)
            except (av.error.FFmpegError, ValueError):
                self._frame, self._why = None, f"a picture format that cannot be converted ({self._frame.format.name})"
                return None, None
        return self._made

    def finish(self, time: float) -> None:
        """Add the stretch without a picture that ends at a time, if there is one, to `missing`."""
        if not self._why or time - self._since <= NEAR:
            return
        before = self.missing[-1] if self.missing else None
        if before is not None and before.reason == self._why and before.stop >= self._since - NEAR:
            self.missing[-1] = before._replace(stop=time)
        else:
            self.missing.append(Span(self._since, time, self._why))
