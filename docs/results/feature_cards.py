"""Render docs/features.md from the registry of extractors; `make results` runs it."""

from pathlib import Path

from mitr.media.dataset.cards import card_of
from mitr.media.registry import EXTRACTORS, extractor_of

HEAD = """# Features of clips

What `mitr extract` and `mitr predict` compute, column by column; rendered from the extractors by `make results`.
`mitr features NAME` prints the same. How clips are read: [clips.md](clips.md).
"""


def page() -> str:
    """The page as Markdown."""
    extractors = [extractor_of(name) for name in EXTRACTORS.places]
    cards = [card_of(extractor, f"## {extractor.modality.capitalize()}:") for extractor in extractors]
    return "\n".join([HEAD, *cards])


if __name__ == "__main__":
    (Path(__file__).parents[1] / "features.md").write_text(page(), encoding="utf-8")
