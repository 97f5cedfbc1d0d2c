"""Decoded sound of any format turned into mono at 16 kHz."""

from typing import Any

import numpy as np

RATE = 16_000  # Hz
LOUDEST = 1e6  # full scale is 1; a larger sample is no sound
_START = 0.05  # seconds of silence after which a filter delivers even sound that is shorter than the filter


class Mixer:
    """Turns frames of one format, layout and rate into mono sound at 16 kHz.

    Channels are weighted as FFmpeg does, so that the sum cannot exceed full scale; layouts without weights in FFmpeg
    are averaged. Samples that are no numbers are replaced between mixing and resampling, before they spread.

    Attributes:
        broken: samples so far that were no numbers.
    """

    def __init__(self, frame: Any) -> None:
        self.broken = 0
        self._kind = _kind(frame)
        self._rate = frame.sample_rate
        self._averages = False
        self._to_mono, self._to_rate = _resampler("mono", None), _resampler("mono", RATE)
        self._taken = self._given = 0

    def takes(self, frame: Any) -> bool:
        """Whether a frame has this mixer's format."""
        return _kind(frame) == self._kind

    def mix(self, frame: Any) -> np.ndarray:
        """The sound that a frame adds, (n,) float32 in [-1, 1]; the filter holds back a few samples."""
        frame.pts = None  # or else the resampler would fill gaps
        wave = self._mono(frame)
        good = np.abs(wave) < LOUDEST
        if not good.all():
            self.broken += int((~good).sum())
            wave = np.where(good, wave, np.float32(0))
        self._taken += len(wave)
        return self._at_rate(wave)

    def rest(self) -> np.ndarray:
        """The samples that the filter still holds back, at the end."""
        owed = round(self._taken * RATE / self._rate) - self._given
        waves = [] if self._given else [self._at_rate(np.zeros(max(64, round(_START * self._rate)), np.float32))]
        waves.append(np.clip(_samples(self._to_rate.resample(None)), -1, 1))
        return np.concatenate(waves)[: max(0, owed)]

    def _at_rate(self, wave: np.ndarray) -> np.ndarray:
        if not len(wave):
            return wave
        wave = np.clip(_samples(self._to_rate.resample(_frame_of(wave, self._rate))), -1, 1)
        self._given += len(wave)
        return wave

    def _mono(self, frame: Any) -> np.ndarray:
        import av

        if not self._averages:
            try:
                return _samples(self._to_mono.resample(frame))
            except (av.error.FFmpegError, ValueError):
                self._averages, self._to_mono = True, _resampler(None, None)
        channels = frame.layout.nb_channels
        return _samples(self._to_mono.resample(frame)).reshape(-1, channels).mean(axis=1, dtype=np.float32)


def _kind(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _resampler(layout: str | None, rate: int | None) -> Any:
    from av.audio.resampler import AudioResampler

    weights = {"rematrix_maxval": "1.0"}  # or else two equal channels would add up to 1.4 times each
    return AudioResampler("flt", layout, rate, options=weights)


def _samples(frames: list[Any]) -> np.ndarray:
    """The samples of packed frames, one after another."""
    waves = [frame.to_ndarray()[0] for frame in frames if frame is not None]
    return np.concatenate([np.zeros(0, np.float32), *waves])


def _frame_of(wave: np.ndarray, rate: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="flt", layout="mono")
    frame.sample_rate = rate
    return frame
