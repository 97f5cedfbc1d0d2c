"""The extractors by name, and the recipe of features that data sets and runs record."""

from dataclasses import asdict, dataclass
from typing import Any

from mitr.errors import MitrError
from mitr.files import sha256
from mitr.media.assets import user_task
from mitr.media.features import Extractor
from mitr.plugins import Registry

EXTRACTORS = Registry(
    "feature extractor",
    "mitr.extractors",
    {
        "sims33": "mitr.media.audio.acoustics:SIMS33",
        "egemaps": "mitr.media.audio.smile:EGEMAPS",
        "compare": "mitr.media.audio.smile:COMPARE",
        "face": "mitr.media.face.extractor:FACE",
        "blendshapes": "mitr.media.face.blendshapes:BLENDSHAPES",
    },
)
NONE = "none"


@dataclass(frozen=True)
class FeatureRecipe:
    """How one modality's features are made of a clip; two clips with the same recipe have comparable features.

    Args:
        extractor: name of the extractor: one of `EXTRACTORS`, or `module:NAME`.
        version: version of the extractor.
        model: SHA-256 of the user's file of models, where the extractor needs one.
        fps: vision: pictures a second that the extractor gets.
        longest_side: vision: pixels to which the longer side of a picture is scaled down.
        silence_db: audio: level in dBFS below which sound counts as silence.
        silence_seconds: audio: how long a silence must last to be missing sound and not a pause.
    """

    extractor: str
    version: int
    model: str | None = None
    fps: float | None = None
    longest_side: int | None = None
    silence_db: float | None = None
    silence_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> "FeatureRecipe":
        """The recipe that `to_json` wrote.

        Raises:
            MitrError: the value is of another version of mitr, or damaged; `where` names its place.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise MitrError(f"{where}: not a description of features of this version: {error}") from None

    def __str__(self) -> str:
        return f"{self.extractor} version {self.version}"


def extractor_of(name: str, modality: str | None = None) -> Extractor:
    """The extractor of this name.

    Args:
        name: one of `EXTRACTORS`, or `module:NAME` of one's own.
        modality: the modality that it must be for; None: either.

    Raises:
        MitrError: no extractor has this name, it is for another modality, or what has the name is no extractor.
    """
    extractor = EXTRACTORS.find(name)
    if not isinstance(extractor, Extractor):
        raise MitrError(f"the feature extractor {name!r} must be a mitr.media.features.Extractor, not {extractor!r}")
    if modality is not None and extractor.modality != modality:
        raise MitrError(f"the feature extractor {name!r} is for {extractor.modality}, not for {modality}")
    return extractor


def current(recipe: FeatureRecipe, where: str) -> Extractor:
    """The extractor of a recipe, in the version of the recipe.

    Raises:
        MitrError: this mitr has no such extractor, or another version of it, or another file of models is at hand;
            `where` names the run or the clip.
    """
    extractor = extractor_of(recipe.extractor)
    if extractor.version != recipe.version:
        raise MitrError(
            f"{where} has features {recipe}, but this mitr makes version {extractor.version} of them: extract the "
            "clips again with `mitr extract` and train on them, or install the mitr that made it"
        )
    if recipe.model is not None and recipe.model != user_model_sha256(recipe.extractor):
        raise MitrError(
            f"{where} has {recipe.extractor} of the models with SHA-256 {recipe.model}; the file at hand is another: "
            "give the original one with `mitr assets add FILE`"
        )
    return extractor


def user_model_sha256(extractor: str) -> str | None:
    """SHA-256 of the user's file of models that an extractor reads; None for an extractor without such a file.

    Raises:
        MitrError: the user gave no file.
    """
    if extractor != "blendshapes":
        return None
    return sha256(user_task())
