"""Speech recognition with a stand-in for faster-whisper, as its 1.2.1 is called and answers."""

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mitr.errors import MitrError
from mitr.media.words import speech
from mitr.media.words.captions import Cue, Transcript, Word, between
from mitr.media.words.speech import transcribe

SOUND = np.zeros(16000, np.float32)


@dataclass
class HeardWord:
    start: float
    end: float
    word: str
    probability: float = 0.9


@dataclass
class Segment:
    start: float
    end: float
    text: str
    words: list[HeardWord] | None


class WhisperModel:
    """Answers with `segments`, and keeps what it was asked."""

    segments: ClassVar[list[Segment]] = []
    loaded: ClassVar[list[tuple[str, dict]]] = []
    asked: ClassVar[list[tuple[object, dict]]] = []
    error: ClassVar[Exception | None] = None

    def __init__(self, model_size_or_path: str, **options: object):
        self.loaded.append((model_size_or_path, options))
        if self.error:
            raise self.error

    def transcribe(self, audio: object, **options: object):
        self.asked.append((audio, options))

        def heard():
            if self.error:
                raise self.error
            yield from self.segments

        return heard(), types.SimpleNamespace(language="en")


@pytest.fixture
def whisper(monkeypatch):
    module = types.ModuleType("faster_whisper")
    stand_in = type("WhisperModel", (WhisperModel,), {"segments": [], "loaded": [], "asked": [], "error": None})
    module.WhisperModel = stand_in
    module.download_model = lambda name, local_files_only: refuse(FileNotFoundError("not in the cache"))
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    speech._load.cache_clear()
    yield module
    speech._load.cache_clear()


def refuse(error: Exception):
    raise error


@pytest.fixture
def model(tmp_path) -> str:
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (folder / name).touch()
    return str(folder)


def test_segments_and_words(whisper, model):
    whisper.WhisperModel.segments = [
        Segment(0.0, 1.5, " I liked it.", [HeardWord(0.2, 0.4, " I"), HeardWord(0.4, 0.9, " liked it.")]),
        Segment(1.5, 2.0, "  ", []),
        Segment(2.0, 3.0, "我不想", [HeardWord(2.0, 2.4, "我"), HeardWord(2.4, 3.0, "不想")]),
        Segment(3.0, 4.0, " Bye", None),
    ]
    found = transcribe(SOUND, model, False, "en")
    assert found == Transcript(
        "I liked it. 我不想 Bye",
        (Cue(0.0, 1.5, "I liked it."), Cue(2.0, 3.0, "我不想"), Cue(3.0, 4.0, "Bye")),
        (Word("I", 0.2, 0.4), Word("liked it.", 0.4, 0.9), Word("我", 2.0, 2.4), Word("不想", 2.4, 3.0)),
        "speech recognition (small)",
    )
    assert between(found, 0, 9) == found.text


def test_how_it_is_asked(whisper, model):
    transcribe(Path("clip.mp4"), model, False, "zh")
    transcribe(SOUND.astype(np.float64), model, False, None)
    options = {"device": "cpu", "compute_type": "int8", "local_files_only": True}
    assert whisper.WhisperModel.loaded == [(model, options)]  # once for both
    (file, first), (samples, second) = whisper.WhisperModel.asked
    assert file == "clip.mp4"
    assert samples.dtype == np.float32
    assert first == {
        "language": "zh",
        "beam_size": 5,
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "word_timestamps": True,
        "vad_filter": False,
    }
    assert second == first | {"language": None}


def test_no_sound_is_not_asked(whisper, model):
    assert transcribe(SOUND[:0], model, False, None).text == ""
    assert not whisper.WhisperModel.asked


def test_a_name_is_fetched_only_if_allowed(whisper, model):
    calls = []

    def download_model(name: str, local_files_only: bool) -> str:
        calls.append((name, local_files_only))
        return model if not local_files_only else refuse(FileNotFoundError("not in the cache"))

    whisper.download_model = download_model
    with pytest.raises(MitrError, match="'small' is neither a folder nor in the local cache; give a folder, or allow"):
        transcribe(SOUND, "small", False, None)
    assert transcribe(SOUND, "small", True, None).source == "speech recognition (small)"
    assert calls == [("small", True), ("small", False)]


@pytest.mark.parametrize(
    ("error", "allowed", "message"),
    [
        (ValueError("Invalid model size"), False, "neither a folder nor a name: Invalid model size"),
        (ConnectionError("no network"), True, "cannot be fetched: no network"),
    ],
)
def test_a_name_that_cannot_be_had(whisper, error, allowed, message):
    whisper.download_model = lambda name, local_files_only: refuse(error)
    with pytest.raises(MitrError, match=message):
        transcribe(SOUND, "nonsense", allowed, None)


def test_a_folder_without_tokenizer_is_refused(whisper, model):
    (Path(model) / "tokenizer.json").unlink()
    with pytest.raises(MitrError, match=r"is not a speech model .* it has no tokenizer.json"):
        transcribe(SOUND, model, False, None)
    assert not whisper.WhisperModel.loaded


def test_a_model_that_cannot_be_loaded(whisper, model):
    whisper.WhisperModel.error = RuntimeError("unsupported version")
    with pytest.raises(MitrError, match="cannot be loaded: unsupported version"):
        transcribe(SOUND, model, False, None)


def test_sound_that_cannot_be_read(whisper, model):
    transcribe(SOUND, model, False, None)
    whisper.WhisperModel.error = OSError("Invalid data found")
    with pytest.raises(MitrError, match=r"broken\.mp4: its speech cannot be recognised: Invalid data found"):
        transcribe(Path("broken.mp4"), model, False, None)


def test_without_the_package(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    speech._load.cache_clear()
    with pytest.raises(MitrError, match=r"pip install 'mitr\[speech\]'"):
        transcribe(SOUND, model, False, None)
