"""One clip read: its features, its words, and what of them is missing when and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mitr.data.cleaning import clean_features
from mitr.errors import MitrError
from mitr.files import sha256
from mitr.media import registry, spans
from mitr.media.cache import Cache
from mitr.media.captions import Transcript
from mitr.media.decode import Clip, audio_of, frames_of, open_clip
from mitr.media.features import Extracted, Extractor, Span
from mitr.media.limits import Limits
from mitr.media.registry import Recipe

VERSION = 1  # of what happens here to an extractor's values
APART = 0.5  # seconds by which one stream may be shorter than the clip without missing anything


class Track(NamedTuple):
    """One modality of a clip.

    Attributes:
        values: (T, D) float32, rows of zeros where nothing is known; T is 0 where nothing is known at all.
        available: (T,) bool.
        rate: steps a second; step i stands for the time from i / rate.
        missing: what of it is missing, in the order of time.
        notes: what a user should know.
    """

    values: np.ndarray
    available: np.ndarray
    rate: float
    missing: tuple[Span, ...]
    notes: tuple[str, ...]


@dataclass
class Reading:
    """A clip as models see it.

    Attributes:
        path: where it lies.
        sha256: of the file.
        seconds: its length.
        tracks: modality -> Track, of those that the clip has something of.
        absent: modality -> why it has nothing of it.
        transcript: its words; None: there are none.
        notes: what a user should know of the file.
    """

    path: Path
    sha256: str
    seconds: float
    tracks: dict[str, Track]
    absent: dict[str, str]
    transcript: Transcript | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The words, "" without any."""
        return self.transcript.text if self.transcript else ""

    def missing(self) -> dict[str, list[Span]]:
        """modality -> what is missing of it; the whole clip of those that are absent."""
        found = {m: list(track.missing) for m, track in self.tracks.items() if track.missing}
        return found | {m: [Span(0.0, round(self.seconds, 3), reason)] for m, reason in self.absent.items()}


def read_clip(
    path: str | Path,
    recipes: Mapping[str, Recipe],
    *,
    limits: Limits | None = None,
    cache: Cache | None = None,
    transcript: Transcript | None = None,
    digest: str | None = None,
) -> Reading:
    """Read a clip.

    Args:
        path: the file.
        recipes: modality -> how its features are made.
        limits: bounds on what the file may ask for.
        cache: where features of files that were read before are kept.
        transcript: its words.
        digest: SHA-256 of the file, if it is known.

    Raises:
        MitrError: the file is no media file, or an extractor is at fault.
    """
    path, limits = Path(path), limits or Limits()
    clip = open_clip(path, limits)
    digest = digest or sha256(path)
    seconds, tracks, absent = clip.seconds, {}, dict(clip.absent)
    notes = list(clip.notes)
    for m, recipe in recipes.items():
        if m in absent:
            continue
        key = _key(m, recipe, limits)
        track = cache.get(digest, key) if cache else None
        if track is None:
            track = _track(clip, m, recipe, limits)
            if cache:
                cache.put(digest, key, track)
        notes += [note for note in track.notes if note not in notes]
        if track.available.any():
            tracks[m] = track
            seconds = max(seconds, len(track.values) / track.rate if not clip.seconds else 0.0)
        else:
            absent[m] = ", ".join(dict.fromkeys(span.reason for span in track.missing)) or "nothing in it"
    wanted = {m: reason for m, reason in absent.items() if m in recipes}
    if transcript is None or not transcript.text.strip():
        transcript, wanted = None, wanted | {"text": "no transcript"}
    return Reading(path, digest, seconds, tracks, wanted, transcript, notes)


def _track(clip: Clip, modality: str, recipe: Recipe, limits: Limits) -> Track:
    extractor = registry.current(recipe, str(clip.path))
    stream: Any
    if modality == "audio":
        stream = audio_of(clip, limits)
        rate = extractor.rate
    else:
        stream = frames_of(clip, recipe.fps or 10.0, recipe.longest_side or 640, limits)
        rate = extractor.rate or stream.fps
    if rate is None:
        raise MitrError(f"the feature extractor {extractor.name!r} must say how many steps a second it gives")
    extracted = extractor.extract(stream)
    values = _checked(extracted, extractor)
    for _ in stream:  # what an extractor leaves unread still says how long the stream is
        pass
    length = stream.seconds
    gaps = list(stream.missing)
    if clip.seconds - length > APART:
        gaps.append(Span(length, clip.seconds, "the stream ends earlier than the clip"))
        length = clip.seconds
    steps = int(np.ceil(length * rate - spans.NEAR))
    values = _of_length(values, steps)
    if modality == "audio" and recipe.silence_db is not None:
        gaps += spans.silences(stream.loudness, recipe.silence_db, recipe.silence_seconds or 0.5)
    gaps = [gap if gap.stop < length - 1 / rate else gap._replace(stop=np.inf) for gap in gaps]  # also of a half step
    notes = (*stream.notes, *extracted.notes)
    return _with_gaps(values, gaps, extractor.blank, rate, length, notes)


def _with_gaps(
    values: np.ndarray, gaps: list[Span], blank: str, rate: float, seconds: float, notes: tuple[str, ...]
) -> Track:
    """Blank the steps of the gaps, and say why each blank step is one."""
    steps = len(values)
    reasons = [blank if nothing else "" for nothing in np.isnan(values).any(axis=1)]
    for gap in reversed(gaps):  # the first reason counts
        part = spans.steps_in(gap, steps, rate)
        reasons[part] = [gap.reason] * (part.stop - part.start)
    there = np.array([not reason for reason in reasons], dtype=bool)
    cleaned = clean_features(np.where(there[:, None], values, 0), steps)
    if not len(cleaned.values):
        return Track(values[:0], there[:0], rate, spans.spans_of(reasons, rate, seconds), notes)
    return Track(cleaned.values, cleaned.available, rate, spans.spans_of(reasons, rate, seconds), notes)


def _checked(extracted: Extracted, extractor: Extractor) -> np.ndarray:
    values = np.asarray(extracted.values, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != len(extractor.columns):
        raise MitrError(
            f"the feature extractor {extractor.name!r} gave an array of shape {values.shape}, but its card says "
            f"(T, {len(extractor.columns)}): one row a step"
        )
    return np.where(np.isfinite(values), values, np.nan)


def _of_length(values: np.ndarray, steps: int) -> np.ndarray:
    """(T, D) cut to `steps` rows, or filled up with rows of NaN."""
    values = values[:steps]
    blank = np.full((steps - len(values), values.shape[1]), np.nan, np.float32)
    return np.concatenate([values, blank])


def _key(modality: str, recipe: Recipe, limits: Limits) -> str:
    return f"{modality}-{recipe.extractor}-{recipe.version} {VERSION} {recipe.to_json()} {limits}"
