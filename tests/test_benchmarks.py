"""The benchmarks run, and what they gave is kept and compared."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from waiting import LONGEST

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
OWN = (
    "compiled",
    "growth",
    "harness",
    "history",
    "kernels",
    "made_sets",
    "protocol",
    "step_profile",
    "sweep",
    "training",
    "waiting",
    "yardstick",
)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a file of `benchmarks`, with a small yardstick; nothing of it stays behind."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in OWN:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(importlib.import_module("yardstick"), "SIZE", 64)
    yield importlib.import_module
    for name in OWN:
        sys.modules.pop(name, None)


@pytest.fixture
def entry(bench: Any) -> Any:
    history = bench("history")

    def made(units: float, commit: str = "a", case: str = "x") -> Any:
        return history.Entry("2026-01-01", commit, "training", case, 80.0, units)

    return made


def test_made_sets_have_their_shapes(bench: Any) -> None:
    shapes = bench("made_sets").SHAPES
    data = bench("made_sets").made(shapes["table"], "states", (3, 2, 1))
    assert [len(data.indices(split)) for split in ("train", "valid", "test")] == [3, 2, 1]
    assert {m: set(lengths.tolist()) for m, lengths in data.lengths.items()} == {
        "text": {20},
        "audio": {200},
        "vision": {250},
    }
    assert {m: about.dim for m, about in data.info.modalities.items()} == {"text": 768, "audio": 5, "vision": 20}
    for name, mean in {"mosi": 15, "sims": 15, "mosei": 21}.items():
        tokens = shapes[name].lengths(4000)
        assert abs(sum(tokens) / len(tokens) / mean - 1) < 0.05
        assert max(shapes[name].steps(max(tokens)).values()) <= 500
    ids = bench("made_sets").made(shapes["sims"], "ids", (2, 1, 1)).features("text", 0)
    assert (ids[0], ids[-1]) == (101, 102)


def test_multiply_adds_of_a_text_alone(bench: Any) -> None:
    shape = bench("made_sets").Shape((1, 1, 1), {"text": 4}, {}, 3, {"text": 50})
    one_view = 3 * 12 * 16 + 2 * 9 * 4 + 3 * (2 * 4 * 25 + 4 * 2 * 5 * 625)
    assert bench("training").multiply_adds(shape, "states", [3]) == 3 * 2 * (one_view + 3 * 100 * 4 / 2)


def test_a_step_is_measured_and_its_time_has_parts(bench: Any) -> None:
    row = bench("training").measured("step, states, mosi, float32", True)
    assert row["units"] > 0
    assert row["evaluation_units"] > 0
    assert {"unimodal encoders", "temporal", "losses", "optimiser", "other"} <= set(row["profile"])
    assert 99 < sum(row["profile"].values()) < 101
    from mitr.training import loop

    assert loop.schedules.for_epoch.__name__ == "for_epoch"  # the labels are gone


def test_a_step_is_measured_with_and_without_a_kernel(bench: Any) -> None:
    from mitr.nn.cpu import switch

    kernels = bench("kernels")
    used: list[set[str]] = []
    steps_of = kernels.steps_of

    def spied(*parts: Any) -> Any:
        steps, count = steps_of(*parts)
        return lambda: (used.append(set(switch._off)), steps()), count

    kernels.steps_of = spied
    row = kernels.measured("temporal, float32, 1 thread", True)
    assert used == [set(), set(), {"temporal"}, {"temporal"}, set()]  # the first is not counted
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["pairs"] == 2
    assert {group for _, off in kernels.GROUPS.values() for group in off} == set(switch.KERNELS)
    assert kernels.peak("temporal, float32, 1 thread", True, True)["peak_mb"] > 100


def test_a_step_is_measured_beside_other_processes(bench: Any) -> None:
    row = bench("waiting").measured("1 thread, beside others", True)
    assert 0 < row["seconds"] <= row["most_seconds"]
    assert row["cpu_seconds"] > 0


def test_backward_counts_for_the_part_that_it_differentiates(bench: Any) -> None:
    profile = bench("step_profile")
    first, second = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
    wide = torch.randn(512, 64)
    first_part, second_part = profile._inside(first.forward, "first"), profile._inside(second.forward, "second")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        second_part(first_part(wide).relu()).sum().backward()
    parts = profile.by_part(found.events())
    assert set(parts) == {"first", "second", "other"}
    forward = sum(e.self_cpu_time_total for e in found.events() if profile._part(e) == "second")
    assert parts["second"] > forward


def test_a_sweep_is_measured(bench: Any) -> None:
    row = bench("sweep").measured("minilm fine-tuned, skip", True)
    assert row["over_both_views"] == pytest.approx(row["seconds"] / row["both_views_seconds"], rel=0.05)
    assert row["over_both_views"] < row["over_one_view"]
    assert 3 < row["readings"] < 6  # a token is shown at half of the rates, some texts are alike
    assert 9 < row["views"] <= 10.1


def test_a_protocol_is_measured(bench: Any) -> None:
    row = bench("protocol").measured("minilm frozen", True, None)
    assert row["case"] == "minilm frozen, 1 epoch"
    assert row["samples"] == [16, 8, 8]
    assert row["seconds"] == pytest.approx(row["training_seconds"] + row["rest_seconds"], abs=0.02)


@pytest.mark.parametrize("name", ["gate, float32", "gate, bf16"])
def test_what_would_be_compiled_is_the_gate(bench: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[dict[str, Any]] = []

    def as_it_is(function: Any, **options: Any) -> Any:
        asked.append(options)
        return function

    monkeypatch.setattr(torch, "compile", as_it_is)  # it takes ten seconds, and a compiler
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")  # so that it is as before in the end
    row = bench("compiled").measured(name, True)  # compares both results
    assert row["step_ms"] == pytest.approx(4_000 * (row["seconds"] - row["compiled_seconds"]), abs=0.1)
    assert asked == [{"dynamic": True, "fullgraph": True}] * 2


def test_a_script_writes_what_it_prints_and_its_history_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    words = ["--out", str(out), "--cases", "tokens", "--quick", "--threads", "1"]
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / "growth.py"), *words], capture_output=True, text=True, timeout=LONGEST
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())
    assert [json.loads(line) for line in run.stdout.splitlines()] == found["growth"]
    assert [row["value"] for row in found["growth"]] == [5, 10]
    assert set(found["slopes"]) == {"tokens"}
    keep = [sys.executable, str(BENCHMARKS / "history.py"), str(out), "--commit"]
    for commit in ("one", "one", "two"):
        subprocess.run([*keep, commit], check=True, timeout=LONGEST)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "date,commit,benchmark,case,yardstick,units"
    assert [line.split(",")[1:4] for line in lines[1:]] == [
        [commit, "growth", f"tokens: {value}"] for commit in ("one", "two") for value in (5, 10)
    ]


class TestHistory:
    def test_another_run_of_a_commit_replaces_the_first(self, bench: Any, entry: Any, tmp_path: Path) -> None:
        history = bench("history")
        old = [entry(10.0), entry(20.0, case="y"), entry(11.0, "b")]
        kept = history.merged(old, [entry(12.5)])
        assert kept == [entry(20.0, case="y"), entry(11.0, "b"), entry(12.5)]
        history.write(tmp_path / "history.csv", kept)
        assert history.read(tmp_path / "history.csv") == kept
        assert history.read(tmp_path / "none.csv") == []

    def test_slower_is_against_the_best_of_other_commits(self, bench: Any, entry: Any) -> None:
        history = bench("history")
        assert history.slowdowns([entry(10.0)]) == []
        assert history.slowdowns([entry(10.0), entry(12.5, "b")]) == []
        lines = [entry(10.0), entry(30.0, "b"), entry(12.6, "c"), entry(99.0, "c", "new")]
        (slow,) = history.slowdowns(lines)
        assert (slow.now, slow.best, slow.times) == (lines[2], lines[0], pytest.approx(1.26))
        assert history.told(slow) == "slower: training, x: 12.6 units at c, 1.26 times the 10 at a (2026-01-01)"

    def test_every_benchmark_has_its_cases(self, bench: Any) -> None:
        cases = bench("history").cases
        rows = [{"task": "open", "samples": 7, "units": 2.0}]
        found = {"yardstick": 80.0, "data": rows, "slopes": {"open": {"seconds_per_1000": 1.0}}}
        assert list(cases(found)) == [("data", "open, 7 samples", 80.0, 2.0)]
        row = {"model": "m", "engine": "onnx", "yardstick": 80.0, "p50_units": 1.0}
        row |= {"throughput": [{"batch": 4, "units_per_clip": 0.5}]}
        assert list(cases({"inference": [row]})) == [
            ("inference", "m, onnx, one clip", 80.0, 1.0),
            ("inference", "m, onnx, a clip of 4", 80.0, 0.5),
        ]


def test_names_of_cases_are_their_own(bench: Any) -> None:
    modules: list[ModuleType] = [
        bench(name) for name in ("training", "kernels", "waiting", "compiled", "sweep", "protocol", "growth")
    ]
    for module in modules:
        assert module.CASES
        assert set(getattr(module, "QUICK", ())) <= set(module.CASES)
