"""Our numbers beside published ones: verdicts worked out by hand, and the command around a made bench."""

import json
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from mitr.__main__ import main
from mitr.bench.experiments import DataFile, Experiment
from mitr.bench.reproduce import as_markdown, compare_with_published, reproduce
from mitr.config import EncoderChoice, MissingConfig, TextConfig
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.runs.config import RunConfig

DIGEST = "ab" * 32
ROW = Experiment(
    name="row",
    title="A model on a set",
    source="Someone, Table 1",
    url="https://example.org/paper",
    data=DataFile("A set", "a.pkl", None),
    protocol="auilc",
    training="per-rate",
    model="misa",
    seeds=(1, 2, 3),
    config=RunConfig(text=TextConfig(encoder="bert-base-uncased")),
    published={"mae": 1.0, "corr": 0.5, "acc5": 0.3, "acc7": 0.25},
    tolerance={"mae": 0.1, "corr": 0.05, "acc5": 0.02, "acc7": 0.02},
)


def table(values: dict[str, list[float]], **about: Any) -> pd.DataFrame:
    """Tidy rows, one for each seed 1, 2, ... and metric."""
    rows = [
        {"seed": seed, "metric": key, "value": value}
        for key, of_seeds in values.items()
        for seed, value in enumerate(of_seeds, start=1)
    ]
    usual = {"data": "A set", "model": "misa", "protocol": "auilc", "training": "per-rate", "axis": "rate"}
    return pd.DataFrame(rows).assign(**usual | {"condition": "AUILC", "rate": float("nan"), "n": 9} | about)


def test_verdicts_by_direction_and_tolerance() -> None:
    found = compare_with_published(
        ROW, table({"mae": [0.8, 0.9, 0.7], "corr": [0.4, 0.44, 0.36], "acc5": [0.31, 0.33, 0.32]})
    )
    mae, corr, acc5, acc7 = found
    assert (mae.ours, mae.std, mae.difference) == pytest.approx((0.8, 0.1, -0.2))
    assert (corr.ours, corr.std, corr.difference) == pytest.approx((0.4, 0.04, -0.1))
    assert acc5.difference == pytest.approx(0.02)  # as much as the tolerance
    assert [row.verdict for row in found] == ["better", "worse", "within", "not measured"]
    assert (acc7.ours, acc7.std, acc7.difference, acc7.seeds) == (None, None, None, 0)
    other_side = compare_with_published(ROW, table({"mae": [1.2], "corr": [0.6], "acc5": [0.281], "acc7": [0.2]}))
    assert [row.verdict for row in other_side] == ["worse", "better", "within", "worse"]
    assert {row.std for row in other_side} == {None}


def test_on_other_data_nothing_is_within() -> None:
    found = compare_with_published(ROW, table({"mae": [1.0, 1.0], "corr": [0.1]}), same_data=False)
    assert [row.verdict for row in found] == ["other data", "other data", "not measured", "not measured"]


@pytest.mark.parametrize(
    "other",
    [
        {"model": "tfn"},
        {"protocol": "mean"},
        {"training": "one-model"},
        {"condition": "rate=0.0", "rate": 0.0},
        {"seed": 4},
    ],
)
def test_other_rows_of_the_table_are_passed_over(other: dict[str, Any]) -> None:
    results = pd.concat([table({"mae": [1.0, 1.1]}), table({"mae": [5.0]}, **other)], ignore_index=True)
    (row, *_) = compare_with_published(ROW, results)
    assert (row.ours, row.seeds) == (pytest.approx(1.05), 2)


def test_complete_is_rate_zero_and_mean_is_the_mean() -> None:
    results = pd.concat(
        [
            table({"mae": [0.7]}, training="one-model", condition="rate=0.0", rate=0.0),
            table({"mae": [0.9]}, training="one-model", condition="rate=0.1", rate=0.1),
            table({"mae": [1.1]}, training="one-model"),
            table({"mae": [1.2]}, training="one-model", protocol="mean", condition="mean"),
            table({"mae": [1.3]}, training="one-model", protocol="mean", condition="rate=0.0", rate=0.0),
        ]
    )
    for protocol, ours in (("complete", 0.7), ("auilc", 1.1), ("mean", 1.2)):
        row = replace(ROW, protocol=protocol, training="one-model", published={"mae": 1.0})
        assert compare_with_published(row, results)[0].ours == ours


def test_an_undefined_value_is_left_out() -> None:
    found = compare_with_published(ROW, table({"corr": [0.5, float("nan"), 0.52]}))
    assert (found[1].ours, found[1].seeds, found[1].verdict) == (pytest.approx(0.51), 2, "within")


@dataclass
class Bench:
    """Stands in for `mitr.bench.run`: says what it was called with, and returns a made table."""

    results: pd.DataFrame
    failed: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def run_bench(self, data: Any, out: Path, **options: Any) -> "Bench":
        self.calls.append({"data": data, "out": out} | options)
        Path(out).mkdir(parents=True, exist_ok=True)
        return self


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(table({"mae": [1.04, 1.06], "corr": [0.45, 0.47], "acc5": [0.4, 0.4]}))
    module = ModuleType("mitr.bench.run")
    module.run_bench = made.run_bench  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mitr.bench.run", module)
    return made


@pytest.mark.parametrize("data", [None, "nowhere"])
def test_without_data_the_message_says_which(data: str | None, bench: Bench, tmp_path: Path) -> None:
    row = replace(ROW, data=DataFile("A set", "a.pkl", DIGEST))
    with pytest.raises(MitrError) as caught:
        reproduce(row, data, tmp_path / "out")
    for words in ("A set", "a.pkl", DIGEST, "mitr data import a.pkl --out DIR", "mitr reproduce row --data DIR"):
        assert words in str(caught.value)
    assert ("nowhere does not exist" in str(caught.value)) == (data is not None)
    assert not bench.calls
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_data_set(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="is not a mitr data set"):
        reproduce(ROW, tmp_path, tmp_path / "out")


def test_runs_the_row_and_writes_the_comparison(bench: Bench, small: Dataset, tmp_path: Path) -> None:
    found = reproduce(ROW, small.folder, tmp_path / "out", jobs=2, quiet=True, command="mitr reproduce row")
    (call,) = bench.calls
    assert [data.folder for data in call.pop("data")] == [small.folder]
    assert call == {
        "out": tmp_path / "out",
        "models": ["misa"],
        "protocols": ["auilc"],
        "seeds": (1, 2, 3),
        "config": ROW.config,
        "per_rate": True,
        "jobs": 2,
        "quiet": True,
        "command": "mitr reproduce row",
    }
    assert [row.verdict for row in found.metrics] == ["within", "within", "better", "not measured"]
    assert (found.notes, found.failed) == ([], 0)
    written = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    assert [row["verdict"] for row in written["rows"]] == [row.verdict for row in found.metrics]
    assert written["rows"][0]["difference"] == pytest.approx(0.05)
    assert written["config"]["text"]["encoder"] == "bert-base-uncased"
    assert written["measured_on"]["name"] == small.info.source.name
    page = (tmp_path / "out" / "reproduction.md").read_text(encoding="utf-8")
    assert page == as_markdown(found)
    assert "| MAE ↓ | 1.050 ± 0.014 | 2 | 1.000 | +0.050 | 0.100 | within |" in page
    assert "| Acc-7 ↑ | – | 0 | 0.250 | – | 0.020 | not measured |" in page


def test_complete_runs_one_model_that_misses_nothing(bench: Bench, small: Dataset, tmp_path: Path) -> None:
    config = replace(ROW.config, missing=MissingConfig("none"))
    row = replace(ROW, protocol="complete", training="one-model", config=config)
    found = reproduce(row, small.folder, tmp_path / "out", quiet=True)
    (call,) = bench.calls
    assert (call["protocols"], call["per_rate"], call["config"].missing.schedule) == (["auilc"], False, "none")
    assert {r.verdict for r in found.metrics} == {"not measured"}  # the made table has no rate 0


def test_other_data_are_warned_of(bench: Bench, small: Dataset, tmp_path: Path) -> None:
    row = replace(ROW, data=DataFile("A set", "a.pkl", DIGEST))
    with pytest.warns(UserWarning, match="not comparable") as caught:
        found = reproduce(row, small.folder, tmp_path / "out", quiet=True)
    assert DIGEST in str(caught[0].message)
    assert [r.verdict for r in found.metrics] == ["other data"] * 3 + ["not measured"]
    assert "**the numbers are not comparable" in (tmp_path / "out" / "reproduction.md").read_text()


def test_the_papers_own_file_is_known_by_its_hash(bench: Bench, small: Dataset, tmp_path: Path) -> None:
    shutil.copytree(small.folder, tmp_path / "data")
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    about["source"]["sha256"] = DIGEST
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(about))
    row = replace(ROW, data=DataFile("A set", "a.pkl", DIGEST))
    assert reproduce(row, tmp_path / "data", tmp_path / "out", quiet=True).metrics[0].verdict == "within"


def test_another_encoder_is_used_and_noted(bench: Bench, small: Dataset, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="'minilm'; the experiment names 'bert-base-uncased'"):
        found = reproduce(ROW, small.folder, tmp_path / "out", text=EncoderChoice("minilm"), quiet=True)
    assert bench.calls[0]["config"].text == TextConfig("minilm")
    assert found.metrics[0].verdict == "within"  # it may be the same encoder in a folder
    reproduce(ROW, small.folder, tmp_path / "out", text=EncoderChoice(allow_download=True), quiet=True)
    assert bench.calls[1]["config"].text == TextConfig("bert-base-uncased", allow_download=True)


def test_the_command(
    bench: Bench, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "wang2025_misa_mosi_auilc", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "no --data was given" in said
    assert "mitr data import unaligned_50.pkl --out DIR" in said
    bench.results = table({"mae": [1.2]}, seed=111)
    assert main([*words, "--data", str(small.folder), "--text.allow_download", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "mitr: warning: the numbers are not comparable" in said.err
    assert "other data" in said.out
    assert "reproduction.md" in said.out
    assert bench.calls[0]["config"].text.allow_download
    bench.failed = [{"status": "failed"}]
    assert main([*words, "--data", str(small.folder), "--quiet"]) == 2
    assert "1 runs failed" in capsys.readouterr().err
