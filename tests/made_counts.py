"""Counts how often clips are opened and how many of their frames are decoded."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import pytest

from mitr.media.files import opening
from mitr.media.files.decode import Decoder


@dataclass
class Decodings:
    """Since the last `clear`.

    Attributes:
        opened: files that were opened for decoding.
        frames: `audio` and `video` -> decoded frames.
    """

    opened: int = 0
    frames: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Count from 0 again."""
        self.opened = 0
        self.frames.clear()


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Decodings:
    """The decodings of this process during a test."""
    counts, av_open, frames = Decodings(), av.open, Decoder.frames

    def counted_open(file: object, *args: Any, **options: Any) -> object:
        counts.opened += isinstance(file, opening._Bytes)
        return av_open(file, *args, **options)

    def counted_frames(self: Decoder, packet: Any) -> list[Any]:
        made = frames(self, packet)
        counts.frames[self._stream.type] += len(made)
        return made

    monkeypatch.setattr(av, "open", counted_open)
    monkeypatch.setattr(Decoder, "frames", counted_frames)
    return counts


def frames_in(path: Path) -> dict[str, int]:
    """`audio` and `video` -> frames in a file, as PyAV alone decodes them."""
    counts: Counter[str] = Counter()
    with av.open(str(path)) as container:
        for frame in container.decode():
            counts["video" if isinstance(frame, av.VideoFrame) else "audio"] += 1
    return dict(counts)
