"""Evaluating runs: tables, files and pages, and what is said when something is missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mitr
from made import options
from mitr.api import train
from mitr.bench.evaluate import evaluate
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_at_rates
from mitr.runs.run import Run


@pytest.fixture(scope="module")
def run(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small, tmp_path_factory.mktemp("runs") / "run", options(3, lr=3e-3), quiet=True)


def test_three_lines_of_python(run: Run, small: Dataset, tmp_path: Path) -> None:
    data = mitr.open_dataset(small.folder)
    again = mitr.load(run.folder)
    result = mitr.evaluate(again, data, out=tmp_path / "report", protocol="auilc", quiet=True)
    assert result.metrics["mae"] == pytest.approx(np.abs(np.diff(at(result.predictions, 0.0))).mean(), rel=1e-6)


def test_intervals_and_shapley_values(run: Run, small: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = evaluate(
        run, small, out=out, protocol="auilc", resamples=20, intervals=0.9, explain=True, quiet=True, family="mosi"
    )
    table = result.predictions
    inside = table["label"].between(table["low"], table["high"])
    by_rate = inside.groupby(table["rate"]).mean()
    assert result.coverage is not None
    np.testing.assert_allclose(result.coverage["coverage"], by_rate.to_numpy())
    assert result.coverage["width"].iloc[-2] >= result.coverage["width"].iloc[0]
    values = result.shapley
    assert values is not None
    parts = values[["prior", *(c for c in values if c.startswith("shapley_"))]].sum(axis=1)
    np.testing.assert_allclose(parts, table[table["rate"] == 0]["prediction"], atol=1e-5)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["intervals"]["clips"] == 24
    assert [row["rate"] for row in metrics["intervals"]["by_rate"]] == metrics["rates"]
    assert set(metrics["shapley"]["modalities"]) == {"text", "audio", "vision"}
    assert len(pd.read_csv(out / "shapley.csv")) == 24
    page = (out / "report.html").read_text()
    assert "Prediction intervals" in page
    assert "What each modality added" in page
    assert "calibrated on this split" not in page


def test_coverage_on_the_calibration_split_is_called_no_evidence(run: Run, small: Dataset, tmp_path: Path) -> None:
    evaluate(run, small, out=tmp_path / "out", split="valid", resamples=20, intervals=0.9, quiet=True)
    assert "calibrated on this split" in (tmp_path / "out" / "report.html").read_text()


def at(predictions: pd.DataFrame, rate: float) -> np.ndarray:
    return predictions[predictions["rate"] == rate][["prediction", "label"]].to_numpy()


def test_files_of_an_evaluation(run: Run, small: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = evaluate(run, small, out=out, protocol="auilc", resamples=50, quiet=True, command="mitr evaluate x")
    assert {p.name for p in out.iterdir()} == {
        "predictions.parquet", "metrics.json", "results.parquet", "results.csv", "by_rate.csv", "report.html",
        "robustness.png", "observed.png", "predictions.png", "training.png",
    }  # fmt: skip
    stored = pd.read_parquet(out / "predictions.parquet")
    pd.testing.assert_frame_equal(stored, result.predictions)
    assert len(stored) == 11 * len(small.indices("test"))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["rates"] == [r / 10 for r in range(11)]
    assert metrics["seed"] == run.config.train.seed
    assert metrics["data"] == {"name": "synthetic", "sha256": small.info.content_sha256, "synthetic": True}
    assert metrics["run"]["selection"].endswith("the test split was not used")
    by_rate = pd.read_csv(out / "by_rate.csv")
    assert by_rate["mae"].iloc[0] == pytest.approx(metrics["by_rate"][0]["metrics"]["mae"]["value"])
    page = (out / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert "mitr evaluate x" in page


def test_the_more_is_missing_the_less_is_observed_and_at_the_end_the_prior_answers(run: Run, small: Dataset) -> None:
    table = evaluate(run, small, protocol="auilc", resamples=10, quiet=True).predictions
    shares = table.groupby("rate")[["observed_text", "observed_audio", "observed_vision"]].mean()
    assert (shares.diff().dropna() <= 0).all().all()
    last = table[table["rate"] == 1.0]
    assert last["all_missing"].all()
    assert (last[["observed_text", "observed_audio", "observed_vision"]] == 0).all().all()
    labels = small.labels[small.indices("train")]
    assert last["prediction"].to_numpy() == pytest.approx(np.median(labels[np.isfinite(labels)]))
    assert not table[table["rate"] == 0.0]["all_missing"].any()


def test_complete_view_is_the_network_without_masks(run: Run, small: Dataset) -> None:
    network = run.load_network()
    examples = run.examples(small, "test", network)
    batch = examples.collate([examples[i] for i in range(len(examples))])
    with torch.inference_mode():
        direct = network(batch.view).prediction.numpy()
    table = predict_at_rates(network, examples, [0.0], batch_size=5)
    assert table["prediction"].to_numpy() == pytest.approx(direct, abs=1e-5)
    assert table["id"].tolist() == [small.ids[row] for row in small.indices("test")]


def test_an_evaluation_of_classes(emotions: Dataset, tmp_path: Path) -> None:
    run = train(emotions, tmp_path / "run", options(4, lr=3e-3), quiet=True)
    found = evaluate(run, emotions, out=tmp_path / "out", protocol="auilc", resamples=20, quiet=True)
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    names = [f"probability_{name}" for name in emotions.info.classes or ()]
    shares = table[names].to_numpy()
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (shares.argmax(axis=1) == table["prediction"]).all()
    complete = table[table["rate"] == 0]
    assert found.metrics["accuracy"] == pytest.approx((complete["prediction"] == complete["label"]).mean())
    assert list(found.metrics) == ["accuracy", "ua", "f1_weighted", "f1_macro"]
    assert found.metrics["accuracy"] > 0.35  # the synthetic set can be learned a little even from 64 samples
    labels = emotions.labels[emotions.indices("train")].astype(int)
    last = table[table["rate"] == 1]
    assert (last["prediction"] == np.bincount(labels).argmax()).all()
    assert last[names].to_numpy()[0] == pytest.approx((np.bincount(labels, minlength=4) + 1) / (len(labels) + 4))
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (summary["family"], summary["label_range"]) == ("classes", [0, 3])
    assert summary["auilc"]["ua"]["value"] < 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "0 angry, 1 calm, 2 happy, 3 sad" in page
    with pytest.raises(MitrError, match="metrics 'mosi' are not for labels that are classes"):
        evaluate(run, emotions, family="mosi", quiet=True)


def test_other_data_are_said_to_be_other(run: Run, tmp_path: Path) -> None:
    other = synthesise(tmp_path / "other", seed=5, train=8, valid=4, test=12)
    evaluate(run, other, out=tmp_path / "report", resamples=10, quiet=True)
    assert "trained on other data" in (tmp_path / "report" / "report.html").read_text()


def test_samples_without_label_are_left_out_and_counted(run: Run, tmp_path: Path) -> None:
    other = synthesise(tmp_path / "other", seed=5, train=8, valid=4, test=12)
    other.labels[other.indices("test")[:5]] = np.nan
    with pytest.warns(UserWarning, match="5 samples without a label"):
        assert len(evaluate(run, other, resamples=10, quiet=True).predictions) == 7
    other.labels[:] = np.nan
    with pytest.raises(MitrError, match="test split has no labels"):
        evaluate(run, other, quiet=True)


def test_nothing_is_left_when_the_report_fails(
    run: Run, small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mitr.bench.evaluate as module

    def broken(*_args: object, **_more: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "write_page", broken)
    with pytest.raises(OSError, match="No space"):
        evaluate(run, small, out=tmp_path / "report", resamples=10, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_at_the_place_of_a_report(run: Run, small: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "report"
    evaluate(run, small, out=out, resamples=10, quiet=True)
    with pytest.raises(MitrError, match=r"exists already.*--overwrite"):
        evaluate(run, small, out=out, quiet=True)
    (out / "old.txt").touch()
    evaluate(run, small, out=out, resamples=10, quiet=True, overwrite=True)
    assert not (out / "old.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.txt").write_text("keep")
    for foreign in (tmp_path / "mine", run.folder, small.folder):
        before = sorted(p.name for p in foreign.iterdir())
        with pytest.raises(MitrError, match="is not replaced: it holds something else"):
            evaluate(run, small, out=foreign, quiet=True, overwrite=True)
        assert sorted(p.name for p in foreign.iterdir()) == before


@pytest.mark.parametrize(
    ("protocol", "conditions", "axis"),
    [
        ("complete", 1, "rate"),
        ("modality-rate", 7, "modality-rate"),
        ("combinations", 7, "available"),
        ("blocks", 35, "block-all"),
        ("rates", 2, "rate"),
    ],
)
def test_every_protocol(run: Run, small: Dataset, tmp_path: Path, protocol: str, conditions: int, axis: str) -> None:
    rates = (0.5, 0.25) if protocol == "rates" else None
    result = evaluate(
        run, small, out=tmp_path / "out", protocol=protocol, rates=rates, resamples=20, intervals=0.9, quiet=True
    )
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(metrics["by_rate"]) == len(metrics["conditions"]) == conditions
    assert metrics["by_rate"][0]["axis"] == axis
    first = result.predictions[result.predictions["condition"] == metrics["conditions"][0]]
    mae = (first["prediction"] - first["label"]).abs().mean()
    assert metrics["by_rate"][0]["metrics"]["mae"]["value"] == pytest.approx(mae)
    table = pd.read_parquet(tmp_path / "out" / "results.parquet")
    pd.testing.assert_frame_equal(table, result.results)
    means = table[(table["condition"] == "mean") & (table["axis"] == "all") & (table["metric"] == "mae")]
    each = table[(table["condition"].isin(metrics["conditions"])) & (table["metric"] == "mae")]["value"]
    assert means["value"].item() == pytest.approx(each.mean())
    assert (table["protocol"] == protocol).all()
    assert len(metrics["intervals"]["by_rate"]) == conditions


def test_a_protocol_that_the_data_cannot_serve(run: Run, small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MitrError, match="no protocol 'other'"):
        evaluate(run, small, protocol="other", quiet=True)
    with pytest.raises(MitrError, match="needs the missing rates"):
        evaluate(run, small, protocol="rates", quiet=True)
    alone = Dataset(small.folder)
    alone.info.modalities = {"text": alone.info.modalities["text"]}
    with pytest.raises(MitrError, match="needs 2 with content in the test split, which has text"):
        evaluate(run, alone, protocol="combinations", quiet=True)


def test_only_the_auilc_protocol_has_an_auilc(run: Run, small: Dataset) -> None:
    mean = evaluate(run, small, protocol="mean", resamples=10, quiet=True).summary.to_json()
    assert mean["auilc"] is None
    assert mean["mean"]["rates"] == [r / 10 for r in range(10)]
    sims = evaluate(run, small, protocol="complete", family="sims", resamples=10, quiet=True).summary.to_json()
    assert sims["auilc"] is None
    assert sims["family"] == "sims"
    assert "acc3" in sims["by_rate"][0]["metrics"]


def test_a_run_that_was_killed_before_its_history(run: Run, small: Dataset, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    (copy / "history.csv").unlink()
    evaluate(copy, small, out=tmp_path / "report", resamples=10, quiet=True)
    assert not (tmp_path / "report" / "training.png").exists()


def test_data_that_moved_are_named(small: Dataset, run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    about = json.loads((copy / "run.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (copy / "run.json").write_text(json.dumps(about))
    with pytest.raises(MitrError, match=r"no longer at .*gone: name their folder"):
        evaluate(copy, quiet=True)
    assert len(evaluate(copy, small, resamples=10, quiet=True).predictions)


def test_a_modality_the_model_does_not_know_is_no_evidence(small: Dataset, tmp_path: Path) -> None:
    """Trained on text alone, evaluated on data with all three: only text counts as observed."""
    alone = Dataset(small.folder)
    alone.info.modalities = {"text": alone.info.modalities["text"]}
    run = train(alone, tmp_path / "run", options(1), quiet=True)
    table = evaluate(run, small, protocol="auilc", resamples=10, quiet=True).predictions
    assert (table[["observed_audio", "observed_vision"]] == 0).all().all()
    assert (table["all_missing"] == (table["observed_text"] == 0)).all()
