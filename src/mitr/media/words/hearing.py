"""Words of clips without a transcript, by speech recognition; a clip that was heard once is remembered."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError
from mitr.files import read_json, write_json
from mitr.media.cache import Cache
from mitr.media.files.limits import Limits
from mitr.media.options import SpeechConfig
from mitr.media.words import speech as recognition
from mitr.media.words.captions import Cue, Transcript, Word

VERSION = 1


class Hearing:
    """Speech recognition of one clip.

    Args:
        digest: SHA-256 of the file.
        speech: the options; `model` is set.
        limits: bounds on what is decoded.
        cache: where transcripts are kept; None: nowhere.
    """

    def __init__(self, digest: str, speech: SpeechConfig, limits: Limits, cache: Cache | None) -> None:
        self._speech, self._cache = speech, cache
        self._model = str(speech.model)
        key = json.dumps([VERSION, _identity(self._model), speech.language, asdict(limits)])
        name = f"speech-{hashlib.blake2s(key.encode()).hexdigest()[:16]}.json"
        self._path = cache.folder / digest[:2] / digest / name if cache is not None else None

    def remembered(self) -> Transcript | None:
        """The transcript of an earlier call; a file that cannot be read counts as none."""
        if self._path is None or self._cache is None:
            return None
        try:
            known = read_json(self._path)
            words, cues = (Word(*word) for word in known["words"]), (Cue(*cue) for cue in known["cues"])
            found = Transcript(str(known["text"]), tuple(cues), tuple(words), str(known["source"]))
        except (MitrError, OSError, KeyError, TypeError):
            return None
        self._cache.used(self._path)
        return found

    def transcript(self, sound: Iterable[np.ndarray]) -> Transcript:
        """Recognise the speech in a clip's sound, which is held in memory as a whole, 230 MB an hour.

        Raises:
            MitrError: faster-whisper is not installed, or its model not at hand.
        """
        samples = np.concatenate([*sound, np.zeros(0, np.float32)])
        speech = self._speech
        heard = recognition.transcribe(samples, self._model, speech.allow_download, speech.language)
        if self._path is not None and self._cache is not None:
            try:
                write_json(self._path, heard._asdict())
            except OSError as error:
                self._cache.unwritable(error)
        return heard


def _identity(model: str) -> list[Any]:
    """A model's name, or the names, sizes and times of the files in its folder."""
    folder = Path(model)
    if not folder.is_dir():
        return [model]
    files = ((path, path.stat()) for path in sorted(folder.iterdir()))
    return [[path.name, facts.st_size, facts.st_mtime_ns] for path, facts in files]
