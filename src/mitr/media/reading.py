"""One clip read: its features, its words, and the stretches in which each of them is missing."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError
from mitr.files import sha256
from mitr.media import registry
from mitr.media.audio.sound import BELIEVED, AudioStream, HeldSound, audio_of
from mitr.media.cache import Cache
from mitr.media.features import Span
from mitr.media.files.limits import Limits
from mitr.media.files.opening import Clip, described, opened
from mitr.media.options import SpeechConfig
from mitr.media.registry import FeatureRecipe
from mitr.media.track import APART, Track, audio_track, vision_track
from mitr.media.video.pictures import frames_of
from mitr.media.words.captions import Transcript, fitted
from mitr.media.words.hearing import Hearing

VERSION = 3  # of the way from an extractor's values to a track
PLAUSIBLE = 600.0  # seconds that a clip may declare although little of it can be read


@dataclass
class Reading:
    """A clip as models get it.

    Attributes:
        path: the file.
        sha256: of the file.
        seconds: the clip's length; 0 if it is unknown.
        tracks: modality -> Track, where any step of it is available.
        absent: modality -> the reason why no step of it is available.
        transcript: the words; None without any.
        notes: what a user should know of the file.
        loudness: (n,) dBFS of each 10 ms, where it was asked for and the clip has sound.
    """

    path: Path
    sha256: str
    seconds: float
    tracks: dict[str, Track]
    absent: dict[str, str]
    transcript: Transcript | None = None
    notes: list[str] = field(default_factory=list)
    loudness: np.ndarray | None = None

    @property
    def text(self) -> str:
        """The words, "" without any."""
        return self.transcript.text if self.transcript else ""

    def missing(self) -> dict[str, list[Span]]:
        """modality -> missing stretches; the whole clip of an absent modality."""
        gaps = {m: list(track.missing) for m, track in self.tracks.items() if track.missing}
        return gaps | {m: [Span(0.0, round(self.seconds, 3), reason)] for m, reason in self.absent.items()}


def read_clip(
    path: str | Path,
    recipes: Mapping[str, FeatureRecipe],
    *,
    limits: Limits | None = None,
    cache: Cache | None = None,
    transcript: Transcript | None = None,
    speech: SpeechConfig | None = None,
    digest: str | None = None,
    loudness: bool = False,
) -> Reading:
    """Read a clip: the file is opened once, and each of its streams is decoded at most once.

    Args:
        path: the file.
        recipes: modality -> how its features are made.
        limits: bounds on what the file may ask for.
        cache: where features of files that were read before are kept.
        transcript: the words.
        speech: speech recognition for a clip without words; None, or one without a model: there is none.
        digest: SHA-256 that the file had when it was read before.
        loudness: also measure the loudness.

    Raises:
        MitrError: the file is no media file, has changed since it had this SHA-256, an extractor is at fault, or speech
            recognition is not at hand.
    """
    path, limits = Path(path), limits or Limits()
    words = transcript if transcript is not None and transcript.text.strip() else None
    with opened(path, limits) as container:
        clip = described(container, path, limits)
        known, digest = digest is not None, digest or sha256(path)
        wanted = {m: recipe for m, recipe in recipes.items() if m not in clip.absent}
        read = _cached(wanted, digest, limits, cache)
        unread = {m: recipe for m, recipe in wanted.items() if m not in read}
        if unread and known and sha256(path) != digest:
            raise MitrError(f"{path} has changed since it was first read; call the same command again")
        hearing = heard = None
        if words is None and speech is not None and speech.model is not None and _may_be_heard(clip, read):
            hearing = Hearing(digest, speech, limits, cache)
            heard = hearing.remembered()
        listens = hearing is not None and heard is None
        streams = _Streams(clip, container, limits, unread, sound_too=listens or loudness)
        with closing(streams):
            for m, track in streams.tracks():
                read[m] = track
                if cache is not None:
                    cache.put(digest, _key(m, unread[m], limits), track)
            levels = streams.loudness() if loudness and "audio" not in clip.absent else None
            if hearing is not None and _may_be_heard(clip, read):
                heard = hearing.transcript(streams.sound()) if heard is None else heard
                words = heard if heard.text.strip() else None
    return _joined(clip, digest, {m: read[m] for m in wanted}, list(recipes), words, levels)


def tracks_of(
    reading: Reading, recipes: Mapping[str, FeatureRecipe], *, limits: Limits, cache: Cache
) -> dict[str, Track]:
    """The tracks of a clip that was read before; its file is opened only if the cache lacks one of them.

    Raises:
        MitrError: the cache lacks one, and the file has changed or cannot be read any more.
    """
    wanted = {m: recipe for m, recipe in recipes.items() if m not in reading.absent}
    tracks = _cached(wanted, reading.sha256, limits, cache)
    if len(tracks) < len(wanted):
        return read_clip(reading.path, recipes, limits=limits, cache=cache, digest=reading.sha256).tracks
    return {m: track.up_to(reading.seconds) for m, track in tracks.items()}


class _Streams:
    """The streams of an open clip: one pass over the file for sound and pictures together, the sound held meanwhile.

    Args:
        clip: the clip.
        container: its open file.
        limits: bounds on what is decoded.
        recipes: modality -> how its features are made, of the modalities to decode.
        sound_too: whether loudness or sound will be asked for, whatever the recipes are.
    """

    def __init__(
        self, clip: Clip, container: Any, limits: Limits, recipes: Mapping[str, FeatureRecipe], sound_too: bool
    ) -> None:
        self._clip, self._container, self._limits, self._recipes = clip, container, limits, recipes
        self._levels: np.ndarray | None = None
        self._held: HeldSound | None = None
        several_uses = sound_too or ("audio" in recipes and "vision" in recipes)
        if several_uses and "audio" not in clip.absent:
            self._held = HeldSound(clip, container, limits)

    def tracks(self) -> Iterator[tuple[str, Track]]:
        """modality, track; loudness and sound are known once all tracks are taken."""
        extractors = {m: registry.current(recipe, str(self._clip.path)) for m, recipe in self._recipes.items()}
        if recipe := self._recipes.get("vision"):
            fps, side = recipe.fps or 10.0, recipe.longest_side or 640
            frames = frames_of(self._clip, fps, side, self._limits, self._container, self._held)
            yield "vision", vision_track(frames, extractors["vision"])
        if self._held is not None:
            self._held.finish()
        if recipe := self._recipes.get("audio"):
            stream = self._audio()
            yield "audio", audio_track(stream, extractors["audio"], recipe)
            self._levels = stream.loudness

    def loudness(self) -> np.ndarray:
        """(n,) dBFS of each 10 ms; only where `sound_too` was set."""
        if self._levels is None:
            self._levels = self._audio().loudness
        return self._levels

    def sound(self) -> AudioStream:
        """The sound from its beginning; only where `sound_too` was set."""
        return self._audio()

    def close(self) -> None:
        """Forget the held sound."""
        if self._held is not None:
            self._held.close()

    def _audio(self) -> AudioStream:
        if self._held is not None:
            return self._held.audio()
        return audio_of(self._clip, self._limits, self._container)


def _cached(recipes: Mapping[str, FeatureRecipe], digest: str, limits: Limits, cache: Cache | None) -> dict[str, Track]:
    if cache is None:
        return {}
    tracks = ((m, cache.get(digest, _key(m, recipe, limits))) for m, recipe in recipes.items())
    return {m: track for m, track in tracks if track is not None}


def _may_be_heard(clip: Clip, read: Mapping[str, Track]) -> bool:
    """Whether a clip has sound, and not only silence as far as its track is known."""
    return "audio" not in clip.absent and ("audio" not in read or bool(read["audio"].available.any()))


def _joined(
    clip: Clip,
    digest: str,
    read: Mapping[str, Track],
    modalities: list[str],
    words: Transcript | None,
    loudness: np.ndarray | None,
) -> Reading:
    """The tracks up to the clip's end, with the reasons of absent modalities."""
    longest = max((track.seconds for track in read.values()), default=0.0)
    seconds = longest if _implausible(clip.seconds, longest, list(read.values())) else clip.seconds
    tracks = {m: track.up_to(seconds) for m, track in read.items() if track.available.any()}
    absent = {m: reason for m, reason in clip.absent.items() if m in modalities}
    absent |= {m: track.why_missing for m, track in read.items() if m not in tracks}
    if words is None:
        absent["text"] = "no transcript"
    else:
        words = fitted(words, seconds)
    notes = list(dict.fromkeys([*clip.notes, *(note for track in read.values() for note in track.notes)]))
    return Reading(clip.path, digest, seconds, tracks, absent, words, notes, loudness)


def _implausible(declared: float, longest: float, read: list[Track]) -> bool:
    """Whether the length of the longest stream that was read is more plausible than the declared length of the clip.

    So it is where no length is declared; where one of these streams declares it and has many times less; and where a
    stream that was not read may declare it, but it is hours.
    """
    ends = [span.stop for track in read for span in track.missing if span.stop > BELIEVED * track.seconds > 0]
    lies = any(end >= declared - APART for end in ends)
    return not declared or lies or (longest > 0 and declared > max(BELIEVED * longest, PLAUSIBLE))


def _key(modality: str, recipe: FeatureRecipe, limits: Limits) -> str:
    return f"{modality}-{recipe.extractor}-{recipe.version} {VERSION} {recipe.to_json()} {limits}"
