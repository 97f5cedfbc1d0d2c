"""Whether the packages and models that reading clips needs are on this machine; checked before the first clip."""

from collections.abc import Iterable

from mitr.media import registry
from mitr.media.features import importable
from mitr.media.options import SpeechConfig
from mitr.media.registry import FeatureRecipe
from mitr.media.words import speech as recognition


def check(recipes: Iterable[FeatureRecipe], speech: SpeechConfig) -> None:
    """Check the packages and models of all extractors and of speech recognition.

    Args:
        recipes: how features will be made.
        speech: options of speech recognition; a model that may be fetched is fetched now.

    Raises:
        MitrError: a package, the face models or the speech model is missing; with the way to get it.
    """
    importable("av", extra="media")
    for recipe in recipes:
        registry.extractor_of(recipe.extractor).ready()
    if speech.model is not None:
        recognition.check(speech.model, speech.allow_download)
