"""Frozen pictures: stretches of a video in which nothing moves."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

LONG = 2.0  # shortest frozen stretch in seconds
SHORT = 0.5  # shortest length in seconds of a video that is a still picture as a whole
ALIKE = 0.08  # largest difference of a cell from the first picture of the stretch, as a share of the range of greys,
LEAST, MOST = 2, 8  # and its bounds, of 255

# The largest difference of a cell counts, not the mean: of a talking head often only the lips move. Pictures are
# compared with the first of the stretch: at 30 pictures a second real faces change little from one to the next.


class Shot(NamedTuple):
    """A step of the grid.

    Attributes:
        step: its number.
        image: the picture, (H, W, 3) uint8, or None.
        cells: a small grey version of the picture, int16, or None.
    """

    step: int
    image: np.ndarray | None
    cells: np.ndarray | None


class Thaw:
    """Passes steps on, without the pictures that are frozen; it holds back at most two seconds of steps.

    Attributes:
        single: whether the video has only one picture; to be set before the last step is passed on.
        still: whether all steps with a picture have the same one, once all steps are passed on.
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
        """End the run of alike pictures before a step."""
        yield from self._release()
        if self._frozen and self._first is not None:
            self.stretches.append((self._first.step / self._fps, index / self._fps))

    def _release(self) -> Iterator[Shot]:
        run, self._run = self._run, []
        for shot in run:
            yield shot._replace(image=None) if self._frozen else shot
