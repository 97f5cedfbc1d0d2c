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
from mitr.media.audio.sound import BELIEVED, audio_of
from mitr.media.cache import Cache
from mitr.media.features import Extracted, Extractor, Span
from mitr.media.files.limits import Limits
from mitr.media.files.opening import Clip, open_clip
from mitr.media.registry import Recipe
from mitr.media.video.pictures import frames_of
from mitr.media.words.captions import Transcript, fitted

VERSION = 3  # of what happens here to an extractor's values
APART = 0.5  # seconds by which one stream may be shorter than the clip without missing anything
PLAUSIBLE = 600.0  # seconds that a clip may claim although little of it can be read


class Track(NamedTuple):
    """One modality of a clip.

    Attributes:
        values: (T, D) float32, rows of zeros where nothing is known; T is 0 where nothing is known at all.
        available: (T,) bool.
        rate: steps a second; step i stands for the time from i / rate.
        missing: what of it is missing, in the order of time.
        notes: what a user should know.
        seconds: how long its stream is, as far as that is believed; 0 of a part of a clip.
    """

    values: np.ndarray
    available: np.ndarray
    rate: float
    missing: tuple[Span, ...]
    notes: tuple[str, ...]
    seconds: float = 0.0

    @property
    def why_missing(self) -> str:
        """Why it has nothing, where nothing of it is available."""
        return ", ".join(dict.fromkeys(span.reason for span in self.missing)) or "nothing in it"


@dataclass
class Reading:
    """A clip as models see it.

    Attributes:
        path: where it lies.
        sha256: of the file.
        seconds: its length; 0 if nothing tells.
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
        digest: SHA-256 that the file had when it was read before.

    Raises:
        MitrError: the file is no media file, has changed since it had this SHA-256, or an extractor is at fault.
    """
    path, limits = Path(path), limits or Limits()
    clip = open_clip(path, limits)
    known, digest = digest is not None, digest or sha256(path)
    tracks, absent = {}, dict(clip.absent)
    read: list[Track] = []
    notes = list(clip.notes)
    for m, recipe in recipes.items():
        if m in absent:
            continue
        key = _key(m, recipe, limits)
        track = cache.get(digest, key) if cache else None
        if track is None:
            if known and sha256(path) != digest:
                raise MitrError(f"{path} has changed since it was first read; call the same command again")
            track = _track(clip, m, recipe, limits)
            if cache:
                cache.put(digest, key, track)
        notes += [note for note in track.notes if note not in notes]
        read.append(track)
        if track.available.any():
            tracks[m] = track
        else:
            absent[m] = track.why_missing
    longest = max((track.seconds for track in read), default=0.0)
    seconds = longest if _implausible(clip.seconds, longest, read) else clip.seconds
    tracks = {m: _stretched(track, seconds) for m, track in tracks.items()}
    wanted = {m: reason for m, reason in absent.items() if m in recipes}
    if transcript is None or not transcript.text.strip():
        transcript, wanted = None, wanted | {"text": "no transcript"}
    else:
        transcript = fitted(transcript, seconds)
    return Reading(path, digest, seconds, tracks, wanted, transcript, notes)


def _implausible(claim: float, longest: float, read: list[Track]) -> bool:
    """Whether a clip is rather as long as the longest stream that was read than as long as it says.

    That is so where it says nothing; where one of these streams says it and has many times less; and where a stream
    that was not read may say it, but it is hours.
    """
    ends = [span.stop for track in read for span in track.missing if span.stop > BELIEVED * track.seconds > 0]
    lies = any(end >= claim - APART for end in ends)
    return not claim or lies or (longest > 0 and claim > max(BELIEVED * longest, PLAUSIBLE))


def _stretched(track: Track, seconds: float) -> Track:
    """A track up to the clip's end, if it ends much earlier than that; the rest is missing."""
    if seconds - track.seconds <= APART:
        return track
    steps = int(np.ceil(seconds * track.rate - spans.NEAR))
    told = max([track.seconds, *(span.stop for span in track.missing)])  # up to there it is said already
    rest = spans.after([Span(track.seconds, seconds, "the stream ends earlier than the clip")], told)
    missing = spans.merged(track.missing + rest)
    there = np.concatenate([track.available, np.zeros(steps - len(track.values), bool)])
    blank = np.zeros((steps - len(track.values), track.values.shape[1]), np.float32)
    return track._replace(values=np.concatenate([track.values, blank]), available=there, missing=missing)


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
    steps = int(np.ceil(length * rate - spans.NEAR))
    values = _of_length(values, steps)
    if modality == "audio" and recipe.silence_db is not None:
        gaps += spans.silences(stream.loudness, recipe.silence_db, recipe.silence_seconds or 0.5)
    beyond = spans.after(gaps, length)
    gaps = [gap if gap.stop < length - 1 / rate else gap._replace(stop=np.inf) for gap in gaps]  # also of a half step
    notes = (*stream.notes, *extracted.notes)
    track = _with_gaps(values, gaps, extractor.blank, rate, length, notes)
    return track._replace(missing=spans.merged(track.missing + beyond), seconds=length)


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
