"""How the package is built: which room imports from which, no circles, short files, typed edges; and the page of it.

Imports are read from the source: those inside functions and under TYPE_CHECKING count like all others.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from scripts import loaded

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mitr"
architecture = loaded(ROOT / "docs" / "results" / "architecture.py")
modules, imports, imported_by, room_of = (
    getattr(architecture, name) for name in ("modules", "imports", "imported_by", "room_of")
)
MOST_LINES = 400
UNTYPED_LEFT = {  # shrinks; nothing may join
    "bench.evaluate.data_facts",
    "bench.plan.Plan.to_json",
    "bench.plan.read_variants",
    "commands.exporting.told",
    "evaluation.conformal.Conformal.to_json",
    "evaluation.shapley.summary",
    "evaluation.summary.Summary.to_json",
    "export.checking.cost_of_int8",
    "export.describing.description",
    "export.engine.read_about",
    "export.exporting.export_onnx",
    "media.dataset.extracting.read_job",
    "media.registry.FeatureRecipe.from_json",
    "media.registry.FeatureRecipe.to_json",
}


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The groups of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {node: reached(node) for node in graph}
    groups = {tuple(sorted(other for other in reach[node] if node in reach[other])) for node in graph}
    return sorted(list(group) for group in groups if group)


def test_a_circle_is_seen() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("d")}
    assert circles(graph) == [["b", "c"], ["d"]]


def test_imports_inside_functions_are_seen() -> None:
    source = (
        "if TYPE_CHECKING:\n from mitr.data.store import Dataset\ndef f():\n from mitr.nn import dropout\n import mitr"
    )
    assert set(imported_by(ast.parse(source))) == {"data.store", "nn.dropout", "__init__"}


def test_rooms_import_only_from_rooms_below() -> None:
    rooms = [room.name for room in architecture.rooms()]
    assert sorted(rooms) == sorted({room_of(module) for module in modules()})
    place = {room: index for index, room in enumerate(rooms)}
    upward = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in sorted(others)
        if place[room_of(other)] > place[room_of(module)]
    ]
    assert upward == []


def test_no_circle_between_modules() -> None:
    assert circles(imports()) == []


def test_no_circle_between_rooms() -> None:
    assert circles(architecture.room_imports()) == []


def test_no_file_is_longer_than_a_reader_bears() -> None:
    long = {
        str(f.relative_to(PACKAGE)): lines
        for f in PACKAGE.rglob("*.py")
        if (lines := len(f.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert not long, long


def untyped(name: str, tree: ast.Module) -> Iterator[str]:
    """Public functions, methods and fields of a module that take or give a `dict[str, Any]`."""
    spaces: list[tuple[str, list[ast.stmt]]] = [(name, tree.body)]
    for where, body in spaces:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                spaces.append((f"{where}.{node.name}", node.body))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and where != name:
                if not node.target.id.startswith("_") and has_any_dict(node.annotation):
                    yield f"{where}.{node.target.id}"
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                a = node.args
                arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else [])]
                annotations = [argument.annotation for argument in arguments] + [node.returns]
                if any(has_any_dict(annotation) for annotation in annotations if annotation is not None):
                    yield f"{where}.{node.name}"


def has_any_dict(annotation: ast.expr) -> bool:
    return "dict[str, Any]" in ast.unparse(annotation)


def test_no_untyped_dictionary_crosses_an_edge() -> None:
    places = {place for name, tree in modules().items() for place in untyped(name, tree)}
    assert sorted(places - UNTYPED_LEFT) == []


def test_an_untyped_dictionary_is_seen() -> None:
    source = """
class Record:
    facts: dict[str, Any] | None = None
    _own: dict[str, Any]
    def to_json(self) -> dict[str, Any]: ...
    def _hidden(self) -> dict[str, Any]: ...
def read(value: list[dict[str, Any]]) -> None:
    inside: dict[str, Any] = {}
"""
    assert set(untyped("m", ast.parse(source))) == {"m.Record.facts", "m.Record.to_json", "m.read"}


def page() -> str:
    return (ROOT / "docs" / "architecture.md").read_text("utf-8")


def section(title: str) -> list[list[str]]:
    """The rows of a section's table, as cells."""
    lines = page().split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


def test_the_table_of_rooms_is_rendered_from_the_imports() -> None:
    assert page() == architecture.filled(page()), "run `make results`"
    assert page().count("| `") >= len(architecture.rooms())


def test_the_picture_shows_the_rooms_and_imports_of_today() -> None:
    with Image.open(architecture.PICTURE) as picture:
        assert json.loads(picture.text["Description"]) == json.loads(architecture.described()), "run `make results`"


def test_an_import_that_another_brings_along_is_not_drawn() -> None:
    graph = {name: frozenset(others) for name, others in {"a": "", "b": "a", "c": "ab", "d": "abc", "e": "ad"}.items()}
    reduced = {name: "".join(sorted(others)) for name, others in architecture.transitive_reduction(graph).items()}
    assert reduced == {"a": "", "b": "a", "c": "b", "d": "c", "e": "d"}


def test_lines_of_one_lane_do_not_touch() -> None:
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"], "e": ["d"]}
    lines = {line.imported: (line.importers, line.lane) for line in architecture.lines_of(list(needs), needs)}
    assert lines == {0: ([1, 3], 1), 1: ([2], 0), 2: ([3], 0), 3: ([4], 0)}


@pytest.mark.parametrize("title", ["A training batch", "A clip that is predicted"])
def test_a_walk_has_at_most_twelve_stations(title: str) -> None:
    rows = section(title)
    assert [row[0] for row in rows] == [str(place) for place in range(1, len(rows) + 1)]
    assert 8 <= len(rows) <= 12
    assert all(re.search(r"`[\w/]+\.py: [\w.]+`", row[1]) for row in rows)


def test_what_the_page_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:: ([\w.]+))?`", page())
    assert len(named) > 40
    for file, name in named:
        place = ROOT / file if file.startswith(("tests/", "docs/")) else PACKAGE / file
        if "NAME" in file:
            assert place.parent.is_dir(), file
            continue
        assert place.is_file(), file
        assert not name or name in defined(ast.parse(place.read_text("utf-8"))), f"{file}: {name}"


def defined(tree: ast.Module) -> set[str]:
    """Classes, functions and constants of a module, and the methods of its classes."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_number_of_files_is_that_of_the_files_named() -> None:
    rows = section("Where to add")
    for thing in ("model", "protocol", "metric", "extractor", "data format", "text encoder", "CPU kernel"):
        assert any(row[0].split(" ", 1)[1] == thing for row in rows), thing
    for thing, files, number, test, _ in rows:
        assert len(re.findall(r"`[\w/]+\.py`", files)) == int(number), thing
        assert number == "0" or test.startswith("`tests/"), thing
