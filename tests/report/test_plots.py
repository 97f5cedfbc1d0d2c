"""Pictures are PNGs with something on them, and drawing leaves no trace."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from mitr.errors import MitrError
from mitr.report.curves import observed_bars, robustness_curve, seeds_curve
from mitr.report.plots import confusion, prediction_scatter, training_curves
from report.made import MOSI, history, of_classes, over_seeds, predictions, summary, summary_of_classes
from waiting import LONGEST

DRAWN = {
    "robustness": lambda path: robustness_curve(summary(), path),
    "seeds": lambda path: seeds_curve(over_seeds(), path),
    "one seed": lambda path: seeds_curve(over_seeds((1,)), path),
    "scatter": lambda path: prediction_scatter(predictions(), MOSI.ends, path=path),
    "classes": lambda path: robustness_curve(summary_of_classes(), path),
    "confusion": lambda path: confusion(of_classes(), 3, path=path),
    "many classes": lambda path: confusion(of_classes(), 40, path=path),
    "training": lambda path: training_curves(history(), path),
    "observed": lambda path: observed_bars(summary(), path),
}


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return imread(io.BytesIO(png))[..., :3]


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_written_and_not_blank(name: str, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    png = DRAWN[name](tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes() == png
    picture = pixels(png)
    assert picture.shape[1] > 1000  # twice the dots of the page
    coloured = np.ptp(picture, axis=-1) > 0.2
    assert coloured.sum() > 500
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_needed() -> None:
    code = (
        "import sys, pandas as pd\n"
        "from mitr.report.plots import training_curves\n"
        "training_curves(pd.DataFrame({'epoch': [1, 2], 'train_total': [2.0, 1.0]}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LONGEST)


def test_scatter_of_a_rate_that_is_not_there() -> None:
    with pytest.raises(MitrError, match=r"no rate=0\.3; it has rate=0\.0, rate=0\.5, rate=1\.0"):
        prediction_scatter(predictions(), MOSI.ends, ["rate=0.3"])
    with pytest.raises(MitrError, match="empty"):
        prediction_scatter(predictions().iloc[:0], MOSI.ends)


def test_confusion_shows_shares_of_each_class() -> None:
    table = of_classes()
    same = pixels(confusion(pd.concat([table, table]), 3))
    assert np.array_equal(pixels(confusion(table, 3)), same)
    assert np.any(pixels(confusion(table.assign(prediction=table["label"]), 3)) != same)
    with pytest.raises(MitrError, match="empty"):
        confusion(table.iloc[:0], 3)


def test_training_without_some_columns() -> None:
    pixels(training_curves(history()[["epoch", "train_total"]]))
    pixels(training_curves(history(60)[["epoch", "valid_mae", "best"]]))
    with pytest.raises(MitrError, match="history"):
        training_curves(history()[["epoch", "seconds"]])
    with pytest.raises(MitrError, match="history"):
        training_curves(history(0))
