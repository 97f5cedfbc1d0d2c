"""docs/results.md is what its result files say."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scripts import loaded

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def render() -> ModuleType:
    return loaded(DOCS / "results" / "render.py")


def test_the_page_is_rendered_from_the_files(render: ModuleType) -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == render.page(), "run `make results`"


@pytest.fixture
def performance() -> Iterator[ModuleType]:
    before = list(sys.path)
    yield loaded(DOCS / "results" / "performance.py")
    sys.path[:] = before


def test_the_page_of_costs_is_rendered_from_the_files(performance: ModuleType) -> None:
    assert (DOCS / "performance.md").read_text(encoding="utf-8") == performance.page(), "run `make results`"


def test_the_page_of_costs_has_a_line_for_what_is_not_measured(
    performance: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(performance, "PERF", tmp_path)
    page = performance.page()
    assert page.count("Not measured yet.") == 15
    assert page.count("not measured yet |") == 34
    assert "growth.png" not in page


def test_the_page_of_costs_says_which_goals_are_met(
    performance: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(performance, "PERF", tmp_path)
    step = {"case": "step, states, table, float32", "seconds": 1.0, "units": 60.0, "gflop": 50.0, "yardstick_own": 80.0}
    step |= {"times_floor": 1.2, "evaluation_units": 9.0, "peak_mb": 900, "profile": {"temporal": 70.0, "other": 30.0}}
    epoch = {"case": "epoch, mosei, states", "samples": 10, "of": 16326, "seconds": 1.0, "units": 9.0}
    grown = [{"varied": "samples", "value": n, "units": n / 8} for n in (64, 128)]
    opened = {"task": "open", "samples": 22856, "seconds": 0.01, "cold_seconds": 0.3, "units": 1.0}
    files = {
        "training": {"training": [step, step | epoch]},
        "sweep": {
            "sweep": [
                dict.fromkeys(("seconds", "units", "readings", "samples"), 8.0)
                | {"case": "x"}
                | {"over_one_view": 7.0, "over_both_views": 3.5}
            ]
        },
        "growth": {"growth": grown, "slopes": {"samples": 1.0}},
        "rival": {
            "rival": [
                {"model": model, "what": "states", "threads": threads, "seconds": seconds, "yardstick": 100.0}
                for model, threads, seconds in (("EMT-DLFR", 2, 9.0), ("MITR-DNet", 1, 8.0), ("MITR-DNet", 2, 1.2))
            ]
        },
        "data": {"data": [opened | {"private_mb": 40, "peak_mb": 80}], "slopes": {}},
    }
    slow = step | {"case": "step, bert, table, float32, memory given back", "seconds": 5.0, "peak_mb": 2000}
    files["training"]["training"].append(slow)
    rival = {"model": "MITR-DNet", "threads": 2, "yardstick": 100.0}
    files["rival"]["rival"] += [
        rival | {"what": "bert", "seconds": 12.0},
        rival | {"what": "evaluation", "seconds": 3.0, "peak_mb": 5000},
    ]
    files["rival"]["factors"] = [{"what": "cropped", "low": 1.4, "high": 1.5, "source": "elsewhere"}]
    kernel = {"case": "dropout, bf16, 1 thread", "seconds": 2.0, "without_seconds": 2.4, "ratio": 1.21}
    kernel |= {"low": 1.19, "high": 1.22, "peak_mb": 900, "without_peak_mb": 950}
    files["kernels"] = {"kernels": [kernel]}
    files["waiting"] = {"waiting": [{"case": "1 thread", "seconds": 2.0, "most_seconds": 3.0, "cpu_seconds": 0.5}]}
    for name, found in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    lines = performance.page().splitlines()
    step_line = "| step, states, table, float32: times less work than the release | at least 2.5 | "
    assert f"{step_line}1.2, **missed** | 3.14 |" in lines
    memory = "peak memory with BERT{}, over the release's | at most 0.5 | {}"
    assert f"| {memory.format('', 'not measured yet')} |  |" in lines
    assert any(line.startswith(f"| {memory.format(performance.words.GIVEN_BACK, '0.4, met')} | ") for line in lines)
    given_back = f"| step, bert, table, float32{performance.words.GIVEN_BACK}: times less work than the release"
    assert any(line.startswith(f"{given_back} | at least 2.2 | 2.4, met | ") for line in lines)
    assert "| step, states, table, float32: over its floor | at most 1.5 | 1.2, met |  |" in lines
    assert "| eleven rates over our complete view, the worst case | below 4 | 7, **missed** |  |" in lines
    assert "| eleven rates over both our views, the worst case | below 4 | 3.5, met |  |" in lines
    assert "| seconds to open it, with nothing in the system's cache | below 0.2 | 0.3, **missed** |  |" in lines
    assert not any(line.startswith("- The floor counts") for line in lines)
    assert any("are up to 4.00 times" in line for line in lines)
    assert "| mosei, states | 16326 | 1.0 | 9 | 1.20 | 900 | from 10 samples, by proportion |" in lines
    assert "| states, table, float32 | 70.0 | 30.0 |" in lines
    assert "![Growth](images/growth.png)" in lines
    assert "| cropped | 1.4 to 1.5 | elsewhere |" in lines
    assert "| dropout, bf16, 1 thread | 2.00 | 2.40 | 1.21 | 1.19 to 1.22 | +50 |" in lines
    assert "| 1 thread | 2.0 | 3.0 | 0.50 |" in lines
    assert performance.growth_picture(files["growth"]).startswith(b"\x89PNG")


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
    files = sorted((DOCS / "results").rglob("*.json"))
    assert files
    for path in files:
        words = re.split(r"[\s\"'=]+", path.read_text(encoding="utf-8"))
        assert not [word for word in words if re.match(r"/\w", word)], path.name


@pytest.mark.parametrize("name", ["clips", "clip_variants", "bench_mosi", "bench_mosi_per_rate", "bench_ict", "int8"])
def test_what_the_page_tells_is_there(name: str) -> None:
    assert (DOCS / "results" / f"{name}.json").is_file()


def test_the_readme_shows_what_the_command_printed() -> None:
    example = json.loads((DOCS / "results" / "clip_variants.json").read_text(encoding="utf-8"))["example"]
    assert f"```\n{example}\n```" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_the_page_of_features_is_rendered_from_the_registry() -> None:
    script = DOCS / "results" / "feature_cards.py"
    assert (DOCS / "features.md").read_text(encoding="utf-8") == loaded(script).page(), "run `make results`"


def test_the_options_of_models_are_those_of_their_files() -> None:
    script = DOCS / "results" / "model_options.py"
    assert (DOCS / "model_options.md").read_text(encoding="utf-8") == loaded(script).page(), "run `make results`"
