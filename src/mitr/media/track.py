"""One modality of a clip as features over time, with the stretches in which it is missing and why."""

from typing import NamedTuple

import numpy as np

from mitr.data.cleaning import clean_features
from mitr.errors import MitrError
from mitr.media import spans
from mitr.media.audio.sound import AudioStream
from mitr.media.features import Extracted, Extractor, Span
from mitr.media.registry import FeatureRecipe
from mitr.media.video.pictures import FrameStream

APART = 0.5  # seconds by which one stream may be shorter than the clip without missing anything


class Track(NamedTuple):
    """One modality of a clip.

    Attributes:
        values: (T, D) float32, rows of zeros where nothing is known; T is 0 where nothing is known at all.
        available: (T,) bool.
        rate: steps a second; step i stands for the time from i / rate.
        missing: missing stretches in the order of time.
        notes: what a user should know.
        seconds: believed length of the stream; 0 for the track of a stretch of a clip.
    """

    values: np.ndarray
    available: np.ndarray
    rate: float
    missing: tuple[Span, ...]
    notes: tuple[str, ...]
    seconds: float = 0.0

    @property
    def why_missing(self) -> str:
        """The reasons of the missing stretches, for a track of which no step is available."""
        return ", ".join(dict.fromkeys(span.reason for span in self.missing)) or "nothing in it"

    def up_to(self, seconds: float) -> "Track":
        """The track of a clip of this length: where the stream ends much earlier, the rest is missing."""
        if seconds - self.seconds <= APART:
            return self
        steps = int(np.ceil(seconds * self.rate - spans.NEAR))
        explained = max([self.seconds, *(span.stop for span in self.missing)])  # `missing` has the reasons up to here
        rest = spans.after([Span(self.seconds, seconds, "the stream ends earlier than the clip")], explained)
        added = steps - len(self.values)
        return self._replace(
            values=np.concatenate([self.values, np.zeros((added, self.values.shape[1]), np.float32)]),
            available=np.concatenate([self.available, np.zeros(added, bool)]),
            missing=spans.merged(self.missing + rest),
        )


def audio_track(stream: AudioStream, extractor: Extractor, recipe: FeatureRecipe) -> Track:
    """The features of a clip's sound; silence is missing where the recipe says so.

    Raises:
        MitrError: the extractor breaks its own description.
    """
    extracted, rate = _extracted(stream, extractor, extractor.rate)
    gaps = list(stream.missing)
    if recipe.silence_db is not None:
        gaps += spans.silences(stream.loudness, recipe.silence_db, recipe.silence_seconds or 0.5)
    return _track(stream, extracted, gaps, extractor, rate)


def vision_track(stream: FrameStream, extractor: Extractor) -> Track:
    """The features of a clip's pictures.

    Raises:
        MitrError: the extractor breaks its own description.
    """
    extracted, rate = _extracted(stream, extractor, extractor.rate or stream.fps)
    return _track(stream, extracted, list(stream.missing), extractor, rate)


def _extracted(stream: AudioStream | FrameStream, extractor: Extractor, rate: float | None) -> tuple[Extracted, float]:
    if rate is None:
        raise MitrError(f"the feature extractor {extractor.name!r} must say how many steps a second it gives")
    extracted = extractor.extract(stream)
    values = np.asarray(extracted.values, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != len(extractor.columns):
        raise MitrError(
            f"the feature extractor {extractor.name!r} gave an array of shape {values.shape}, but its card says "
            f"(T, {len(extractor.columns)}): one row a step"
        )
    for _ in stream:  # the length of a stream is known at its end, which an extractor may leave unread
        pass
    return Extracted(np.where(np.isfinite(values), values, np.nan), extracted.notes), rate


def _track(
    stream: AudioStream | FrameStream, extracted: Extracted, gaps: list[Span], extractor: Extractor, rate: float
) -> Track:
    length = stream.seconds
    values = _of_length(extracted.values, int(np.ceil(length * rate - spans.NEAR)))
    beyond = spans.after(gaps, length)
    gaps = [gap if gap.stop < length - 1 / rate else gap._replace(stop=np.inf) for gap in gaps]  # also of a half step
    notes = (*stream.notes, *extracted.notes)
    track = _with_gaps(values, gaps, extractor.blank, rate, length, notes)
    return track._replace(missing=spans.merged(track.missing + beyond), seconds=length)


def _with_gaps(
    values: np.ndarray, gaps: list[Span], blank: str, rate: float, seconds: float, notes: tuple[str, ...]
) -> Track:
    """Blank the steps of the gaps, and give each blank step its reason."""
    steps = len(values)
    reasons = [blank if nothing else "" for nothing in np.isnan(values).any(axis=1)]
    for gap in reversed(gaps):  # the first reason counts
        part = spans.steps_in(gap, steps, rate)
        reasons[part] = [gap.reason] * (part.stop - part.start)
    available = np.array([not reason for reason in reasons], dtype=bool)
    cleaned = clean_features(np.where(available[:, None], values, 0), steps)
    if not len(cleaned.values):
        return Track(values[:0], available[:0], rate, spans.spans_of(reasons, rate, seconds), notes)
    return Track(cleaned.values, cleaned.available, rate, spans.spans_of(reasons, rate, seconds), notes)


def _of_length(values: np.ndarray, steps: int) -> np.ndarray:
    """(T, D) cut to `steps` rows, or filled up with rows of NaN."""
    values = values[:steps]
    blank = np.full((steps - len(values), values.shape[1]), np.nan, np.float32)
    return np.concatenate([values, blank])
