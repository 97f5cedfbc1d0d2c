"""Bounds on what a media file may ask for, so that a broken or hostile one costs little."""

from dataclasses import dataclass

from mitr.errors import MitrError


@dataclass(frozen=True)
class Limits:
    """The bounds.

    Args:
        seconds: the longest clip; what lies beyond is not read and counts as missing.
        megapixels: the largest picture, width times height.
        gigabytes: the largest file.
        channels: the most channels of sound.
    """

    seconds: float = 7200.0
    megapixels: float = 36.0
    gigabytes: float = 8.0
    channels: int = 64

    def __post_init__(self) -> None:
        for name in ("seconds", "megapixels", "gigabytes", "channels"):
            if not getattr(self, name) > 0:
                raise MitrError(f"limits.{name} is {getattr(self, name)}; it must be above 0")
