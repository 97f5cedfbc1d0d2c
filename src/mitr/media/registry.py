"""The extractors by name, and what a data set or a run records of the one that it uses."""

from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from mitr.errors import MitrError
from mitr.media.features import Extractor

EXTRACTORS: dict[str, str] = {  # name -> module and extractor, imported when one is asked for
    "sims33": "mitr.media.audio.acoustics:SIMS33",
    "egemaps": "mitr.media.audio.smile:EGEMAPS",
    "compare": "mitr.media.audio.smile:COMPARE",
    "face": "mitr.media.face.extractor:FACE",
    "blendshapes": "mitr.media.face.blendshapes:BLENDSHAPES",
}
NONE = "none"


@dataclass(frozen=True)
class Recipe:
    """How one modality's features are made of a clip; two clips with the same recipe have comparable features.

    Args:
        extractor: its name.
        version: its version.
        model: SHA-256 of the user's file of models, where the extractor needs one.
        fps: vision: pictures a second that are looked at.
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
        """Its fields, those of the other modality left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> "Recipe":
        """Read what `to_json` gave.

        Raises:
            MitrError: it is of another version of mitr, or damaged.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise MitrError(f"{where}: not a description of features of this version: {error}") from None

    def __str__(self) -> str:
        return f"{self.extractor} version {self.version}"


def extractor_of(name: str, modality: str | None = None) -> Extractor:
    """The extractor that a name stands for.

    Raises:
        MitrError: none has this name, or it reads another modality.
    """
    if name not in EXTRACTORS:
        raise MitrError(f"there is no feature extractor {name!r}; there are {', '.join(EXTRACTORS)}")
    module, _, attribute = EXTRACTORS[name].partition(":")
    found: Extractor = getattr(import_module(module), attribute)
    if modality is not None and found.modality != modality:
        raise MitrError(f"the feature extractor {name!r} is for {found.modality}, not for {modality}")
    return found


def current(recipe: Recipe, where: str) -> Extractor:
    """The extractor of a recipe that something was trained with.

    Raises:
        MitrError: it is not known here, or only in another version.
    """
    found = extractor_of(recipe.extractor)
    if found.version != recipe.version:
        raise MitrError(
            f"{where} has features {recipe}, but this mitr makes version {found.version} of them: extract the clips "
            "again with `mitr extract` and train on them, or install the mitr that made it"
        )
    if recipe.model is not None and recipe.model != own_model(recipe.extractor):
        raise MitrError(
            f"{where} has {recipe.extractor} of the models with SHA-256 {recipe.model}; the file at hand is another: "
            "give the original one with `mitr assets add FILE`"
        )
    return found


def own_model(extractor: str) -> str | None:
    """SHA-256 of the user's file of models that an extractor reads; None for one that needs none.

    Raises:
        MitrError: it was never given.
    """
    if extractor != "blendshapes":
        return None
    from mitr.files import sha256
    from mitr.media.assets import own_task

    return sha256(own_task())
