"""Pictures over conditions: rates as curves, conditions without a number as dots, undefined values as gaps."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from mitr.errors import MitrError
from mitr.evaluation.over_seeds import aggregate
from mitr.report.curves import Places, models_over_conditions, observed_bars, robustness_curve, seeds_curve
from report.made import predictions, subsets, summary


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))[..., :3]


def test_undefined_values_leave_a_gap() -> None:
    value = summary()
    whole = pixels(robustness_curve(value))
    for entry in value["by_rate"]:
        entry["metrics"]["corr"] = {"value": None, "low": None, "high": None}
    assert np.any(whole != pixels(robustness_curve(value)))


def test_curves_need_two_rates() -> None:
    value = summary(predictions(rates=(0.0,)))
    with pytest.raises(MitrError, match="two missing rates"):
        robustness_curve(value)


def test_conditions_without_a_number_are_columns_of_dots() -> None:
    rows = [
        {"model": m, "condition": c, "rate": float("nan"), "metric": k, "value": 0.5}
        for m in ("a", "b")
        for c in ("text", "text+audio")
        for k in ("mae", "corr", "acc2_has0")
    ]
    assert models_over_conditions(pd.DataFrame(rows)).startswith(b"\x89PNG")
    with pytest.raises(MitrError, match="nothing to draw"):
        models_over_conditions(pd.DataFrame(rows)[:0])


def test_conditions_without_a_number_have_their_names_on_the_axis() -> None:
    value = summary(subsets())
    places = Places.of(value)
    assert (places.names, places.label) == (["text", "audio", "text+audio"], "available")
    assert Places.of(summary()).names is None
    several = aggregate([value | {"seed": 1}, summary(subsets(1)) | {"seed": 2}])
    for png in (robustness_curve(value), observed_bars(value), seeds_curve(several)):
        assert pixels(png).shape[1] > 1000
