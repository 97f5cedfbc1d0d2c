"""docs/results.md is what its result files say."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def loaded(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def render() -> ModuleType:
    return loaded(DOCS / "results" / "render.py")


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


def test_the_readme_shows_what_the_command_printed() -> None:
    example = json.loads((DOCS / "results" / "clip_variants.json").read_text(encoding="utf-8"))["example"]
    assert f"```\n{example}\n```" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_the_page_of_features_is_rendered_from_the_registry() -> None:
    script = DOCS / "results" / "feature_cards.py"
    assert (DOCS / "features.md").read_text(encoding="utf-8") == loaded(script).page(), "run `make results`"
