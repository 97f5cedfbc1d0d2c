"""Words of clips without a transcript, by speech recognition; what was heard once is remembered."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError
from mitr.files import read_json, write_json
from mitr.media.audio.sound import audio_of
from mitr.media.cache import Cache
from mitr.media.files.limits import Limits
from mitr.media.files.opening import open_clip
from mitr.media.options import SpeechConfig
from mitr.media.reading import Reading
from mitr.media.words.captions import Cue, Transcript, Word, fitted

VERSION = 1


def listen(reading: Reading, speech: SpeechConfig, limits: Limits, cache: Cache) -> None:
    """Give a clip that has no words those that are heard in it, if that was asked for and there is sound to hear."""
    if reading.transcript is not None or speech.model is None or "audio" in reading.absent:
        return
    found = transcript_by_ear(reading.path, reading.sha256, speech, limits, cache)
    if found is not None:
        reading.transcript = fitted(found, reading.seconds)
        reading.absent.pop("text", None)


def transcript_by_ear(
    path: str | Path, digest: str, speech: SpeechConfig, limits: Limits, cache: Cache
) -> Transcript | None:
    """What is said in a clip; None if nothing is. Its sound is held in memory as a whole, 230 MB an hour.

    Args:
        path: the file.
        digest: its SHA-256.
        speech: the options; `model` is set.
        limits: bounds on what the file may ask for.
        cache: where what was heard is kept.

    Raises:
        MitrError: faster-whisper is not installed, or its model not at hand.
    """
    key = json.dumps([VERSION, _identity(str(speech.model)), speech.language, asdict(limits)])
    kept = cache.folder / digest[:2] / digest / f"speech-{hashlib.blake2s(key.encode()).hexdigest()[:16]}.json"
    found = _kept(kept)
    if found is not None:
        cache.used(kept)
    else:
        from mitr.media.words.speech import transcribe  # an extra, asked for by few

        clip = open_clip(path, limits)
        if "audio" in clip.absent:
            return None
        sound = np.concatenate([*audio_of(clip, limits), np.zeros(0, np.float32)])
        found = transcribe(sound, str(speech.model), speech.allow_download, speech.language)
        try:
            write_json(kept, found._asdict())
        except OSError as error:
            cache.unwritable(error)
    return found if found.text.strip() else None


def _identity(model: str) -> list[Any]:
    """By what a model is known: its name, or its folder's files with their sizes and times."""
    folder = Path(model)
    if not folder.is_dir():
        return [model]
    return [
        [path.name, about.st_size, about.st_mtime_ns] for path in sorted(folder.iterdir()) if (about := path.stat())
    ]


def _kept(path: Path) -> Transcript | None:
    """What was heard before; a file that cannot be read counts as none."""
    try:
        known = read_json(path)
        words, cues = (Word(*word) for word in known["words"]), (Cue(*cue) for cue in known["cues"])
        return Transcript(str(known["text"]), tuple(cues), tuple(words), str(known["source"]))
    except (MitrError, OSError, KeyError, TypeError):
        return None
