"""Whether this machine has what reading clips takes; asked once, before the first clip."""

from collections.abc import Iterable

from mitr.media import registry
from mitr.media.features import importable
from mitr.media.options import SpeechConfig
from mitr.media.registry import Recipe


def check(recipes: Iterable[Recipe], speech: SpeechConfig) -> None:
    """Ask all that will be needed.

    Args:
        recipes: how features will be made.
        speech: whether words will be heard; a model that may be fetched is fetched now.

    Raises:
        MitrError: a package, the face models or the speech model lack; with how to get them.
    """
    importable("av", extra="media")
    for recipe in recipes:
        registry.extractor_of(recipe.extractor).ready()
    if speech.model is not None:
        from mitr.media.words.speech import check as check_speech  # an extra

        check_speech(speech.model, speech.allow_download)
