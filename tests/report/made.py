"""Small made-up evaluations for the tests of pictures and pages."""

from typing import Any

import numpy as np
import pandas as pd

from mitr.data.scale import Scale
from mitr.evaluation.over_seeds import aggregate
from mitr.evaluation.summary import summarise

MOSI = Scale.of((-3, 3))


def predictions(rates: tuple[float, ...] = (0.0, 0.5, 1.0), n: int = 40, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(9).integers(-3, 4, n).astype(float)
    parts = []
    for rate in rates:
        blind = np.full(n, rate == 1)
        guess = np.where(blind, 0.2, truth * (1 - rate / 2) + generator.normal(size=n))
        columns = {"id": [f"clip{i}" for i in range(n)], "rate": rate, "label": truth, "prediction": guess}
        columns |= {
            "all_missing": blind,
            "observed_text": 1 - rate,
            "observed_audio": 1 - rate,
            "observed_vision": 0.0,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def subsets(seed: int = 0) -> pd.DataFrame:
    """Predictions with only some modalities, conditions that have no number."""
    parts = []
    for name, rate in (("text", 0.2), ("audio", 0.6), ("text+audio", 0.0)):
        shown = {"condition": f"available={name}", "axis": "available", "rate": np.nan, "observed_vision": 0.0}
        shown |= {f"observed_{m}": float(m in name) for m in ("text", "audio")}
        parts.append(predictions((rate,), seed=seed).assign(**shown))
    return pd.concat(parts, ignore_index=True)


def summary(table: pd.DataFrame | None = None) -> dict[str, Any]:
    table = predictions() if table is None else table
    protocol = "auilc" if table["rate"].nunique() > 1 else "combinations" if "axis" in table else "complete"
    return summarise(table, protocol=protocol, scale=MOSI, resamples=20).to_json()


def of_classes(names: tuple[str, ...] = ("angry", "calm", "sad")) -> pd.DataFrame:
    table = predictions()
    table["label"] = table["label"] % len(names)
    table["prediction"] = np.where(table["rate"] == 1, 1, table["label"] * (table.index % 3 > 0))
    return table


def summary_of_classes(classes: int = 3) -> dict[str, Any]:
    scale = Scale.of((0, classes - 1), [f"class {i}" for i in range(classes)])
    return summarise(of_classes(), protocol="auilc", scale=scale, resamples=20).to_json()


def over_seeds(seeds: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:
    return aggregate([summary(predictions(seed=seed)) | {"seed": seed} for seed in seeds])


def history(epochs: int = 4) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    columns = {"epoch": epoch, "seconds": 1.5, "train_total": 3.0 / epoch, "train_task_student": 1.0 / epoch}
    columns |= {
        "train_simsiam": -0.1 * epoch,
        "valid_loss": 1.0,
        "valid_mae": 1 + 1 / epoch,
        "valid_corr": np.nan,
    }
    return pd.DataFrame(columns | {"best": epoch == epochs})
