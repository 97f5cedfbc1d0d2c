"""What every feature extractor must do. Its test is a subclass of `ExtractorContract` that gives the extractor's name.

The tests use made streams that need no media file: a buzz with pauses, and moving pictures of which some are lacking.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest

from mitr.media.audio.mixing import RATE
from mitr.media.features import Extractor
from mitr.media.registry import extractor_of
from mitr.media.video.pictures import Frame

SECONDS = 2.0
FPS = 10.0


class MadeSound:
    """A sound in chunks, as an extractor gets a `mitr.media.audio.sound.AudioStream`: iterated once, 16 kHz, mono.

    Args:
        samples: (n,) float32 in [-1, 1].
        chunk: samples of a chunk.
    """

    rate = RATE

    def __init__(self, samples: np.ndarray, chunk: int = RATE):
        self._chunks = iter([samples[i : i + chunk] for i in range(0, len(samples), chunk)])

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._chunks


class MadePictures:
    """Pictures, as an extractor gets a `mitr.media.video.pictures.FrameStream`: iterated once, with their rate.

    Args:
        images: (H, W, 3) uint8 each; None where no picture is shown.
        fps: pictures a second.
    """

    def __init__(self, images: Sequence[np.ndarray | None], fps: float = FPS):
        self.fps = fps
        self._frames = iter([Frame(i / fps, image) for i, image in enumerate(images)])

    def __iter__(self) -> Iterator[Frame]:
        return self._frames


def buzz(seconds: float = SECONDS) -> np.ndarray:
    """A voice-like buzz of 150 Hz with a pause in the middle, (n,) float32."""
    times = np.arange(int(seconds * RATE)) / RATE
    sound = 0.2 * np.sum([np.sin(2 * np.pi * 150 * k * times) / k for k in range(1, 8)], axis=0)
    sound[(times > 0.4 * seconds) & (times < 0.6 * seconds)] = 0
    return sound.astype(np.float32)


def pictures(seconds: float = SECONDS, fps: float = FPS) -> list[np.ndarray | None]:
    """A bright square that moves over a dark ground; the third picture is lacking."""
    images: list[np.ndarray | None] = []
    for i in range(round(seconds * fps)):
        image = np.full((120, 160, 3), 30, np.uint8)
        image[40:80, 10 + i : 50 + i] = 220
        images.append(image)
    images[2] = None
    return images


class ExtractorContract:
    """Tests of a feature extractor by its name in the registry.

    Attributes:
        name: a name of `mitr.media.registry.EXTRACTORS`, of an entry point, or `module:NAME`.
    """

    name: ClassVar[str]

    @pytest.fixture
    def extractor(self) -> Extractor:
        extractor = extractor_of(self.name)
        extractor.ready()
        return extractor

    @staticmethod
    def stream(extractor: Extractor, seconds: float = SECONDS) -> Iterable[object]:
        """A made stream of the extractor's modality."""
        return MadeSound(buzz(seconds)) if extractor.modality == "audio" else MadePictures(pictures(seconds))

    @staticmethod
    def values(extractor: Extractor, stream: Iterable[object]) -> np.ndarray:
        """(T, D), in the type that the extractor gives."""
        return np.asarray(extractor.extract(stream).values)

    def test_its_description(self, extractor: Extractor) -> None:
        assert extractor.modality in ("audio", "vision")
        assert isinstance(extractor.version, int)
        assert extractor.about
        names = [column.name for column in extractor.columns]
        assert len(set(names)) == len(names) > 0, "columns have different names"
        assert all(column.unit and column.about for column in extractor.columns), "each column has a unit and a meaning"
        assert extractor.rate is None or extractor.rate > 0
        assert extractor.modality == "vision" or extractor.rate is not None, "sound has no rate of steps: give one"

    def test_one_row_a_step(self, extractor: Extractor) -> None:
        values = self.values(extractor, self.stream(extractor))
        assert values.dtype == np.float32
        assert values.ndim == 2
        assert values.shape[1] == len(extractor.columns), "(T, D), D being the number of columns"
        expected = SECONDS * (extractor.rate or FPS)
        assert abs(len(values) - expected) <= 1, f"{len(values)} rows for {expected:g} steps"

    def test_a_row_is_of_numbers_or_blank(self, extractor: Extractor) -> None:
        values = self.values(extractor, self.stream(extractor))
        finite = np.isfinite(values)
        assert (finite.all(axis=1) | np.isnan(values).all(axis=1)).all(), "a step is finite, or NaN in all columns"

    @pytest.mark.parametrize("size", [0, 1, 7])
    def test_streams_of_any_length(self, extractor: Extractor, size: int) -> None:
        """`size` samples, or pictures; a clip can end before its first whole step."""
        if extractor.modality == "audio":
            steps = size / RATE * (extractor.rate or 0)
            values = self.values(extractor, MadeSound(buzz()[:size]))
        else:
            steps = size / FPS * (extractor.rate or FPS)
            values = self.values(extractor, MadePictures(pictures()[:size]))
        assert values.ndim == 2
        assert values.shape[1] == len(extractor.columns)
        assert len(values) <= steps + 1
        assert size > 0 or len(values) == 0

    def test_the_same_stream_gives_the_same_numbers(self, extractor: Extractor) -> None:
        once, again = (self.values(extractor, self.stream(extractor)) for _ in range(2))
        np.testing.assert_array_equal(once, again)

    def test_the_chunks_of_sound_do_not_show(self, extractor: Extractor) -> None:
        if extractor.modality != "audio":
            pytest.skip("pictures come one by one")
        whole, parts = (self.values(extractor, MadeSound(buzz(), chunk)) for chunk in (RATE * 60, 1234))
        np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-5)
