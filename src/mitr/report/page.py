"""A report as one self-contained HTML page: pictures as data URIs, nothing fetched, every text escaped."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mitr.evaluation.metrics import metric
from mitr.files import replacing, write_text
from mitr.report import wording
from mitr.report.figure import DPI
from mitr.report.tables import Table, latex, markdown, plain_markdown

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `soft` is small print."""

    text: str
    soft: bool = False
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Tiles:
    """The numbers that a reader looks for first: label, value and note of each, below a caption."""

    caption: str
    tiles: Sequence[tuple[str, str, str]]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: of its file, without ending.
        png: its bytes.
        alt: what it shows, for readers who do not see it.
        caption: below it.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    kind: ClassVar[str] = "figure"

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Pixels at which the page shows it: half of the PNG's own, which has twice the dots."""
        return int.from_bytes(self.png[16:20], "big") * 100 // DPI


Block = Paragraph | Tiles | Table | Figure


@dataclass(frozen=True)
class Section:
    """Blocks below a heading; an empty heading continues the section before."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """What a page says.

    Attributes:
        title: heading of the page.
        subtitle: below it.
        sections: the results.
        method: sentences on how the numbers came about, after the facts.
        family: of the metrics.
        keys: metrics that the page explains.
        facts: name -> value for "How this was made" (data and its SHA-256, model, seed, versions, command …).
        warnings: sentences to show above the results.
        synthetic: the data are made up; the page says so in its first line.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    method: str
    family: str
    keys: Sequence[str]
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    synthetic: bool = False

    @property
    def figures(self) -> Iterator[Figure]:
        """All pictures, in their order."""
        return (block for section in self.sections for block in section.blocks if isinstance(block, Figure))


def write_page(folder: Path, report: Report) -> Path:
    """Write `report.html`, and each picture as PNG beside it; the path of the page."""
    page = _rendered(report)
    for figure in report.figures:
        with replacing(folder / f"{figure.name}.png") as partial:
            partial.write_bytes(figure.png)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def write_tables(folder: Path, report: Report) -> None:
    """Write the tables of the page as `tables.md` and `tables.tex`."""
    heading, lines, all_tables = "", [f"# {plain_markdown(report.title)}"], []
    for section in report.sections:
        heading = section.heading or heading
        for table in (block for block in section.blocks if isinstance(block, Table)):
            lines.append(f"## {heading}\n\n{markdown(table)}")
            all_tables.append(latex(table))
    write_text(folder / "tables.md", "\n\n".join(lines) + "\n")
    write_text(folder / "tables.tex", "\n\n".join(all_tables) + "\n")


def _rendered(report: Report) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    place = FileSystemLoader(TEMPLATES, encoding="utf-8")
    environment = Environment(
        loader=place, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["heading"] = wording.heading
    definitions = {key: metric(key).description for key in report.keys}
    return environment.get_template("report.html").render(report=report, definitions=definitions)
