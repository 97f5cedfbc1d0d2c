"""A whole published table run again: which store each row takes, one comparison, and going on where it stopped."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made import options
from mitr.__main__ import main
from mitr.bench import reproduce_table as whole_table
from mitr.bench.experiments import DataFile, Experiment
from mitr.bench.reproduce_table import print_table, reproduce_table, stores_of_rows, table_as_markdown
from mitr.config import MissingConfig
from mitr.data.store import Dataset
from mitr.errors import MitrError

DIGESTS = {"one": "ab" * 32, "two": "cd" * 32}
CONFIG = replace(options(epochs=1), missing=MissingConfig("none", validation_rates=(0.0,)))


def row(model: str, data: str = "one", **more: Any) -> Experiment:
    made: dict[str, Any] = {
        "name": f"someone2020_{model}_{data}_complete",
        "title": f"{model} on {data}",
        "source": "Someone, Table 1",
        "url": "https://example.org/paper",
        "data": DataFile(data, f"{data}.pkl", DIGESTS[data]),
        "protocol": "complete",
        "training": "one-model",
        "model": model,
        "seeds": (1,),
        "config": CONFIG,
        "published": {"mae": 1.0, "corr": 0.5},
        "tolerance": {"mae": 0.001, "corr": 2.0},
    }
    return Experiment(**made | more)


@pytest.fixture
def store(small: Dataset, tmp_path: Path) -> Callable[..., Path]:
    """Copies of the small set that say they were made of another file, or have another name."""

    def made(folder: str, sha256: str | None = None, name: str = "made") -> Path:
        shutil.copytree(small.folder, tmp_path / folder)
        described = json.loads((tmp_path / folder / "dataset.json").read_text())
        described["name"], described["source"]["sha256"] = name, sha256
        (tmp_path / folder / "dataset.json").write_text(json.dumps(described))
        return tmp_path / folder

    return made


ROWS = [row("ridge"), row("mean"), row("ridge", "two")]


def test_a_row_takes_the_store_of_its_papers_file(store: Callable[..., Path]) -> None:
    two, one = store("a", DIGESTS["two"], name="one"), store("b", DIGESTS["one"])
    chosen = stores_of_rows("someone2020", ROWS, [two, one])
    assert chosen == {ROWS[0].name: one, ROWS[1].name: one, ROWS[2].name: two}


def test_else_the_store_with_the_name_of_its_data(store: Callable[..., Path]) -> None:
    two, one = store("a", name="two"), store("b", name="one")
    assert list(stores_of_rows("someone2020", ROWS, [two, one]).values()) == [one, one, two]


def test_one_store_does_for_rows_on_the_same_data(store: Callable[..., Path]) -> None:
    only = store("a")
    assert list(stores_of_rows("someone2020_one", ROWS[:2], [only]).values()) == [only, only]


@pytest.mark.parametrize("given", [[], ["a"]])
def test_rows_without_data_are_told_before_anything_runs(
    store: Callable[..., Path], tmp_path: Path, given: list[str]
) -> None:
    store("a", DIGESTS["one"])
    with pytest.raises(MitrError) as caught:
        reproduce_table("someone2020", ROWS, [tmp_path / name for name in given], tmp_path / "out", quiet=True)
    assert "two.pkl" in str(caught.value)
    assert DIGESTS["two"] in str(caught.value)
    assert ("one.pkl" in str(caught.value)) == (not given)
    assert not (tmp_path / "out").exists()


def test_the_table_goes_on_where_it_stopped_and_compares_every_row(
    store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = store("a", DIGESTS["one"]), tmp_path / "out"
    rows, one_row = ROWS[:2], whole_table.reproduce

    def stopped(experiment: Experiment, *more: Any, **options: Any) -> Any:
        if experiment is rows[1]:
            raise KeyboardInterrupt
        return one_row(experiment, *more, **options)

    monkeypatch.setattr(whole_table, "reproduce", stopped)
    with pytest.raises(KeyboardInterrupt):
        reproduce_table("someone2020", rows, [data], out, jobs=1, quiet=True)
    assert [path.name for path in out.iterdir()] == [rows[0].name]
    runs = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert len(runs) == 1

    monkeypatch.setattr(whole_table, "reproduce", one_row)
    table = reproduce_table("someone2020", rows, [data], out, jobs=1, quiet=True, command="again")
    assert len(list(out.rglob("run.json"))) == 2
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    assert [r.experiment.name for r in table.rows] == [r.name for r in rows]
    assert not table.problems
    ridge, mean = (r.metrics[0] for r in table.rows)
    assert ridge.ours != mean.ours
    assert ridge.seeds == 1
    verdicts = [compared.verdict for r in table.rows for compared in r.metrics]
    assert verdicts[1] == "within"
    assert {verdict: verdicts.count(verdict) for verdict in verdicts} == table.verdicts

    written = json.loads((out / "reproduction.json").read_text())
    assert (written["table"], written["command"]) == ("someone2020", "again")
    assert written["experiments"][1]["rows"][0]["ours"] == mean.ours
    page = (out / "reproduction.md").read_text(encoding="utf-8")
    assert page == table_as_markdown(table)
    for done in table.rows:
        for compared in done.metrics:
            assert f"| {done.experiment.name} | {' | '.join(compared.cells)} |" in page

    monkeypatch.setenv("COLUMNS", "80")
    print_table(table)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    for compared in (ridge, mean):
        assert compared.cells[1] in said


def test_a_row_that_fails_stops_no_other(store: Callable[..., Path], tmp_path: Path) -> None:
    data, out = store("a", DIGESTS["one"]), tmp_path / "out"
    rows = [row("no-model"), row("mean")]
    table = reproduce_table("someone2020", rows, [data], out, jobs=1, quiet=True)
    assert [r.experiment.model for r in table.rows] == ["mean"]
    assert set(table.errors) == {rows[0].name}
    assert [line.split(":")[0] for line in table.problems] == [rows[0].name]
    assert f"**{table.problems[0]}**" in (out / "reproduction.md").read_text(encoding="utf-8")
    assert json.loads((out / "reproduction.json").read_text())["errors"] == table.errors


def test_a_folder_that_holds_other_files(store: Callable[..., Path], tmp_path: Path) -> None:
    data, out = store("a", DIGESTS["one"]), tmp_path / "out"
    out.mkdir()
    (out / "plan.json").touch()
    with pytest.raises(MitrError, match=r"holds plan\.json, which is no published row"):
        reproduce_table("someone2020", ROWS[:2], [data], out, quiet=True)


def test_the_command_runs_a_table_and_reports_failed_rows(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []

    def fake(experiment: Experiment, data: Path, out: Path, **options: Any) -> Any:
        asked.append((experiment.name, data, out, options["text"].allow_download))
        raise MitrError("no run succeeded")

    monkeypatch.setattr(whole_table, "reproduce", fake)
    words = ["reproduce", "--text.allow-download", "zhang2024_sims", "--data", str(small.folder), "--quiet"]
    assert main([*words, "--out", "out"]) == 2
    names = [f"zhang2024_{model}_sims_mean" for model in ("misa", "self-mm", "tfr-net")]
    assert asked == [(name, Path(small.folder), Path("out") / name, True) for name in names]
    said = capsys.readouterr()
    assert all(f"{name}: no run succeeded" in said.err for name in names)
    assert "the same command tries them again" in said.err
    assert Path("out/reproduction.md").is_file()
    assert main(words) == 2
    assert "--out OUT" in capsys.readouterr().err
    assert main(["reproduce", "--out", "out"]) == 2
    assert "name a published row" in capsys.readouterr().err
    assert main([*words, "--data", "nowhere,here", "--out", "out"]) == 2
    assert "nowhere is not a mitr data set" in capsys.readouterr().err
