"""Feature cards: the columns of an extractor in words."""

from collections.abc import Mapping

from mitr.media.features import Extractor
from mitr.media.registry import FeatureRecipe, extractor_of

HEAD = """# Features

Made by `mitr extract`. A step of which nothing is known is a row of zeros and marked as missing.
"""


def card(recipes: Mapping[str, FeatureRecipe]) -> str:
    """The cards of a data set's features, as Markdown."""
    parts = [HEAD]
    for modality, recipe in recipes.items():
        chosen = {name: value for name, value in recipe.to_json().items() if name not in ("extractor", "version")}
        options = ", ".join(f"{name} {value}" for name, value in chosen.items())
        parts.append(card_of(extractor_of(recipe.extractor), f"## {modality.capitalize()}", options))
    return "\n".join(parts)


def card_of(extractor: Extractor, heading: str = "", options: str = "") -> str:
    """The card of one extractor, as Markdown with a table of its columns."""
    rate = "a step a picture" if extractor.rate is None else f"{extractor.rate:g} steps a second"
    about = extractor.about[:1].upper() + extractor.about[1:].rstrip(".")
    about = f"{about}. {rate.capitalize()}, {len(extractor.columns)} columns."
    lines = [f"{heading or '##'} `{extractor.name}`, version {extractor.version}".strip(), "", about]
    if options:
        lines += ["", f"Options: {options}."]
    if extractor.licence:
        lines += ["", f"Licence: {extractor.licence}"]
    lines += ["", "| | column | unit | what it is |", "|---|---|---|---|"]
    lines += [f"| {i} | `{c.name}` | {c.unit} | {c.about} |" for i, c in enumerate(extractor.columns)]
    return "\n".join(lines) + "\n"
