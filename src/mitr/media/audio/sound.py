"""The sound of a clip as one stream of 16 kHz, true to the clip's time."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mitr.media.audio.mixing import RATE, Mixer
from mitr.media.features import Span
from mitr.media.files.clock import Clock, duration_of
from mitr.media.files.damage import Damage, decoded
from mitr.media.files.limits import Limits
from mitr.media.files.opening import RATES, Clip, beginning, declared_end, opened, required, sound_track

GAP = 0.05  # seconds by which time stamps may be off before silence is put in or sound is cut
EARLY = 0.25  # seconds before its declared end from which on a stream ends early
BELIEVED = 10  # a header that claims more than this many times what was read is not believed
QUIETEST = -120.0  # dBFS
_TICK = RATE // 100  # samples of 10 ms


class AudioStream:
    """Sound at 16 kHz, mono, to be iterated once: (n,) float32 in [-1, 1], a second at a time, from clip time 0.

    Attributes:
        rate: samples a second.
        path: the file.
    """

    rate = RATE

    def __init__(self, clip: Clip, limits: Limits) -> None:
        self.path = clip.path
        self._found = _Found()
        self._chunks = _read(clip, limits, self._found)  # holds no reference to self, so that it ends with it

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        return next(self._chunks)

    def close(self) -> None:
        """Close the file before all is read."""
        self._chunks.close()

    @property
    def seconds(self) -> float:
        """What was delivered, once all is read."""
        return self._found.samples / RATE

    @property
    def missing(self) -> list[Span]:
        """Stretches without sound, once all is read.

        They are delivered as zeros, so that time stays true; only a tail that an implausible header claims, and what
        lies beyond the limit, are not delivered.
        """
        return self._found.missing

    @property
    def notes(self) -> list[str]:
        """What a user should know, once all is read."""
        return self._found.notes

    @property
    def loudness(self) -> np.ndarray:
        """RMS of each 10 ms in dBFS, at least -120, (ceil(100 seconds),) float32, once all is read."""
        return np.concatenate([np.zeros(0, np.float32), *self._found.levels])


@dataclass
class _Found:
    samples: int = 0
    missing: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    levels: list[np.ndarray] = field(default_factory=list)


def _read(clip: Clip, limits: Limits, found: _Found) -> Generator[np.ndarray, None, None]:
    if "audio" in clip.absent:
        found.missing.append(Span(0.0, clip.seconds, clip.absent["audio"]))
        return
    for block in _blocks(_placed(clip, limits, found)):
        found.samples += len(block)
        found.levels.append(_levels(block))
        yield block


def _placed(clip: Clip, limits: Limits, found: _Found) -> Iterator[np.ndarray]:
    """Sound and silence from clip time 0 on, in pieces of any length."""
    line, damage = _Line(limits.seconds), Damage()
    with opened(clip.path, limits) as container:
        stream = required(sound_track(container), clip.path)
        end = declared_end(container, stream, clip.path)
        clock, expected = Clock(beginning(container), end), 0.0
        for frame in decoded(container, stream, limits, damage):
            if frame.sample_rate not in RATES or frame.layout.nb_channels > limits.channels:
                continue
            start, lasts = clock.time_of(frame, expected), frame.samples / frame.sample_rate
            if _is_padded(frame, start, lasts, end):
                line.stop_at(start + (duration_of(frame) or lasts))
            jumps = abs(start - expected) > GAP or not line.begun
            expected = (start if jumps else expected) + lasts
            yield from line.take(frame, start if jumps else None)
            if line.beyond or (line.full and (end or 0.0) > limits.seconds + EARLY):
                break
        yield from line.rest()
        yield from _tail(line, end, limits.seconds, clip.seconds, found.notes)
    found.missing += line.missing
    found.notes += [f"{line.broken} samples that are no numbers are taken for 0"] if line.broken else []
    found.notes += damage.notes("sound")


def _is_padded(frame: Any, start: float, lasts: float, end: float | None) -> bool:
    """Whether an encoder filled its last frame up: it outlasts both its own claim and the stream's end."""
    claimed = duration_of(frame)
    if claimed is None or end is None:
        return False
    return claimed < lasts - float(frame.time_base) and start + lasts > end + 0.001


def _tail(line: "_Line", end: float | None, limit: float, whole: float, notes: list[str]) -> Iterator[np.ndarray]:
    """Silence that is owed after the last sound; `notes` gets what is said of the end."""
    read, declared = line.delivered / RATE, end or 0.0
    if not line.heard:
        line.missing = [Span(0.0, whole, "no sound could be read")]
        notes.append("no sound could be read")
    elif line.beyond or (line.full and declared > limit + EARLY):
        line.missing.append(Span(limit, max(declared, limit + EARLY), f"beyond the limit of {limit:g} s"))
        notes.append(f"sound beyond the limit of {limit:g} s is not read (limits.seconds)")
    elif declared - read > EARLY:
        notes.append(f"the sound ends early, at {read:.2f} s of {declared:.2f} s (damaged or cut off)")
        line.missing.append(Span(read, min(declared, limit), "the file ends early"))
        if declared <= BELIEVED * read:
            yield from line.silence(round(declared * RATE))


def audio_of(clip: Clip, limits: Limits = Limits()) -> AudioStream:  # noqa: B008 - frozen
    """The sound of a clip; of a clip without any, a stream of nothing that says why.

    Raises:
        MitrError: while it is iterated, if the file cannot be read any more.
    """
    return AudioStream(clip, limits)


class _Line:
    """Puts sound in line, from clip time 0 to the limit.

    Attributes:
        delivered: samples so far.
        begun: whether there was a frame.
        heard: whether there was any sound.
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
        """A frame, at a time, or None: right after the one before."""
        self.begun = True
        if self._mixer is None or start is not None or not self._mixer.takes(frame):
            yield from self.rest()
            self._mixer = Mixer(frame)
        if start is not None:
            yield from self._go_to(start)
        yield from self._put(self._mixer.mix(frame))

    def rest(self) -> Iterator[np.ndarray]:
        """What the mixer still holds."""
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
        """Whether there is more sound beyond the limit."""
        return self._cut > EARLY * RATE

    def stop_at(self, time: float) -> None:
        """Take no sound from a time on."""
        self._stop = max(0, round(time * RATE))

    def _go_to(self, time: float) -> Iterator[np.ndarray]:
        """Silence up to a time; if it is past already, that much of the sound to come is skipped."""
        target = round(time * RATE)
        self._skip = max(0, self.delivered - target)
        until = min(target, self._last)
        if until - self.delivered > GAP * RATE:
            reason = "no sound in the file" if self.heard else "the sound starts later"
            self.missing.append(Span(self.delivered / RATE, until / RATE, reason))
        yield from self.silence(target)

    def silence(self, until: int) -> Iterator[np.ndarray]:
        """Zeros up to a sample."""
        while self.delivered < min(until, self._last):
            zeros = np.zeros(min(RATE, until - self.delivered, self._last - self.delivered), np.float32)
            self.delivered += len(zeros)
            yield zeros

    def _put(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        """What of a wave is to be delivered."""
        wave, self._skip = wave[self._skip :], max(0, self._skip - len(wave))
        if self._stop is not None:
            wave = wave[: max(0, self._stop - self.delivered)]
        taken = wave[: self._last - self.delivered]
        self._cut += len(wave) - len(taken)
        self.delivered += len(taken)
        self.heard = self.heard or len(wave) > 0
        if len(taken):
            yield taken


def _blocks(waves: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same samples, a second at a time."""
    held, size = [], 0
    for wave in waves:
        held.append(wave)
        size += len(wave)
        while size >= RATE:
            joined = np.concatenate(held)
            yield joined[:RATE]
            held, size = [joined[RATE:]], size - RATE
    if size:
        yield np.concatenate(held)


def _levels(block: np.ndarray) -> np.ndarray:
    """RMS of each 10 ms in dBFS; of what is left at the end, too."""
    power = np.add.reduceat(np.square(block, dtype=np.float64), np.arange(0, len(block), _TICK))
    count = np.diff(np.append(np.arange(0, len(block), _TICK), len(block)))
    return np.maximum(10 * np.log10(np.maximum(power / count, 1e-12)), QUIETEST).astype(np.float32)
