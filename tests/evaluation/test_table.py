"""The tidy table, by numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitr.data.scale import Scale
from mitr.evaluation.summary import OBSERVED, headline_of, summarise
from mitr.evaluation.table import tidy, write_results

LABELS = (-2.0, 1.0, 3.0)
MOSI = Scale.of((-3, 3))


def predictions(errors: dict[str, float], axis: str = "", rates: dict[str, float] | None = None) -> pd.DataFrame:
    """Three samples; under each condition every prediction is off by the same amount."""
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "condition": name,
            "axis": axis or ("rate" if rates else "available"),
            "rate": (rates or {}).get(name, np.nan),
            "label": LABELS,
            "prediction": np.array(LABELS) + error,
            "all_missing": False,
        }
        | dict.fromkeys(OBSERVED, 1.0)
        for name, error in errors.items()
    ).explode(["id", "label", "prediction"], ignore_index=True)


def table(found: pd.DataFrame, protocol: str, run: str | dict[str, str] = "run") -> pd.DataFrame:
    summary = summarise(found, protocol=protocol, scale=MOSI, resamples=20)
    return tidy(summary, data="d", model="m", seed=5, run=run).set_index(["axis", "condition", "metric"])


def test_auilc_is_the_area_over_the_rates_whatever_their_order() -> None:
    rates = {"rate=0.5": 0.5, "rate=0.0": 0.0, "rate=1.0": 1.0}
    found = table(predictions({"rate=0.5": 0.5, "rate=0.0": 0.1, "rate=1.0": 0.9}, rates=rates), "auilc")
    assert found.loc[("rate", "rate=0.5", "mae"), "value"] == pytest.approx(0.5)
    assert found.loc[("rate", "rate=0.5", "mae"), "rate"] == 0.5
    assert found.loc[("rate", "AUILC", "mae"), "value"] == pytest.approx(0.25 * 0.1 + 0.5 * 0.5 + 0.25 * 0.9)
    assert np.isnan(found.loc[("rate", "AUILC", "mae"), "rate"])
    assert found.loc[("rate", "AUILC", "corr"), "value"] == pytest.approx(1.0)
    assert set(found["n"]) == {3}
    assert found.loc[("rate", "AUILC/range", "mae"), "value"] == pytest.approx(
        found.loc[("rate", "AUILC", "mae"), "value"]
    )
    assert found.loc[("all", "mean", "mae"), "value"] == pytest.approx((0.1 + 0.5) / 2)  # rates up to 0.9


def test_the_area_of_a_constant_is_the_constant_times_the_range() -> None:
    rates = {f"rate={i / 10}": i / 10 for i in range(6)}
    found = table(predictions(dict.fromkeys(rates, 0.7), rates=rates), "auilc")
    assert found.loc[("rate", "AUILC", "mae"), "value"] == pytest.approx(0.7 * 0.5)


def test_other_protocols_have_means_over_all_conditions_and_over_each_axis() -> None:
    one = predictions({"a": 0.2, "b": 0.4}, "first")
    other = predictions({"c": 0.9}, "second")
    found = table(pd.concat([one, other], ignore_index=True), "blocks")
    assert found.loc[("all", "mean", "mae"), "value"] == pytest.approx(0.5)
    assert found.loc[("first", "mean", "mae"), "value"] == pytest.approx(0.3)
    assert found.loc[("second", "mean", "mae"), "value"] == pytest.approx(0.9)
    assert len(table(one, "combinations").loc[("all", "mean")]) == len(table(one, "combinations").loc[("first", "a")])


def test_an_undefined_correlation_counts_as_zero_in_sums_and_stays_undefined_where_it_is() -> None:
    flat = predictions({"a": 0.0}).assign(condition="flat", prediction=1.0)
    found = table(pd.concat([predictions({"a": 0.0}), flat], ignore_index=True), "mean")
    assert np.isnan(found.loc[("available", "flat", "corr"), "value"])
    assert found.loc[("all", "mean", "corr"), "value"] == pytest.approx(0.5)


def test_columns_and_what_a_protocol_is_summed_up_by() -> None:
    summary = summarise(predictions({"a": 1.0}), protocol="mean", scale=MOSI, resamples=20)
    found = tidy(summary, data="d", model="m", seed=5, run="first", training="per-rate")
    names = ["data", "model", "run", "training", "protocol", "axis", "condition", "rate", "seed", "metric", "value"]
    assert found.columns.tolist() == [*names, "low", "high", "n", "groups"]
    assert (found[["data", "model", "run", "training", "protocol", "seed", "groups"]] == [
        "d", "m", "first", "per-rate", "mean", 5, "clips",
    ]).all().all()  # fmt: skip
    assert headline_of("auilc") == ("AUILC", "rate")
    assert headline_of("blocks") == ("mean", "all")


def test_a_condition_names_its_run_and_a_sum_over_several_runs_none() -> None:
    found = table(predictions({"a": 0.1, "b": 0.3}), "mean", {"a": "first", "b": "second"})
    assert found.loc[("available", "b", "mae"), "run"] == "second"
    assert found.loc[("all", "mean", "mae"), "run"] == ""


def test_every_row_has_the_interval_of_its_value() -> None:
    errors = predictions({"a": 0.0}).assign(prediction=np.add(LABELS, [0.1, 0.2, 0.6]))
    found = table(errors, "mean")
    row, mean = found.loc[("available", "a", "mae")], found.loc[("all", "mean", "mae")]
    assert row["low"] < row["value"] < row["high"]
    assert (mean["low"], mean["high"]) == pytest.approx((row["low"], row["high"]))


def test_it_is_written_twice(tmp_path: Path) -> None:
    found = table(predictions({"a": 0.1, "b": 0.3}), "mean").reset_index()
    write_results(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), found)
    assert len(pd.read_csv(tmp_path / "results.csv")) == len(found)
