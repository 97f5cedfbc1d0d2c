"""A whole benchmark on a small set: complete, resumable, the same whatever the number of processes."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from made import options
from mitr.__main__ import main
from mitr.bench import jobs as jobs_module
from mitr.bench.evaluate import evaluate
from mitr.bench.plan import Job
from mitr.bench.run import BenchResult, run_bench
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError
from mitr.processes import JobResult

CONFIG = replace(options(epochs=1), train=replace(options(epochs=1).train, max_epochs=1))


def go(data: Dataset, out: Path, models: str = "mean ridge mitr-dnet", jobs: int = 2, **more: object) -> BenchResult:
    settings = {"protocols": ["mean", "combinations"], "seeds": [0, 1], "config": CONFIG, "quiet": True} | more
    return run_bench([data], out, models=models.split(), jobs=jobs, **settings)


@pytest.fixture(scope="module")
def done(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> BenchResult:
    return go(small, tmp_path_factory.mktemp("bench") / "out")


def test_results_hold_every_model_protocol_condition_and_seed(done: BenchResult) -> None:
    found = done.results
    assert set(found.columns) >= {"data", "model", "protocol", "axis", "condition", "rate", "seed", "metric", "value"}
    assert set(zip(found["model"], found["protocol"], found["seed"], strict=True)) == {
        (m, p, s) for m in ("mean", "ridge", "mitr-dnet") for p in ("mean", "combinations") for s in (0, 1)
    }
    rates = found[(found["protocol"] == "mean") & (found["axis"] == "rate")]["rate"].dropna().unique()
    assert sorted(rates) == [i / 10 for i in range(10)]
    assert not done.failed
    assert len(done.jobs) == 12
    for job in done.jobs:
        assert job["train_seconds"] >= 0
        assert job["milliseconds_per_sample"] > 0
        assert job["parameters"] >= 1


def test_the_folder_holds_tables_masks_and_report(done: BenchResult) -> None:
    files = {str(path.relative_to(done.folder)) for path in done.folder.rglob("*") if path.is_file()}
    wanted = {"plan.json", "jobs.json", "results.parquet", "results.csv", "bins.csv", "report.html", "tables.md"}
    assert wanted | {"tables.tex", "comparisons.csv", "coverage.csv", "shapley.csv"} <= files
    assert sum(name.startswith("masks/") for name in files) == 2
    assert len(pd.read_parquet(done.folder / "results.parquet")) == len(done.results)
    assert not any(name.endswith(".partial") for name in files)


def test_every_run_has_intervals_and_says_what_modalities_are_worth(done: BenchResult) -> None:
    rows = done.coverage.groupby(["model", "protocol", "seed"]).size()
    assert rows.to_dict() == {
        (m, p, s): n
        for m in ("mean", "ridge", "mitr-dnet")
        for p, n in (("mean", 10), ("combinations", 7))
        for s in (0, 1)
    }
    assert done.coverage["coverage"].between(0.3, 1).all()
    assert set(done.shapley["modality"]) == {"text", "audio", "vision"}
    assert done.comparisons.groupby("protocol").size().to_dict() == {"mean": 3, "combinations": 3}
    assert (done.comparisons["reference"] == "mean").all()


def test_what_the_results_page_keeps_of_it(done: BenchResult) -> None:
    place = Path(__file__).parents[2] / "docs" / "results" / "compact.py"
    spec = importlib.util.spec_from_file_location("compact", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = json.loads(json.dumps(module.compact(done.folder), allow_nan=False))
    assert [part["protocol"] for part in found["protocols"]] == ["mean", "combinations"]
    mean = found["protocols"][0]
    rows = done.results.query("protocol == 'mean' and model == 'ridge' and axis == 'all' and metric == 'mae'")["value"]
    assert mean["models"]["ridge"]["headline"]["mae"] == pytest.approx([rows.mean(), rows.std()], abs=1e-5)
    assert len(mean["models"]["ridge"]["coverage"]) == len(mean["conditions"]) == 10
    assert mean["models"]["mean"]["difference"] is None


def test_called_again_it_repeats_no_finished_run(
    small: Dataset, done: BenchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    true = jobs_module.run_jobs
    monkeypatch.setattr(
        jobs_module, "run_jobs", lambda jobs, *rest: (given.extend(j.key for j in jobs), true(jobs, *rest))
    )
    before = done.results
    again = go(small, done.folder)
    assert given == []
    pd.testing.assert_frame_equal(again.results, before)
    lost = sorted((done.folder / "predictions").iterdir())[0]
    lost.unlink()  # as if it had been stopped just before
    again = go(small, done.folder)
    assert len(given) == 1
    assert lost.name.startswith(given[0])
    pd.testing.assert_frame_equal(again.results, before)


def test_an_evaluation_of_a_run_gives_the_same_table(small: Dataset, done: BenchResult, tmp_path: Path) -> None:
    theirs = done.results.query("model == 'mitr-dnet' and seed == 1 and protocol == 'combinations'")
    (key,) = set(theirs["run"])
    ours = evaluate(done.folder / "runs" / key, small, out=tmp_path / "out", protocol="combinations", quiet=True)
    pd.testing.assert_frame_equal(ours.results, theirs.reset_index(drop=True))
    assert (tmp_path / "out" / "results.parquet").exists()
    assert theirs["low"].notna().any()


def test_complete_data_and_chosen_rates(small: Dataset, tmp_path: Path) -> None:
    asked = {"seeds": [0], "protocols": ["complete", "rates"], "rates": [0.25, 1.0]}
    found = go(small, tmp_path / "out", "mean ridge", **asked)
    rates = found.results[found.results["protocol"] == "rates"]["rate"].dropna()
    assert sorted(set(rates)) == [0.25, 1.0]
    assert set(found.comparisons["protocol"]) == {"complete", "rates"}
    assert found.comparisons["mae"].notna().all()
    assert len(found.jobs) == 2  # both protocols train in the same way
    other = go(small, tmp_path / "out", "mean ridge", **asked | {"rates": [0.5]})
    assert set(other.results.query("protocol == 'rates'")["rate"].dropna()) == {0.5}
    with pytest.raises(MitrError, match="--rates are those of the protocol rates"):
        go(small, tmp_path / "other", "mean", protocols=["mean"], rates=[0.5])


def test_it_can_be_extended(small: Dataset, done: BenchResult) -> None:
    more = go(small, done.folder, "mean ridge mitr-dnet", seeds=[0, 1], protocols=["mean"])
    old = done.results[done.results["protocol"] == "mean"].reset_index(drop=True)
    pd.testing.assert_frame_equal(more.results.reset_index(drop=True), old)


def test_one_process_finds_the_same_numbers(small: Dataset, done: BenchResult, tmp_path: Path) -> None:
    alone = go(small, tmp_path / "alone", "mitr-dnet", jobs=1, seeds=[0], protocols=["mean"])
    theirs = done.results.query("model == 'mitr-dnet' and seed == 0 and protocol == 'mean'").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.results.reset_index(drop=True), theirs)


def test_a_run_that_fails_is_reported_and_the_rest_goes_on(small: Dataset, tmp_path: Path) -> None:
    variants = {"wild": {"model": {"name": "mitr-dnet"}, "train": {"lr": 1e30, "clip_norm": 0}}}
    found = go(small, tmp_path / "out", "mean", variants=variants, seeds=[0], protocols=["mean"])
    assert [job["model"] for job in found.failed] == ["wild"]
    assert "training loss" in found.failed[0]["error"]
    assert set(found.results["model"]) == {"mean"}
    assert "training loss" in (tmp_path / "out" / "report.html").read_text()


def test_a_failed_fold_leaves_its_seed_out_of_the_tables(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = synthesise(tmp_path / "other", train=32, valid=12, test=12, seed=5)
    true = jobs_module.run_jobs

    def broken(jobs: list[Job], out: Path, workers: int, done: Callable[[Job, JobResult], None], work: object) -> None:
        def told(job: Job, facts: JobResult) -> None:
            failed = {"status": "failed", "error": "a [/bracket] in the text"}
            done(job, failed if (job.data_name, job.seed) == ("second", 1) else facts)

        true(jobs, out, workers, told, work)

    monkeypatch.setattr(jobs_module, "run_jobs", broken)
    path = tmp_path / "other" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "second"}))
    assert other.info.label_range == small.info.label_range
    settings = {"models": ["ridge", "mean"], "protocols": ["mean"], "seeds": [0, 1], "config": CONFIG, "jobs": 1}
    found = run_bench([small, Dataset(tmp_path / "other")], tmp_path / "out", quiet=True, **settings)
    assert len(found.failed) == 2
    assert set(found.results["seed"]) == {0}
    assert set(found.results["data"]) == {"synthetic", "second"}
    assert "a [/bracket] in the text" in (tmp_path / "out" / "report.html").read_text()
    one, other_one = (found.comparisons.set_index("model")["mae"][name] for name in ("mean", "ridge"))
    shown = found.comparisons.set_index("model")["difference"]["mean"]
    assert shown == pytest.approx(one - other_one, abs=0.05)  # folds of 24 and 12 clips: means of folds, and of clips


def test_a_number_of_processes_below_nothing_is_refused(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="--jobs is -1"):
        go(small, tmp_path / "out", jobs=-1)


def test_a_folder_of_something_else_is_left_alone(small: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(MitrError, match="holds no benchmark"):
        go(small, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_two_calls_do_not_work_in_one_folder(small: Dataset, done: BenchResult) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (done.folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MitrError, match="another call is at work"):
            go(small, done.folder)
    go(small, done.folder)  # the file alone says nothing


def test_the_command(small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(small.folder), "--models", "mean,ridge", "--protocol", "mean", "--seeds", "0,1"]
    assert main([*words, "--out", str(tmp_path / "out"), "--quiet", "--train.threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "ridge" in shown
    assert "report.html" in shown
    assert main(["bench", str(small.folder), "--models", "mean", "--seeds", "0,x", "--out", str(tmp_path / "o")]) == 2
    assert "--seeds 0,x" in capsys.readouterr().err
    faulty = ["bench", str(small.folder), "--models", "nope", "--protocol", "fair", "--seeds", "0,0"]
    assert main([*faulty, "--out", str(tmp_path / "p")]) == 2
    told = capsys.readouterr().err
    assert all(part in told for part in ("nope", "fair", "seed 0"))
    assert not (tmp_path / "p").exists()
