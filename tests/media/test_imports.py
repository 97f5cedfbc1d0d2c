"""Modules of clips import each other where a reader looks for imports."""

import ast
from pathlib import Path

import mitr.media

ROOT = Path(mitr.media.__file__).parent
MODULES = {
    ".".join(("mitr", "media", *path.relative_to(ROOT).with_suffix("").parts)): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def test_modules_of_clips_import_each_other_at_the_top() -> None:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {id(node) for node in tree.body}
        inner = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom | ast.Import) and id(n) not in top]
        late = [ast.unparse(node) for node in inner if "mitr" in ast.unparse(node)]
        assert late == [], name
