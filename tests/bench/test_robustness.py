"""Robustness over seeds: one model or one per rate, resumable."""

from pathlib import Path

import pandas as pd
import pytest

from made import options
from mitr.bench.robustness import robustness
from mitr.bench.run import run_bench
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import read_json, write_json
from mitr.runs.run import Run
from mitr.training.train import train


def test_one_model_for_all_rates(small: Dataset, tmp_path: Path) -> None:
    found = robustness(small, tmp_path / "out", options(1), seeds=(1, 2), rates=(0.0, 0.5, 1.0), quiet=True)
    assert sorted(p.name for p in (tmp_path / "out" / "runs").iterdir()) == ["seed-1", "seed-2"]
    rows = found.results.query("metric == 'mae' and rate == 0.5")
    assert rows["run"].tolist() == ["seed-1", "seed-2"]
    entry = next(e for e in found.aggregate["by_rate"] if e["rate"] == 0.5)
    assert entry["metrics"]["mae"]["mean"] == pytest.approx(rows["value"].mean())
    assert entry["metrics"]["mae"]["std"] == pytest.approx(rows["value"].std(ddof=1))
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "results.csv",
        "results.parquet",
        "coverage.csv",
        "jobs.json",
        "summary.json",
        "report.html",
        "robustness.png",
    }
    assert set(pd.read_csv(tmp_path / "out" / "results.csv")["training"]) == {"one-model"}


def test_robustness_of_classes(emotions: Dataset, tmp_path: Path) -> None:
    found = robustness(emotions, tmp_path / "out", options(1), seeds=(1, 2), rates=(0.0, 1.0), quiet=True)
    assert set(found.results["metric"]) == {"accuracy", "ua", "f1_weighted", "f1_macro"}
    assert found.aggregate["by_rate"][1]["metrics"]["ua"]["mean"] == pytest.approx(0.25)  # always the same class
    assert "labelled with 4 classes" in (tmp_path / "out" / "report.html").read_text()
    again = robustness(emotions, tmp_path / "out", options(1), seeds=(1, 2), rates=(0.0, 1.0), quiet=True)
    pd.testing.assert_frame_equal(again.results, found.results)


def test_one_model_per_rate_trains_on_fixed_masks_at_its_rate(small: Dataset, tmp_path: Path) -> None:
    found = robustness(small, tmp_path / "out", options(1), per_rate=True, seeds=(7,), rates=(0.0, 0.6), quiet=True)
    run = Run(tmp_path / "out" / "runs" / "rate-0.6-seed-7")
    assert run.config.missing.schedule == "fixed"
    assert run.config.missing.rate == 0.6
    assert run.config.train.seed == 7
    (place,) = (tmp_path / "out" / "predictions").glob("rate-0.6-seed-7-*.parquet")
    alone = pd.read_parquet(place)
    assert set(alone["rate"]) == {0.6}
    mae = (alone["prediction"] - alone["label"]).abs().mean()
    entry = found.aggregate["by_rate"][1]
    assert entry["metrics"]["mae"]["mean"] == pytest.approx(mae)
    assert found.aggregate["auilc"] is None  # two rates are no AUILC
    assert "each model&#39;s own missing rate" in (tmp_path / "out" / "report.html").read_text()


def test_called_again_it_goes_on_and_repeats_nothing(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mitr.bench.work as module

    trained: list[Path] = []
    original = train

    def stop_at_second(data: Dataset, out: Path, *args: object, **more: object) -> Run:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(out)
        return original(data, out, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        robustness(small, tmp_path / "out", options(1), seeds=(1, 2), rates=(0.0, 1.0), quiet=True)
    assert not (tmp_path / "out" / "results.csv").exists()
    again: list[str] = []

    def count(data: Dataset, out: Path, *args: object, **more: object) -> Run:
        again.append(out.name)
        return original(data, out, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", count)
    robustness(small, tmp_path / "out", options(1), seeds=(1, 2), rates=(0.0, 1.0), quiet=True)
    assert again == ["seed-2"]
    # more seeds may join; other options may not
    robustness(small, tmp_path / "out", options(1), seeds=(1, 2, 3), rates=(0.0, 1.0), quiet=True)
    assert again == ["seed-2", "seed-3"]
    with pytest.raises(MitrError, match="another experiment \\(config differ\\)"):
        robustness(small, tmp_path / "out", options(2), seeds=(1, 2), rates=(0.0, 1.0), quiet=True)


def test_bad_plans_fail_before_any_training(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="must be different"):
        robustness(small, tmp_path / "out", options(1), seeds=(1, 1), quiet=True)
    with pytest.raises(MitrError, match=r"rates \[0.3, 0.3\] must be different"):
        robustness(small, tmp_path / "out", options(1), rates=(0.3, 0.3), quiet=True)
    with pytest.raises(MitrError, match=r"rates \[1.5\] must lie in"):
        robustness(small, tmp_path / "out", options(1), rates=(1.5,), quiet=True)
    with pytest.raises(MitrError, match=r"train\.seed must lie"):
        robustness(small, tmp_path / "out", options(1), seeds=(1, -1), quiet=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(MitrError, match="not empty"):
        robustness(small, tmp_path / "taken", options(1), seeds=(1,), quiet=True)


def test_a_folder_that_an_older_version_began_goes_on(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions wrote a plan without a protocol, and each run's predictions into its folder."""
    out, rates = tmp_path / "out", (0.0, 0.5, 1.0)
    fresh = robustness(small, tmp_path / "fresh", options(1), seeds=(1, 2), rates=rates, quiet=True)
    plan = {key: value for key, value in read_json(fresh.folder / "plan.json").items() if key != "protocol"}
    write_json(out / "plan.json", plan)
    run = train(small, out / "runs" / "seed-1", Run(fresh.folder / "runs" / "seed-1").config, quiet=True)
    pd.DataFrame({"id": ["old"]}).to_parquet(run.folder / "predictions-test.parquet")
    with pytest.raises(MitrError, match=r"belongs to another experiment .*protocol"):
        robustness(small, out, options(1), protocol="mean", seeds=(1, 2), quiet=True)
    trained: list[str] = []
    original = train

    def count(data: Dataset, place: Path, *args: object, **more: object) -> Run:
        trained.append(place.name)
        return original(data, place, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("mitr.bench.work.train", count)
    found = robustness(small, out, options(1), seeds=(1, 2), rates=rates, quiet=True)
    assert trained == ["seed-2"]
    assert found.aggregate == fresh.aggregate


def test_the_folder_of_a_benchmark_is_refused(small: Dataset, tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "plan.json", {"entries": {}, "protocols": ["mean"]})
    with pytest.raises(MitrError, match="belongs to a benchmark of several models"):
        robustness(small, tmp_path / "out", options(1), seeds=(1,), quiet=True)


def test_a_benchmark_leaves_its_folder_alone(small: Dataset, tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "plan.json", {"config": {}, "rates": [0.0]})
    with pytest.raises(MitrError, match="holds the runs of mitr robustness"):
        run_bench([small], tmp_path / "out", models=["mean"], protocols=["mean"], seeds=[1], quiet=True)


def test_rates_are_for_their_protocol_alone(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="--rates are for the protocol rates; the protocol auilc has rates of its own"):
        robustness(small, tmp_path / "out", options(1), protocol="auilc", rates=(0.0, 0.5), seeds=(1,), quiet=True)
    assert not (tmp_path / "out").exists()


def test_protocols_without_rates(small: Dataset, tmp_path: Path) -> None:
    found = robustness(small, tmp_path / "out", options(1), protocol="combinations", seeds=(1, 2), quiet=True)
    assert found.aggregate["conditions"][0] == "available=text"
    assert found.aggregate["rates"] == [None] * 7
    run = Run(tmp_path / "out" / "runs" / "seed-1")
    assert run.config.missing.modality_rate == 0.5  # trained as the protocol says
    page = (tmp_path / "out" / "report.html").read_text()
    assert "protocol C2, combinations" in page
    assert "available=text+audio+vision" in page
    with pytest.raises(MitrError, match="--per-rate is for the protocols auilc and rates, not for combinations"):
        robustness(small, tmp_path / "other", options(1), protocol="combinations", per_rate=True, quiet=True)
