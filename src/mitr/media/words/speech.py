"""Speech recognition, for clips whose words are not given: faster-whisper, an optional extra.

It runs on the CPU with 8-bit weights, and always in the same way: beam search of width 5 without random retries, each
stretch without the text of the one before (which leads to repetitions), and no other model to find silence.
Model: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023.
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError
from mitr.media.words.captions import Cue, Transcript, Word

FILES = ("model.bin", "config.json", "tokenizer.json")  # faster-whisper would fetch a missing tokenizer itself


def transcribe(sound: Path | np.ndarray, model: str, allow_download: bool, language: str | None) -> Transcript:
    """The transcript of a sound, with the times of segments and words.

    Args:
        sound: a media file, or (n,) float32 samples, mono at 16 kHz in [-1, 1].
        model: the folder of a Whisper model that CTranslate2 reads, or a name such as `small` or a hub id.
        allow_download: let a name that is not in the local cache be fetched over the network.
        language: code such as `en` or `zh`; None: recognised from the first half minute.

    Raises:
        MitrError: faster-whisper is not installed, the model is not at hand, or the file's sound cannot be read.
    """
    source = f"speech recognition ({Path(model).name})"
    recognise = _load(model, allow_download).transcribe
    if isinstance(sound, np.ndarray) and not len(sound):
        return Transcript("", (), (), source)
    audio = sound.astype(np.float32) if isinstance(sound, np.ndarray) else str(sound)
    where = "the sound" if isinstance(sound, np.ndarray) else str(sound)
    try:
        segments, _ = recognise(
            audio,
            language=language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=False,
        )
        return _transcript(segments, source)  # faster-whisper makes segments while they are iterated
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise MitrError(f"{where}: its speech cannot be recognised: {error}") from None


def check(model: str, allow_download: bool) -> None:
    """Find a model, without loading it; see `transcribe`.

    Raises:
        MitrError: faster-whisper is not installed, or the model is not at hand.
    """
    _place(model, allow_download)


def _transcript(segments: Iterable[Any], source: str) -> Transcript:
    cues: list[Cue] = []
    words: list[Word] = []
    for segment in segments:
        spoken = [word for word in segment.words or () if word.word.strip()]
        text = "".join(word.word for word in spoken) if spoken else segment.text
        if text.strip():
            cues.append(Cue(float(segment.start), float(segment.end), " ".join(text.split())))
            words += [Word(word.word.strip(), float(word.start), float(word.end)) for word in spoken]
    words.sort(key=lambda word: word.start)
    return Transcript(" ".join(cue.text for cue in cues), tuple(cues), tuple(words), source)


@functools.lru_cache(maxsize=1)
def _load(model: str, allow_download: bool) -> Any:
    faster_whisper, folder = _place(model, allow_download)
    try:
        return faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise MitrError(f"{folder}: the speech model cannot be loaded: {error}") from None


def _place(model: str, allow_download: bool) -> tuple[Any, Path]:
    """The package and the folder of a model, which has all files."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import faster_whisper
    except ImportError as error:
        raise MitrError(f"speech recognition needs faster-whisper ({error}): pip install 'mitr[speech]'") from None
    folder = Path(model)
    if not folder.is_dir():
        folder = _folder_of(faster_whisper, model, allow_download)
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise MitrError(
            f"{folder} is not a speech model for faster-whisper: it has no {', '.join(lacking)};"
            " take one that was converted for CTranslate2, such as Systran/faster-whisper-small"
        )
    return faster_whisper, folder


def _folder_of(faster_whisper: Any, model: str, allow_download: bool) -> Path:
    """The folder of a model with this name, from the local cache or, if allowed, from the network."""
    try:
        return Path(faster_whisper.download_model(model, local_files_only=not allow_download))
    except OSError as error:  # some of them are ValueErrors too, so they come first
        if allow_download:
            raise MitrError(f"the speech model {model!r} cannot be fetched: {error}") from None
        raise MitrError(
            f"the speech model {model!r} is neither a folder nor in the local cache;"
            " give a folder, or allow the download"
        ) from None
    except ValueError as error:
        raise MitrError(f"the speech model {model!r} is neither a folder nor a name: {error}") from None
