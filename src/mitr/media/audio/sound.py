"""The sound of a clip as one stream of 16 kHz, true to the clip's time."""

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mitr.media.audio.mixing import RATE
from mitr.media.audio.timeline import EARLY, GAP, Timeline
from mitr.media.features import Span
from mitr.media.files.clock import Clock, duration_of
from mitr.media.files.damage import Damage
from mitr.media.files.decode import Decoder, decoded, packets_of
from mitr.media.files.limits import Limits
from mitr.media.files.opening import (
    RATES,
    Clip,
    beginning,
    container_of,
    declared_end,
    readable,
    required,
    sound_track,
)

BELIEVED = 10  # a header that declares more than this many times the sound that was read is not believed
QUIETEST = -120.0  # dBFS
IN_MEMORY = 64 << 20  # bytes of held sound, about 17 minutes; the rest lies in a temporary file
_TICK = RATE // 100  # samples of 10 ms


@dataclass
class _Facts:
    """What is known of a clip's sound once all of it is decoded."""

    samples: int = 0
    missing: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    levels: list[np.ndarray] = field(default_factory=list)


class AudioStream:
    """Sound at 16 kHz, mono, to be iterated once: (n,) float32 in [-1, 1], a second at a time, from clip time 0.

    Attributes:
        rate: samples a second.
        path: the file.
    """

    rate = RATE

    def __init__(self, path: Path, blocks: Generator[np.ndarray, None, None], facts: _Facts) -> None:
        self.path, self._blocks, self._facts = path, blocks, facts

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        return next(self._blocks)

    def close(self) -> None:
        """Close the file before all is read."""
        self._blocks.close()

    @property
    def seconds(self) -> float:
        """Length of the delivered sound, once all is read."""
        return self._facts.samples / RATE

    @property
    def missing(self) -> list[Span]:
        """Stretches without sound, once all is read.

        They are delivered as zeros, so that time stays true. Two kinds are not delivered: a tail that an implausible
        header declares, and sound beyond the limit.
        """
        return self._facts.missing

    @property
    def notes(self) -> list[str]:
        """What a user should know, once all is read."""
        return self._facts.notes

    @property
    def loudness(self) -> np.ndarray:
        """RMS of each 10 ms in dBFS, at least -120, (ceil(100 seconds),) float32, once all is read."""
        return np.concatenate([np.zeros(0, np.float32), *self._facts.levels])


def audio_of(clip: Clip, limits: Limits = Limits(), container: Any | None = None) -> AudioStream:  # noqa: B008 - frozen
    """The sound of a clip; of a clip without any, an empty stream whose `missing` has the reason.

    Args:
        clip: from `open_clip`.
        limits: bounds on what is decoded.
        container: the open file; None: it is opened for this stream.

    Raises:
        MitrError: while the stream is iterated, if the file cannot be read any more.
    """
    facts = _Facts()
    blocks = _read(clip, limits, container, facts)  # holds no reference to the stream, so that it ends with the stream
    return AudioStream(clip.path, blocks, facts)


def _read(clip: Clip, limits: Limits, container: Any | None, facts: _Facts) -> Generator[np.ndarray, None, None]:
    if "audio" in clip.absent:
        facts.missing.append(Span(0.0, clip.seconds, clip.absent["audio"]))
        return
    with container_of(clip, limits, container) as file:
        placing = _Placing(clip, file, limits, facts)
        for frame in decoded(file, placing.stream, limits, placing.damage):
            yield from placing.place(frame)
            if placing.full:
                break
        yield from placing.rest()


class HeldSound:
    """The sound of a clip, decoded in the pass over the file in which its pictures are read, and held for later.

    It holds 230 MB an hour, beyond 64 MB in a temporary file.

    Args:
        clip: from `open_clip`; it has sound.
        container: the open file.
        limits: bounds on what is decoded.

    Attributes:
        stream: the sound stream.
    """

    def __init__(self, clip: Clip, container: Any, limits: Limits) -> None:
        self._path, self._facts = clip.path, _Facts()
        self._placing = _Placing(clip, container, limits, self._facts)
        self._decoder = Decoder(self._placing.stream, limits, self._placing.damage)
        self._container = container
        self._held = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - see close
        self.stream = self._placing.stream

    def take(self, packet: Any | None) -> None:
        """Decode a packet of sound; None is the end of the stream."""
        if self._decoder.over or self._placing.full:
            return
        for frame in self._decoder.frames(packet):
            for block in self._placing.place(frame):
                self._held.write(block.tobytes())
            if self._placing.full:
                return

    def finish(self) -> None:
        """Decode the sound that the other stream left unread."""
        with readable(self._path):
            for packet in packets_of(self._container, [self.stream], self._placing.damage):
                self.take(packet)
                if self._decoder.over or self._placing.full:
                    break
            self.take(None)
        for block in self._placing.rest():
            self._held.write(block.tobytes())

    def audio(self) -> AudioStream:
        """The finished sound from its beginning; one stream at a time."""
        return AudioStream(self._path, self._blocks(), self._facts)

    def close(self) -> None:
        """Forget the sound."""
        self._held.close()

    def _blocks(self) -> Generator[np.ndarray, None, None]:
        self._held.seek(0)
        while block := self._held.read(4 * RATE):
            yield np.frombuffer(block, np.float32).copy()


class _Placing:
    """Turns decoded frames into blocks of a second, from clip time 0 on.

    Attributes:
        stream: the sound stream.
        damage: of this stream.
        full: whether no further frame is wanted, because the limit is reached.
    """

    def __init__(self, clip: Clip, container: Any, limits: Limits, facts: _Facts) -> None:
        self.stream = required(sound_track(container), clip.path)
        self.damage, self.full = Damage(), False
        self._clip, self._limits, self._facts = clip, limits, facts
        self._timeline = Timeline(limits.seconds)
        self._end = declared_end(container, self.stream, clip.path)
        self._clock, self._expected = Clock(beginning(container), self._end), 0.0
        self._waves: list[np.ndarray] = []  # not yet a whole block
        self._size = 0

    def place(self, frame: Any) -> Iterator[np.ndarray]:
        """The blocks that a frame completes."""
        if frame.sample_rate not in RATES or frame.layout.nb_channels > self._limits.channels:
            return
        start, lasts = self._clock.time_of(frame, self._expected), frame.samples / frame.sample_rate
        if _is_padded(frame, start, lasts, self._end):
            self._timeline.stop_at(start + (duration_of(frame) or lasts))
        jumps = abs(start - self._expected) > GAP or not self._timeline.begun
        self._expected = (start if jumps else self._expected) + lasts
        for wave in self._timeline.take(frame, start if jumps else None):
            yield from self._cut(wave)
        far = (self._end or 0.0) > self._limits.seconds + EARLY
        self.full = self._timeline.beyond or (self._timeline.full and far)

    def rest(self) -> Iterator[np.ndarray]:
        """The last blocks, once all frames are placed; the facts are complete afterwards."""
        timeline, facts = self._timeline, self._facts
        for wave in timeline.rest():
            yield from self._cut(wave)
        for wave in _tail(timeline, self._end, self._limits.seconds, self._clip.seconds, facts.notes):
            yield from self._cut(wave)
        facts.missing += timeline.missing
        facts.notes += [f"{timeline.broken} samples that are no numbers are taken for 0"] if timeline.broken else []
        facts.notes += self.damage.notes("sound")
        if self._size:
            yield self._counted(np.concatenate(self._waves))

    def _cut(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        self._waves.append(wave)
        self._size += len(wave)
        while self._size >= RATE:
            joined = np.concatenate(self._waves)
            yield self._counted(joined[:RATE])
            self._waves, self._size = [joined[RATE:]], self._size - RATE

    def _counted(self, block: np.ndarray) -> np.ndarray:
        self._facts.samples += len(block)
        self._facts.levels.append(_levels(block))
        return block


def _is_padded(frame: Any, start: float, lasts: float, end: float | None) -> bool:
    """Whether an encoder filled its last frame up: it outlasts both its declared duration and the stream's end."""
    declared = duration_of(frame)
    if declared is None or end is None:
        return False
    return declared < lasts - float(frame.time_base) and start + lasts > end + 0.001


def _tail(timeline: Timeline, end: float | None, limit: float, whole: float, notes: list[str]) -> Iterator[np.ndarray]:
    """The silence between the last sound and the declared end; `notes` gets what a user should know of the end."""
    read, declared = timeline.delivered / RATE, end or 0.0
    if not timeline.heard:
        timeline.missing = [Span(0.0, whole, "no sound could be read")]
        notes.append("no sound could be read")
    elif timeline.beyond or (timeline.full and declared > limit + EARLY):
        timeline.missing.append(Span(limit, max(declared, limit + EARLY), f"beyond the limit of {limit:g} s"))
        notes.append(f"sound beyond the limit of {limit:g} s is not read (limits.seconds)")
    elif declared - read > EARLY:
        notes.append(f"the sound ends early, at {read:.2f} s of {declared:.2f} s (damaged or cut off)")
        timeline.missing.append(Span(read, min(declared, limit), "the file ends early"))
        if declared <= BELIEVED * read:
            yield from timeline.silence(round(declared * RATE))


def _levels(block: np.ndarray) -> np.ndarray:
    """RMS of each 10 ms in dBFS; the last one may be of fewer samples."""
    power = np.add.reduceat(np.square(block, dtype=np.float64), np.arange(0, len(block), _TICK))
    count = np.diff(np.append(np.arange(0, len(block), _TICK), len(block)))
    return np.maximum(10 * np.log10(np.maximum(power / count, 1e-12)), QUIETEST).astype(np.float32)
