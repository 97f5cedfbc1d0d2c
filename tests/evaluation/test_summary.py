"""Summaries over rates and seeds, from made predictions with known answers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.evaluation.bootstrap import bootstrap
from mitr.evaluation.groups import groups_of
from mitr.evaluation.metrics import auilc, compute
from mitr.evaluation.summary import summarise, wide, write_by_rate

MOSI = Scale.of((-3, 3))


def table(rates: tuple[float, ...] = (0.0, 0.5, 1.0), n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Predictions that get worse with the rate and are one constant at rate 1."""
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(99).integers(-3, 4, n).astype(float)
    parts = []
    for rate in rates:
        noisy = truth * (1 - rate) + generator.normal(size=n) * (rate + 0.3)
        about = {"id": [f"v${i}" for i in range(n)], "rate": rate, "label": truth}
        about |= {"prediction": np.full(n, 0.2) if rate == 1 else noisy, "all_missing": rate == 1}
        parts.append(pd.DataFrame(about | {f"observed_{m}": 1 - rate for m in ("text", "audio", "vision")}))
    return pd.concat(parts, ignore_index=True)


def summary_json(seed: int = 0, **options) -> dict:
    return summarise(table(seed=seed), protocol="auilc", scale=MOSI, resamples=30, **options).to_json()


def test_values_and_form() -> None:
    predictions = table()
    summary = summarise(predictions, protocol="auilc", scale=MOSI, resamples=30)
    value = summary.to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert (value["protocol"], value["family"], value["n"], value["rates"]) == (
        "auilc",
        "mosi",
        60,
        [0.0, 0.5, 1.0],
    )
    for entry in value["by_rate"]:
        rows = predictions[predictions["rate"] == entry["rate"]]
        expected = compute(MOSI, rows["prediction"], rows["label"])
        assert {key: m["value"] for key, m in entry["metrics"].items()} == pytest.approx(expected)
        assert entry["observed"] == {m: pytest.approx(1 - entry["rate"]) for m in ("text", "audio", "vision")}
    assert [entry["all_missing"] for entry in value["by_rate"]] == [0.0, 0.0, 1.0]
    assert value["by_rate"][2]["metrics"]["corr"] == {"value": None, "low": None, "high": None}
    columns = ["condition", "axis", "rate", "metric", "value", "low", "high", "n", "all_missing"]
    assert list(summary.by_condition)[:9] == columns
    assert len(summary.by_condition) == 3 * 8


def test_area_is_published_and_divided_with_paired_intervals() -> None:
    predictions = table(rates=(0.0, 0.1, 0.5))
    value = summarise(predictions, protocol="auilc", scale=MOSI, resamples=40, seed=5).to_json()["auilc"]
    wide_form = predictions.pivot(index="id", columns="rate", values="prediction").loc[predictions["id"][:60]]
    truth = predictions["label"].to_numpy()[:60]
    draws = bootstrap(MOSI, wide_form.to_numpy().T, truth, groups_of(wide_form.index.tolist()), resamples=40, seed=5)[
        "mae"
    ]
    areas = [auilc([0.0, 0.1, 0.5], column) for column in draws.T]
    assert value["mae"]["low"] == pytest.approx(np.quantile(areas, 0.025))
    assert value["mae"]["high"] == pytest.approx(np.quantile(areas, 0.975))
    for plain, divided in (("value", "divided_by_range"), ("low", "divided_low"), ("high", "divided_high")):
        assert value["mae"][divided] == pytest.approx(value["mae"][plain] / 0.5)


def test_undefined_correlation_counts_as_zero_and_is_noted() -> None:
    value = summary_json()
    corr = [entry["metrics"]["corr"]["value"] for entry in value["by_rate"]]
    assert corr[2] is None
    assert value["auilc"]["corr"]["undefined_as_zero"] == [1.0]
    assert value["auilc"]["corr"]["value"] == pytest.approx(auilc([0, 0.5, 1], [corr[0], corr[1], 0]))
    assert "undefined_as_zero" not in value["auilc"]["mae"]
    assert "undefined_as_zero" not in value["mean"]["metrics"]["corr"]


def test_another_undefined_metric_has_no_area() -> None:
    predictions = table().assign(label=0.0)
    value = summarise(predictions, protocol="auilc", scale=MOSI, resamples=10).to_json()
    assert value["auilc"]["acc2_non0"]["value"] is None
    assert value["auilc"]["acc2_non0"]["low"] is None
    assert value["auilc"]["acc2_has0"]["value"] is not None
    assert value["mean"]["metrics"]["f1_non0"]["value"] is None


def test_mean_is_over_rates_up_to_point_nine() -> None:
    value = summary_json()
    assert value["mean"]["rates"] == [0.0, 0.5]
    at = [entry["metrics"]["acc7"]["value"] for entry in value["by_rate"]]
    assert value["mean"]["metrics"]["acc7"]["value"] == pytest.approx((at[0] + at[1]) / 2)
    rates = tuple(0.1 * i for i in range(11))  # 0.1 * 3 and 0.1 * 9 are not exact
    many = summarise(table(rates), protocol="auilc", scale=MOSI, resamples=5).to_json()
    assert many["rates"] == [round(0.1 * i, 1) for i in range(11)]
    assert len(many["mean"]["rates"]) == 10


def test_one_rate_has_neither_area_nor_mean() -> None:
    value = summarise(table((0.0,)), protocol="complete", scale=MOSI, resamples=5).to_json()
    assert value["auilc"] is None
    assert value["mean"] is None


def test_family_by_name_and_order_of_rows() -> None:
    predictions = table()
    shuffled = predictions.sample(frac=1, random_state=1)
    options = {"protocol": "auilc", "scale": MOSI, "resamples": 10}
    general = options | {"scale": MOSI.measured_as("general")}
    assert list(summarise(predictions, **general).to_json()["auilc"])[2] == "acc7"
    first = summarise(predictions, **options).to_json()
    again = summarise(shuffled, **options).to_json()
    point = [[m["value"] for m in e["metrics"].values()] for v in (first, again) for e in v["by_rate"]]
    for one, other in zip(point[:3], point[3:], strict=True):
        assert one == pytest.approx(other)


def test_csv(tmp_path: Path) -> None:
    summary = summarise(table(), protocol="auilc", scale=MOSI, resamples=10)
    write_by_rate(summary, tmp_path / "by_rate.csv")
    read = pd.read_csv(tmp_path / "by_rate.csv")
    assert list(read)[:9] == list(wide(summary))[:9]
    assert list(read)[6:9] == ["mae", "mae_low", "mae_high"]
    assert read["rate"].tolist() == [0.0, 0.5, 1.0]
    assert np.isnan(read["corr"][2])
    np.testing.assert_allclose(read["acc2_non0_high"], wide(summary)["acc2_non0_high"])
    assert [path.name for path in tmp_path.iterdir()] == ["by_rate.csv"]


def test_wrong_tables_are_refused() -> None:
    good = table(n=4)
    cases = {
        "no column rate": good.drop(columns="rate"),
        "empty": good.iloc[:0],
        "twice": pd.concat([good, good.iloc[:1]]),
        "different samples": good.iloc[1:],
        "outside": good.assign(rate=good["rate"] + 0.5),
        "labels at rate=0.5 differ": good.assign(label=np.where(good.index == 5, 9, good["label"])),
        "NaN": good.assign(prediction=np.nan),
    }
    for message, predictions in cases.items():
        with pytest.raises(MitrError, match=message):
            summarise(predictions, protocol="auilc", scale=MOSI)
