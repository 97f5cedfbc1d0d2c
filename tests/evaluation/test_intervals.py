"""What intervals of every kind do: cover, are cut to the scale, and are counted by condition."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from mitr.errors import MitrError
from mitr.evaluation.intervals import Intervals, coverage_by_rate, observed_sets


@dataclass(frozen=True)
class Fixed(Intervals):
    """Half widths that are given, and double where text is not complete."""

    half: float
    level: float = 0.9
    modalities: tuple[str, ...] = ("text",)
    clips: int = 9

    def half_width(self, observed: Mapping[str, np.ndarray] | pd.DataFrame) -> np.ndarray:
        return self.half * np.where(np.asarray(observed["observed_text"]) < 1, 2.0, 1.0)


def table(scores: list[float], text: float = 1.0, condition: str = "c", rate: float = np.nan) -> pd.DataFrame:
    """Predictions of 0 whose labels are the scores."""
    columns = {"id": [str(i) for i in range(len(scores))], "condition": condition, "rate": rate, "label": scores}
    return pd.DataFrame(columns | {"prediction": 0.0, "observed_text": text})


def test_by_condition() -> None:
    first = table([0, 1, 2, 3, 4, 5, 5, -5, -5, 6], condition="rate=0.1", rate=0.1)
    second = table([0, np.nan, 10, 11], 0.7, condition="available=text")
    result = coverage_by_rate(pd.concat([first, second], ignore_index=True), Fixed(5.0))
    assert list(result.columns) == ["condition", "rate", "n", "coverage", "width", "low", "high"]
    assert result["condition"].tolist() == ["rate=0.1", "available=text"]
    assert result["n"].tolist() == [10, 3]
    assert result["coverage"].tolist() == [0.9, pytest.approx(2 / 3)]
    assert result["width"].tolist() == [10.0, 20.0]
    assert result["rate"].isna().tolist() == [False, True]
    z, p, n = 1.959964, 0.9, 10  # Wilson's formula
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ends = (result["low"][0], result["high"][0])
    assert ends == pytest.approx(((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)), abs=1e-6)


def test_an_interval_is_cut_to_the_scale() -> None:
    rows = table([0, 0, 0]).assign(prediction=[0.5, 2.5, -4.5]).set_axis([7, 8, 9])
    result = Fixed(1.0).interval(rows, (-3.0, 3.0))
    assert result.index.tolist() == [7, 8, 9]
    assert result["low"].tolist() == [-0.5, 1.5, -3.0]
    assert result["high"].tolist() == [1.5, 3.0, -3.0]


def test_coverage_is_of_labelled_rows() -> None:
    rows = table([1.0, 2.0, 3.0, np.nan])
    assert Fixed(2.0).contains(rows.iloc[:3]).tolist() == [True, True, False]
    assert Fixed(2.0).coverage(rows) == 2 / 3
    assert np.isnan(Fixed(2.0).coverage(rows.iloc[3:]))


def test_names_of_what_is_observed() -> None:
    shares = np.array([[1.0, 0.2, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    assert observed_sets(shares, ("text", "audio", "vision")).tolist() == ["text+audio", "", "vision"]


def test_wrong_tables() -> None:
    with pytest.raises(MitrError, match="no column rate"):
        coverage_by_rate(table([1.0]).drop(columns="rate"), Fixed(1.0))
    with pytest.raises(MitrError, match="not finite"):
        Fixed(1.0).contains(table([np.inf]))
