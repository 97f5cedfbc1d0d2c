"""Several seeds as one summary."""

import json

import numpy as np
import pytest

from evaluation.test_summary import summary_json
from mitr.errors import MitrError
from mitr.evaluation.over_seeds import aggregate


def test_aggregate_over_seeds() -> None:
    values = [summary_json(seed) | {"seed": seed} for seed in (1, 2, 3)]
    result = aggregate(values)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["seeds"] == [1, 2, 3]
    mae = [value["by_rate"][1]["metrics"]["mae"]["value"] for value in values]
    expected = {"mean": np.mean(mae), "std": np.std(mae, ddof=1), "seeds": 3}
    got = dict(result["by_rate"][1]["metrics"]["mae"])
    assert got.pop("values") == mae
    assert got == pytest.approx(expected)
    assert result["by_rate"][2]["metrics"]["corr"] == {
        "mean": None,
        "std": None,
        "seeds": 0,
        "values": [None] * 3,
    }
    area = [value["auilc"]["mae"]["divided_by_range"] for value in values]
    assert result["auilc"]["mae"]["divided_by_range"]["mean"] == pytest.approx(np.mean(area))
    assert result["mean"]["rates"] == [0.0, 0.5]
    one = aggregate(values[:1])
    assert one["by_rate"][0]["metrics"]["mae"]["std"] is None
    assert one["mean"]["metrics"]["mae"]["std"] is None


def test_aggregate_refuses_what_does_not_belong_together() -> None:
    value = summary_json() | {"seed": 1}
    for others, message in (
        ([], "no summary"),
        ([value, value], "seed"),
        ([{k: v for k, v in value.items() if k != "seed"}], "seed"),
        ([value, value | {"seed": 2, "n": 61}], "different n"),
        ([value, value | {"seed": 2, "rates": [0.0]}], "different rates"),
    ):
        with pytest.raises(MitrError, match=message):
            aggregate(others)
