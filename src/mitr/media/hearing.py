"""Words of clips without a transcript, by speech recognition; what was heard once is remembered."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mitr.files import read_json, write_json
from mitr.media.cache import Cache
from mitr.media.captions import Cue, Transcript, Word
from mitr.media.decode import audio_of, open_clip
from mitr.media.limits import Limits
from mitr.media.options import SpeechConfig

VERSION = 1


def transcript_by_ear(
    path: str | Path, digest: str, speech: SpeechConfig, limits: Limits, cache: Cache
) -> Transcript | None:
    """What is said in a clip; None if nothing is.

    Args:
        path: the file.
        digest: its SHA-256.
        speech: the options; `model` is set.
        limits: bounds on what the file may ask for.
        cache: where what was heard is kept.

    Raises:
        MitrError: faster-whisper is not installed, or its model not at hand.
    """
    key = json.dumps([VERSION, asdict(speech), asdict(limits)])
    kept = cache.folder / digest[:2] / digest / f"speech-{hashlib.blake2s(key.encode()).hexdigest()[:16]}.json"
    if kept.exists():
        found = _read(kept)
    else:
        from mitr.media.speech import transcribe  # an extra, asked for by few

        clip = open_clip(path, limits)
        if "audio" in clip.absent:
            return None
        sound = np.concatenate([*audio_of(clip, limits), np.zeros(0, np.float32)])
        found = transcribe(sound, str(speech.model), speech.allow_download, speech.language)
        write_json(kept, found._asdict())
    return found if found.text.strip() else None


def _read(path: Path) -> Transcript:
    known = read_json(path)
    words, cues = (Word(*word) for word in known["words"]), (Cue(*cue) for cue in known["cues"])
    return Transcript(known["text"], tuple(cues), tuple(words), known["source"])
