"""How the package is built: which room imports from which, no circles, short files, typed edges.

Imports are read from the source: those inside functions and under TYPE_CHECKING count like all others.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mitr"
MOST_LINES = 400
LONG_LEFT = {"evaluation/conformal.py"}
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


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name inside the package -> its source, such as `data.store`; a package's `__init__` is named as such."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(f.relative_to(PACKAGE).with_suffix("").parts): ast.parse(f.read_text("utf-8")) for f in files}


def imported_by(tree: ast.AST) -> Iterator[str]:
    """The modules of the package that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names if (name := module_of(alias.name)))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (name for alias in node.names if (name := module_of(f"{node.module}.{alias.name}")))


def module_of(dotted: str) -> str | None:
    """The module that a dotted name lies in; None outside the package."""
    head, *parts = dotted.split(".")
    if head != "mitr":
        return None
    for length in range(len(parts), 0, -1):
        for name in (".".join(parts[:length]), ".".join([*parts[:length], "__init__"])):
            if name in modules():
                return name
    return "__init__"


@cache
def imports() -> dict[str, frozenset[str]]:
    return {name: frozenset(imported_by(tree)) - {name} for name, tree in modules().items()}


def room_of(module: str) -> str:
    return module.partition(".")[0]


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
    rooms = [entry["room"] for entry in yaml.safe_load((ROOT / "docs" / "architecture.yaml").read_text("utf-8"))]
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
    rooms: dict[str, set[str]] = {}
    for module, others in imports().items():
        rooms.setdefault(room_of(module), set()).update(room_of(other) for other in others)
    assert circles({room: frozenset(others - {room}) for room, others in rooms.items()}) == []


def test_no_file_is_longer_than_a_reader_bears() -> None:
    long = {
        str(f.relative_to(PACKAGE)): lines
        for f in PACKAGE.rglob("*.py")
        if (lines := len(f.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert not long.keys() - LONG_LEFT, long


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
