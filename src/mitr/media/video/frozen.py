"""Stretches in which the picture stands still, which are no video of anyone."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

LONG = 2.0  # seconds from which on a standing picture is frozen
SHORT = 0.5  # seconds from which on a whole video that stands still is a still picture
ALIKE = 0.08  # of the range of greys: in a standing picture every cell differs less than this from where it began,
LEAST, MOST = 2, 8  # but never less and never more than these, of 255

# The largest difference of a cell, not the mean of all: of a talking head often only the lips move. And from where the
# stretch began, not from the picture before: at 30 pictures a second real faces change little from one to the next.


class Shot(NamedTuple):
    """A step of the grid.

    Attributes:
        step: its number.
        image: what is shown, (H, W, 3) uint8, or None.
        cells: a small grey version of it, int16, or None.
    """

    step: int
    image: np.ndarray | None
    cells: np.ndarray | None


class Thaw:
    """Passes steps on, without the pictures that are frozen; holds back those of at most two seconds.

    Attributes:
        single: whether the video has only one picture; to be told before all is passed on.
        still: whether all that had a picture was one and the same, once all is passed on.
        stretches: frozen (start, stop) so far, in seconds.
    """

    def __init__(self, fps: float) -> None:
        self.stretches: list[tuple[float, float]] = []
        self.single = self.still = False
        self._fps = fps
        self._run: list[Shot] = []  # alike, not yet passed on
        self._first: Shot | None = None  # of the run
        self._alike = 0.0
        self._frozen = False
        self._runs = 0  # with pictures

    def pass_on(self, shots: Iterable[Shot]) -> Iterator[Shot]:
        """The steps in their order; the image of a frozen one is None."""
        last = 0
        for shot in shots:
            if not self._goes_on(shot):
                yield from self._end(shot.step)
                self._begin(shot)
            yield from self._add(shot)
            last = shot.step
        if self._runs == 1 and self._run:
            self._frozen = self.single or len(self._run) - 1 >= SHORT * self._fps
        yield from self._end(last + 1)
        self.still = self._runs == 1 and bool(self.stretches)

    def _goes_on(self, shot: Shot) -> bool:
        first = self._first
        if first is None or first.cells is None or shot.cells is None:
            return first is not None and first.cells is None and shot.cells is None
        return shot.cells is first.cells or int(np.abs(shot.cells - first.cells).max()) < self._alike

    def _begin(self, shot: Shot) -> None:
        self._first, self._frozen = shot, False
        if shot.cells is not None:
            self._runs += 1
            self._alike = min(max(ALIKE * float(np.ptp(shot.cells)), LEAST), MOST)

    def _add(self, shot: Shot) -> Iterator[Shot]:
        if shot.cells is None:
            yield shot
        elif self._frozen:
            yield shot._replace(image=None)
        else:
            self._run.append(shot)
            if len(self._run) >= max(2, LONG * self._fps):
                self._frozen = True
                yield from self._release()

    def _end(self, index: int) -> Iterator[Shot]:
        """The run ends before a step."""
        yield from self._release()
        if self._frozen and self._first is not None:
            self.stretches.append((self._first.step / self._fps, index / self._fps))

    def _release(self) -> Iterator[Shot]:
        run, self._run = self._run, []
        for shot in run:
            yield shot._replace(image=None) if self._frozen else shot
