"""Decoded sound put at its place in the clip: gaps become silence, overlaps are cut."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mitr.media.audio.mixing import RATE, Mixer
from mitr.media.features import Span

GAP = 0.05  # seconds by which time stamps may be off before silence is put in or sound is cut
EARLY = 0.25  # seconds before its declared end from which on a stream ends early


class Timeline:
    """Sound at 16 kHz from clip time 0 to the limit.

    Args:
        limit: in seconds.

    Attributes:
        delivered: samples so far.
        begun: whether a frame was taken.
        heard: whether any sound was taken.
        broken: samples that were no numbers.
        missing: gaps so far.
    """

    def __init__(self, limit: float) -> None:
        self.delivered = self.broken = 0
        self.begun = self.heard = False
        self.missing: list[Span] = []
        self._mixer: Mixer | None = None
        self._last = round(limit * RATE)
        self._stop: int | None = None
        self._skip = self._cut = 0

    def take(self, frame: Any, start: float | None) -> Iterator[np.ndarray]:
        """The sound that a frame adds, which begins at `start` seconds; None: where the frame before it ends."""
        self.begun = True
        if self._mixer is None or start is not None or not self._mixer.takes(frame):
            yield from self.rest()
            self._mixer = Mixer(frame)
        if start is not None:
            yield from self._go_to(start)
        yield from self._put(self._mixer.mix(frame))

    def rest(self) -> Iterator[np.ndarray]:
        """The sound that the mixer still holds back."""
        if self._mixer is not None:
            yield from self._put(self._mixer.rest())
            self.broken += self._mixer.broken
            self._mixer = None

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.delivered >= self._last

    @property
    def beyond(self) -> bool:
        """Whether sound beyond the limit was cut off."""
        return self._cut > EARLY * RATE

    def stop_at(self, time: float) -> None:
        """Take no sound from a time on."""
        self._stop = max(0, round(time * RATE))

    def silence(self, until: int) -> Iterator[np.ndarray]:
        """Zeros up to a sample."""
        while self.delivered < min(until, self._last):
            zeros = np.zeros(min(RATE, until - self.delivered, self._last - self.delivered), np.float32)
            self.delivered += len(zeros)
            yield zeros

    def _go_to(self, time: float) -> Iterator[np.ndarray]:
        """Silence up to a time; if that time is past, as much of the coming sound is skipped."""
        target = round(time * RATE)
        self._skip = max(0, self.delivered - target)
        until = min(target, self._last)
        if until - self.delivered > GAP * RATE:
            reason = "no sound in the file" if self.heard else "the sound starts later"
            self.missing.append(Span(self.delivered / RATE, until / RATE, reason))
        yield from self.silence(target)

    def _put(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        """A wave without its skipped beginning and without the samples behind the end."""
        wave, self._skip = wave[self._skip :], max(0, self._skip - len(wave))
        if self._stop is not None:
            wave = wave[: max(0, self._stop - self.delivered)]
        taken = wave[: self._last - self.delivered]
        self._cut += len(wave) - len(taken)
        self.delivered += len(taken)
        self.heard = self.heard or len(wave) > 0
        if len(taken):
            yield taken
