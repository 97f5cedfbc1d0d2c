"""What a feature extractor is, and what it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mitr.errors import MitrError

if TYPE_CHECKING:
    import numpy as np


class Span(NamedTuple):
    """A stretch of time in which something is missing, and why; in seconds from the clip's beginning."""

    start: float
    stop: float
    reason: str


class Column(NamedTuple):
    """One column of features: its name, its unit, and what it measures."""

    name: str
    unit: str
    about: str


class Extracted(NamedTuple):
    """What an extractor makes of a stream.

    Attributes:
        values: (T, D) float32; step i stands for the time i / rate. A row of NaN is a step of which nothing is known.
        notes: what a user should know, as sentences without a full stop.
    """

    values: "np.ndarray"
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Extractor:
    """A way from a stream to features, with the card that describes it.

    Args:
        name: by which it is chosen.
        version: a whole number, raised whenever its numbers change; cached features of other versions are not used.
        modality: what it reads. `audio` gets a `mitr.media.audio.sound.AudioStream`, `vision` a
            `mitr.media.video.pictures.FrameStream`.
        about: one sentence.
        rate: steps a second; None: that of the stream (pictures a second).
        columns: D of them.
        extract: the function.
        blank: why a row of NaN is one, such as "no face".
        licence: of what it uses, where that binds the user; said when the extractor is chosen.
        ready: raises a MitrError where something that it needs is not on this machine; called before the first clip.
    """

    name: str
    version: int
    modality: Literal["audio", "vision"]
    about: str
    rate: float | None
    columns: tuple[Column, ...]
    extract: Callable[[Any], Extracted]
    blank: str = "nothing found"
    licence: str = ""
    ready: Callable[[], None] = lambda: None


def importable(*packages: str, extra: str) -> None:
    """Say that packages are needed, without importing them.

    Args:
        packages: as they are imported.
        extra: of mitr, with which they are installed.

    Raises:
        MitrError: one of them is not installed.
    """
    for name in packages:
        try:
            there = find_spec(name) is not None
        except (ImportError, ValueError):
            there = False
        if not there:
            raise MitrError(f"this needs the package {name}, which is not installed: pip install 'mitr[{extra}]'")
