"""Render the picture and the table of rooms in docs/architecture.md from the imports; `make results` runs it."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "src" / "mitr"
PAGE, PICTURE, ROOMS = DOCS / "architecture.md", DOCS / "images" / "architecture.png", DOCS / "architecture.yaml"

INK, PALE, EDGE = "#2B2F36", "#F4F6F8", "#B9C0C8"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#8A5FBF", "#B8860B", "#55595F", "#C2477F")
ROW, LANE = 0.36, 0.17  # inches: from one room to the next, from one line to the next
BOX, NAME = 7.0, 1.25  # inches: width of a box, and of the name in it
MARGIN = 0.12


class Room(NamedTuple):
    """A package or a module at the top of `mitr`, with a line that says what it holds."""

    name: str
    holds: str


class Line(NamedTuple):
    """A vertical line of the picture: from an imported room down to the rooms that import it.

    Attributes:
        imported: place of the imported room in the order of rooms.
        importers: places of the rooms that import it, rising.
        lane: 0 for the lane next to the boxes.
    """

    imported: int
    importers: list[int]
    lane: int


def main() -> None:
    """Write the table into the page, and the picture beside it."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    picture().savefig(PICTURE, dpi=130, metadata={"Description": described()})


def filled(page: str) -> str:
    """The page with the table of rooms as the code has it."""
    body = "\n".join(["<!-- rooms -->", *rooms_table(), "<!-- /rooms -->"]).replace("\\", r"\\")
    return re.sub(r"<!-- rooms -->.*?<!-- /rooms -->", body, page, flags=re.DOTALL)


def rooms_table() -> list[str]:
    """One row a room: what it holds and the rooms that it needs first."""
    needs = main_dependencies()
    lines = ["| room | what it holds | imports |", "|---|---|---|"]
    for room in rooms():
        lines.append(f"| `{room.name}` | {room.holds} | {', '.join(needs[room.name]) or '–'} |")
    return lines


def described() -> str:
    """What the picture shows, as JSON that is kept inside the PNG."""
    return json.dumps({"rooms": rooms(), "imports": main_dependencies()})


@cache
def rooms() -> list[Room]:
    """The rooms in the order of docs/architecture.yaml, lowest first."""
    return [Room(entry["room"], entry["holds"]) for entry in yaml.safe_load(ROOMS.read_text("utf-8"))]


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name inside the package -> its source, such as `data.store`; a package's `__init__` is named as such."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(f.relative_to(PACKAGE).with_suffix("").parts): ast.parse(f.read_text("utf-8")) for f in files}


def imported_by(tree: ast.AST) -> Iterator[str]:
    """The modules of the package that a module imports anywhere: inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names if (name := module_of(alias.name)))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (name for alias in node.names if (name := module_of(f"{node.module}.{alias.name}")))


def module_of(dotted: str) -> str | None:
    """The module that a dotted name lies in; None outside the package."""
    head, *names = dotted.split(".")
    if head != "mitr":
        return None
    for length in range(len(names), 0, -1):
        for name in (".".join(names[:length]), ".".join([*names[:length], "__init__"])):
            if name in modules():
                return name
    return "__init__"


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module -> the modules that it imports."""
    return {name: frozenset(imported_by(tree)) - {name} for name, tree in modules().items()}


def room_of(module: str) -> str:
    """The room that a module lies in."""
    return module.partition(".")[0]


def room_imports() -> dict[str, frozenset[str]]:
    """Room -> the rooms that its modules import."""
    needed: dict[str, set[str]] = {room_of(module): set() for module in imports()}
    for module, others in imports().items():
        needed[room_of(module)].update(room_of(other) for other in others)
    return {room: frozenset(others - {room}) for room, others in needed.items()}


def main_dependencies() -> dict[str, list[str]]:
    """Room -> the rooms that it imports and that no other imported room brings along, in the order of rooms."""
    reduced = transitive_reduction(room_imports())
    return {room.name: [other.name for other in rooms() if other.name in reduced[room.name]] for room in rooms()}


def transitive_reduction(graph: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The fewest edges from which the same nodes can be reached; the graph has no circle."""

    @cache
    def reached(node: str) -> frozenset[str]:
        return graph[node].union(*(reached(other) for other in graph[node]))

    return {
        node: frozenset(o for o in others if not any(o in reached(other) for other in others))
        for node, others in graph.items()
    }


def picture() -> Figure:
    """A box for each room, lowest first, and lines from each room up to those that it needs first."""
    lines = lines_of([room.name for room in rooms()], main_dependencies())
    left = MARGIN + LANE * (max(line.lane for line in lines) + 1.8)  # inches at which the boxes begin
    width, height = left + BOX + MARGIN, len(rooms()) * ROW + 2 * MARGIN
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    for place, room in enumerate(rooms()):
        middle = MARGIN + (place + 0.5) * ROW
        box = FancyBboxPatch((left, middle - 0.42 * ROW), BOX, 0.84 * ROW, "round,pad=0,rounding_size=0.05")
        box.set(facecolor=PALE, edgecolor=EDGE, linewidth=0.8)
        axes.add_patch(box)
        axes.text(left + 0.1, middle, room.name, va="center", fontsize=10, weight="bold", color=INK)
        axes.text(left + NAME, middle, shorten(room.holds, 110), va="center", fontsize=9, color=INK)

    ports: dict[int, int] = {}  # place of an importing room -> lines that end at it so far
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        x = left - LANE * (line.lane + 1.2)
        top = MARGIN + (line.imported + 0.78) * ROW
        for importer in line.importers:
            port = ports[importer] = ports.get(importer, -1) + 1
            y = MARGIN + (importer + 0.2 + 0.18 * port) * ROW
            axes.plot([x, x, left], [top, y, y], color=colour, linewidth=1.3, solid_joinstyle="round")
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (left, top), (x, top), arrowprops=arrow | {"mutation_scale": 9})
    return figure


def lines_of(names: list[str], needs: Mapping[str, list[str]]) -> list[Line]:
    """A line for each imported room; two lines of one lane never lie beside each other."""
    importers = {name: [place for place, other in enumerate(names) if name in needs[other]] for name in names}
    spans = [(places[-1] - names.index(name), names.index(name)) for name, places in importers.items() if places]
    taken: list[list[tuple[int, int]]] = []  # first and last place of the lines of each lane
    lines = []
    for length, first in sorted(spans):
        last = first + length
        lane = next((i for i, held in enumerate(taken) if all(last <= a or b <= first for a, b in held)), len(taken))
        taken[lane:] = taken[lane:] or [[]]
        taken[lane].append((first, last))
        lines.append(Line(first, importers[names[first]], lane))
    return sorted(lines)


if __name__ == "__main__":
    main()
