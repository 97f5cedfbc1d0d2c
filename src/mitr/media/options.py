"""Options of extraction; importing this module costs nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mitr.errors import MitrError
from mitr.media.assets import add
from mitr.media.files.limits import Limits
from mitr.media.registry import NONE, FeatureRecipe, extractor_of, user_model_sha256


@dataclass
class FeatureConfig:
    """The features that are computed of each clip.

    Args:
        audio: the extractor of sound: sims33, egemaps, compare, that of an installed package, module:NAME, or none.
        vision: the extractor of pictures: face, that of an installed package, module:NAME, or none; or blendshapes, or
            the path of the face_landmarker.task that they need.
        fps: pictures a second that the extractor of pictures gets.
        longest_side: pixels to which the longer side of a picture is scaled down before faces are detected.
        silence_db: level in dBFS below which sound counts as silence.
        silence_seconds: seconds that a silence must last to count as missing sound; shorter ones are pauses of speech.
    """

    audio: str = "sims33"
    vision: str = "face"
    fps: float = 10.0
    longest_side: int = 640
    silence_db: float = -60.0
    silence_seconds: float = 0.5

    def __post_init__(self) -> None:
        for name, low, high in (("fps", 1, 60), ("longest_side", 64, 4096), ("silence_db", -120, 0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise MitrError(f"features.{name} is {value}; it must lie in [{low}, {high}]")
        if not self.silence_seconds > 0:
            raise MitrError(f"features.silence_seconds is {self.silence_seconds}; it must be above 0")

    def recipes(self) -> dict[str, FeatureRecipe]:
        """modality -> FeatureRecipe, for audio and vision unless they are `none`.

        Raises:
            MitrError: an extractor is unknown, for another modality, or lacks its models.
        """
        recipes: dict[str, FeatureRecipe] = {}
        if self.audio != NONE:
            version = extractor_of(self.audio, "audio").version
            silence: dict[str, Any] = {"silence_db": self.silence_db, "silence_seconds": self.silence_seconds}
            recipes["audio"] = FeatureRecipe(self.audio, version, **silence)
        if self.vision != NONE:
            name = self.vision
            if name.endswith(".task"):
                add(Path(name))
                name = "blendshapes"
            version, model = extractor_of(name, "vision").version, user_model_sha256(name)
            recipes["vision"] = FeatureRecipe(name, version, model, fps=self.fps, longest_side=self.longest_side)
        return recipes


@dataclass
class SpeechConfig:
    """Speech recognition for clips without a transcript; needs the extra `mitr[speech]`.

    Args:
        model: a folder with a faster-whisper model, or its name, such as small; none leaves such clips without text.
        language: of the speech, such as en or zh; otherwise the model finds out.
        allow_download: let a model that is not at hand be fetched over the network.
    """

    model: str | None = None
    language: str | None = None
    allow_download: bool = False


@dataclass
class MediaConfig:
    """How clips are read."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    limits: Limits = field(default_factory=Limits)
