"""How far off predictions are by label: MAE and bias per bin of the scale."""

import numpy as np
import pandas as pd

from mitr.data.scale import Scale

WIDE_SCALE = 4  # from this width on, label bins are whole numbers
BINS = 5  # on a narrower scale


def by_label_bin(predictions: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """MAE and bias (prediction - label) per bin of the label, over all conditions together.

    Returns:
        `bin` (its name), `centre` (label units), `n` (samples), `mae`, `bias`; bins without samples are left out.
    """
    label = predictions["label"].to_numpy(float)
    if scale.width >= WIDE_SCALE:
        centre = np.clip(np.round(label), *scale.ends) + 0.0  # -0 is 0
    else:
        step = scale.width / BINS
        place = np.floor(np.round((label - scale.low) / step, 4))  # a label on an edge goes up, whatever its rounding
        centre = scale.low + step * (np.clip(place, 0, BINS - 1) + 0.5)
    error = predictions["prediction"].to_numpy(float) - label
    table = pd.DataFrame({"centre": centre.round(6), "id": predictions["id"], "error": error, "size": np.abs(error)})
    found = table.groupby("centre").agg(n=("id", "nunique"), mae=("size", "mean"), bias=("error", "mean"))
    found = found.reset_index()
    return found.assign(bin=[f"{c:g}" for c in found["centre"]])[["bin", "centre", "n", "mae", "bias"]]
