"""MAE and bias by label, by numbers worked out by hand."""

import numpy as np
import pandas as pd

from mitr.bench.bins import by_label_bin
from mitr.data.scale import Scale

MOSI, SIMS = Scale.of((-3, 3)), Scale.of((-1, 1))
LABELS = (-2.0, 1.0, 3.0)


def test_whole_numbers_on_a_wide_scale() -> None:
    found = pd.DataFrame({"id": list("abcd"), "label": [-2.6, -0.2, 0.4, 3.0], "prediction": [-2.0, 0.8, 0.0, 1.0]})
    bins = by_label_bin(found, MOSI)
    assert bins["bin"].tolist() == ["-3", "0", "3"]
    assert bins["n"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(bins["mae"], [0.6, 0.7, 2.0])
    np.testing.assert_allclose(bins["bias"], [0.6, 0.3, -2.0])


def test_fifths_of_a_narrow_scale() -> None:
    found = pd.DataFrame({"id": list("abcd"), "label": [-1.0, -0.61, 0.0, 1.0], "prediction": 0.0})
    bins = by_label_bin(found, SIMS)
    assert bins["centre"].tolist() == [-0.8, 0.0, 0.8]
    assert bins["n"].tolist() == [2, 1, 1]
    np.testing.assert_allclose(bins["mae"], [0.805, 0.0, 1.0])


def test_a_sample_is_counted_once_over_conditions() -> None:
    parts = [{"id": list("abc"), "label": LABELS, "prediction": np.array(LABELS) + off} for off in (0.5, -0.1)]
    found = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
    bins = by_label_bin(found, MOSI)
    assert bins["n"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(bins["mae"], 0.3)
    np.testing.assert_allclose(bins["bias"], 0.2)
