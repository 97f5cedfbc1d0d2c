"""docs/results.md is what its result files say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", DOCS / "results" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_rendered_from_the_files(render: ModuleType) -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == render.page(), "run `make results`"


def test_another_number_in_a_file_is_another_page(render: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    original = render.load
    before = render.page()

    def changed(name: str) -> object:
        found = original(name)
        if name == "mosi_ridge":
            found["by_rate"][0]["metrics"]["mae"]["value"] = 7.654321
        return found

    monkeypatch.setattr(render, "load", changed)
    assert "7.654" not in before
    assert "7.654 [" in render.page()


def test_no_result_names_a_place_on_some_machine() -> None:
    files = sorted((DOCS / "results").glob("*.json"))
    assert files
    for path in files:
        words = re.split(r"[\s\"'=]+", path.read_text(encoding="utf-8"))
        assert not [word for word in words if re.match(r"/\w", word)], path.name
