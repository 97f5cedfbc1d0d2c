"""The tidy table, by numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from mitr.evaluation.results import by_label_bin, headline_of, tidy

LABELS = (-2.0, 1.0, 3.0)


def predictions(errors: dict[str, float], axis: str = "rate", rates: dict[str, float] | None = None) -> pd.DataFrame:
    """Three samples; under each condition every prediction is off by the same amount."""
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "condition": name,
            "axis": axis,
            "rate": (rates or {}).get(name, np.nan),
            "label": LABELS,
            "prediction": np.array(LABELS) + error,
        }
        for name, error in errors.items()
    ).explode(["id", "label", "prediction"], ignore_index=True)


def table(found: pd.DataFrame, protocol: str) -> pd.DataFrame:
    return tidy(
        found, data="d", model="m", protocol=protocol, training="one-model", seed=5, label_range=(-3, 3)
    ).set_index(["axis", "condition", "metric"])


def test_auilc_is_the_area_over_the_rates_whatever_their_order() -> None:
    rates = {"rate=0.5": 0.5, "rate=0.0": 0.0, "rate=1.0": 1.0}
    found = table(predictions({"rate=0.5": 0.5, "rate=0.0": 0.1, "rate=1.0": 0.9}, rates=rates), "auilc")
    assert found.loc[("rate", "rate=0.5", "mae"), "value"] == pytest.approx(0.5)
    assert found.loc[("rate", "rate=0.5", "mae"), "rate"] == 0.5
    assert found.loc[("rate", "AUILC", "mae"), "value"] == pytest.approx(0.25 * 0.1 + 0.5 * 0.5 + 0.25 * 0.9)
    assert np.isnan(found.loc[("rate", "AUILC", "mae"), "rate"])
    assert found.loc[("rate", "AUILC", "corr"), "value"] == pytest.approx(1.0)
    assert set(found["n"]) == {3}
    assert not any("mean" in index for index in found.index)


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
    assert np.isnan(found.loc[("rate", "flat", "corr"), "value"])
    assert found.loc[("all", "mean", "corr"), "value"] == pytest.approx(0.5)


def test_columns_and_what_a_protocol_is_summed_up_by() -> None:
    found = tidy(
        predictions({"a": 1.0}), data="d", model="m", protocol="mean", training="t", seed=5, label_range=(-3, 3)
    )
    names = ["data", "model", "protocol", "training", "axis", "condition", "rate", "seed", "metric", "value", "n"]
    assert found.columns.tolist() == names
    assert (found["seed"] == 5).all()
    assert headline_of("auilc") == ("AUILC", "rate")
    assert headline_of("blocks") == ("mean", "all")


class TestBins:
    def test_whole_numbers_on_a_wide_scale(self) -> None:
        found = pd.DataFrame({"id": list("abcd"), "label": [-2.6, -0.2, 0.4, 3.0], "prediction": [-2.0, 0.8, 0.0, 1.0]})
        bins = by_label_bin(found, (-3, 3))
        assert bins["bin"].tolist() == ["-3", "0", "3"]
        assert bins["n"].tolist() == [1, 2, 1]
        np.testing.assert_allclose(bins["mae"], [0.6, 0.7, 2.0])
        np.testing.assert_allclose(bins["bias"], [0.6, 0.3, -2.0])

    def test_fifths_of_a_narrow_scale(self) -> None:
        found = pd.DataFrame({"id": list("abcd"), "label": [-1.0, -0.61, 0.0, 1.0], "prediction": 0.0})
        bins = by_label_bin(found, (-1, 1))
        assert bins["centre"].tolist() == [-0.8, 0.0, 0.8]
        assert bins["n"].tolist() == [2, 1, 1]
        np.testing.assert_allclose(bins["mae"], [0.805, 0.0, 1.0])

    def test_a_sample_is_counted_once_over_conditions(self) -> None:
        found = predictions({"a": 0.5, "b": -0.1})
        bins = by_label_bin(found, (-3, 3))
        assert bins["n"].tolist() == [1, 1, 1]
        np.testing.assert_allclose(bins["mae"], 0.3)
        np.testing.assert_allclose(bins["bias"], 0.2)
