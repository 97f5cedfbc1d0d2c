"""Feature extractors: from the sound or the pictures of a clip to columns of numbers over time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mitr.errors import MitrError

if TYPE_CHECKING:
    import numpy as np


class Span(NamedTuple):
    """A stretch of time in which a modality is missing, in seconds from the clip's beginning, and the reason."""

    start: float
    stop: float
    reason: str


class Column(NamedTuple):
    """One column of features: its name, its unit, and the quantity that it measures."""

    name: str
    unit: str
    about: str


class Extracted(NamedTuple):
    """The features of a stream.

    Attributes:
        values: (T, D) float32; step i stands for the time i / rate. A row of NaN is a step of which nothing is known.
        notes: what a user should know, as sentences without a full stop.
    """

    values: "np.ndarray"
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Extractor:
    """A function from a stream to features, and its description.

    Args:
        name: the name on cards and in messages.
        version: a whole number, raised whenever the features change; cached features of other versions are not used.
        modality: the stream that the function gets: a `mitr.media.audio.sound.AudioStream` for `audio`, a
            `mitr.media.video.pictures.FrameStream` for `vision`.
        about: one sentence.
        rate: steps a second; None: that of the stream (pictures a second).
        columns: D of them.
        extract: the function.
        blank: the reason of rows of NaN, such as "no face".
        licence: the licence of a package that binds the user; noted in data sets and cards.
        ready: raises a MitrError where a package or a model is not on this machine; called before the first clip.
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
    """Check that packages are installed, without importing them.

    Args:
        packages: their import names.
        extra: the extra of mitr that installs them.

    Raises:
        MitrError: one of them is not installed.
    """
    for name in packages:
        try:
            installed = find_spec(name) is not None
        except (ImportError, ValueError):
            installed = False
        if not installed:
            raise MitrError(f"this needs the package {name}, which is not installed: pip install 'mitr[{extra}]'")
