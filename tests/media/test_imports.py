"""The modules of clips import each other in one direction."""

import ast
from pathlib import Path

import mitr.media

ROOT = Path(mitr.media.__file__).parent
MODULES = {
    ".".join(("mitr", "media", *path.relative_to(ROOT).with_suffix("").parts)): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def imported_by(path: Path) -> set[str]:
    """The modules of clips that a file imports, at its top, inside a function, or for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return names & set(MODULES)


def test_no_module_imports_itself_by_way_of_others() -> None:
    waiting = {name: imported_by(path) for name, path in MODULES.items()}
    assert sum(map(len, waiting.values())) > 50
    while free := [name for name, needed in waiting.items() if not needed & set(waiting)]:
        for name in free:
            del waiting[name]
    assert waiting == {}


def test_modules_of_clips_import_each_other_at_the_top() -> None:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {id(node) for node in tree.body}
        inner = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom | ast.Import) and id(n) not in top]
        late = [ast.unparse(node) for node in inner if "mitr" in ast.unparse(node)]
        assert late == [], name
