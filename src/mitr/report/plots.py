"""Pictures of an evaluation as PNG bytes: predictions against labels, confusion of classes, training.

Of users' texts only the names of models are drawn, as they are, without Matplotlib's mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mitr.errors import MitrError
from mitr.report.figure import BLUE, GREEN, GREY, ORANGE, SERIES, corner, row_of

MOST_WRITTEN = 10  # classes whose shares are written into the cells
_CHECKS = {"valid_mae": "Validation MAE", "valid_corr": "Validation Corr", "valid_f1": "Validation F1"}
_CHECKS |= {"valid_ua": "Validation UA", "valid_loss": "Validation loss"}


def prediction_scatter(
    predictions: pd.DataFrame,
    ends: Sequence[float],
    conditions: Sequence[str] | None = None,
    path: Path | None = None,
) -> bytes:
    """Prediction against label, one panel a condition; samples without any modality are hollow.

    Args:
        predictions: the predictions table (see `mitr.evaluation.summary.summarise`).
        ends: lowest and highest label.
        conditions: those of the panels; None: the missing rates nearest to 0, 0.5 and 0.9, or of conditions without a
            number the first, the middle and the last one.
        path: where to write the PNG as well.

    Raises:
        MitrError: the table is empty, or a condition is not in it.
    """
    shown = _shown(predictions, conditions)
    values = predictions[["label", "prediction"]].to_numpy(float)
    low, high = min(values.min(), ends[0]), max(values.max(), ends[1])
    left, right = min(values[:, 0].min(), ends[0]), max(values[:, 0].max(), ends[1])
    margin = 0.04 * (high - low)
    width = 3.4 if len(shown) > 1 else 4.6
    height = 0.8 + (width - 0.7) * min((high - low) / (right - left), 2)  # an equal scale on both axes fills this
    with row_of(len(shown), height, path, width) as (axes, png):
        for axis, (title, part) in zip(axes, shown.items(), strict=True):
            unseen = part["all_missing"].to_numpy(bool)
            axis.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
            axis.axhline(sum(ends) / 2, color="#C9CED6", linewidth=0.9, zorder=0.5)
            axis.axvline(sum(ends) / 2, color="#C9CED6", linewidth=0.9, zorder=0.5)
            size = float(np.clip(4000 / len(part), 6, 26))
            seen, blind = part[~unseen], part[unseen]
            axis.scatter(seen["label"], seen["prediction"], s=size, color=BLUE, alpha=0.45, linewidth=0)
            if len(blind):
                style = {"facecolors": "none", "edgecolors": ORANGE, "linewidth": 0.9, "alpha": 0.7}
                axis.scatter(blind["label"], blind["prediction"], s=size, label="nothing observed", **style)
                axis.legend(loc="upper left", handletextpad=0.2)
            axis.set(title=title, xlabel="label", ylabel="prediction", aspect="equal")
            axis.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + margin))
    return png()


def confusion(
    predictions: pd.DataFrame, classes: int, conditions: Sequence[str] | None = None, path: Path | None = None
) -> bytes:
    """How often each class (row) gets each answer (column), in per cent of the row, one panel a condition.

    Args:
        predictions: the predictions table; labels and predictions are indices of classes.
        classes: how many there are.
        conditions: those of the panels; None: as for `prediction_scatter`.
        path: where to write the PNG as well.

    Raises:
        MitrError: the table is empty, or a condition is not in it.
    """
    shown = _shown(predictions, conditions)
    with row_of(len(shown), 3.6, path) as (axes, png):
        for axis, (title, part) in zip(axes, shown.items(), strict=True):
            pairs = part["label"].to_numpy(int) * classes + part["prediction"].to_numpy(int)
            counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
            shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(1)
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
            for row, column in np.ndindex(classes, classes) if classes <= MOST_WRITTEN else ():
                colour = "white" if shares[row, column] > 60 else "#2B2F36"
                axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
            axis.set(title=title, xlabel="answer", ylabel="class")
            if classes <= MOST_WRITTEN:
                axis.set(xticks=range(classes), yticks=range(classes))
            axis.grid(visible=False)
    return png()


def training_curves(history: pd.DataFrame, path: Path | None = None) -> bytes:
    """Training losses and validation metrics against the epoch, with the chosen epoch marked.

    Args:
        history: one row an epoch: `epoch`, `train_total`, `train_<term>`…, `valid_loss`, `valid_mae`,
            `valid_corr`, `best` (bool); columns that are absent or empty are left out.
        path: where to write the PNG as well.

    Raises:
        MitrError: the history has no epochs or nothing to draw.
    """
    from matplotlib.ticker import MaxNLocator

    names = [str(column) for column in history if str(column).startswith(("train_", "valid_"))]
    curves = {name: pd.to_numeric(history[name], errors="coerce").to_numpy(float) for name in names}
    curves = {name: curve for name, curve in curves.items() if np.isfinite(curve).any()}
    terms = [name for name in curves if name.startswith("train_")]
    checks = [name for name in _CHECKS if name in curves][:2]
    if not terms + checks:
        raise MitrError("the training history is empty: there is nothing to draw")
    epochs = history["epoch"].to_numpy(int)
    best = epochs[history["best"].to_numpy(bool)] if "best" in history else epochs[:0]
    with row_of(bool(terms) + len(checks), 3.6, path) as (axes, png):
        rows = list(axes)
        if terms:
            axis = rows.pop(0)
            axis.set_title("Training loss and its terms" if len(terms) > 1 else "Training loss")
            others = [name for name in terms if name != "train_total"]
            for index, name in enumerate(others):
                label = name.removeprefix("train_").replace("_", " ")
                dashes = "-" if index < len(SERIES) else "--"  # colours repeat after seven terms
                colour = SERIES[index % len(SERIES)]
                axis.plot(epochs, curves[name], dashes, color=colour, linewidth=1.4, label=label)
            if "train_total" in terms:
                axis.plot(epochs, curves["train_total"], color="#000000", linewidth=2.2, label="total")
            if len(terms) > 1:
                axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.27), ncol=2, handlelength=1.4)
        for axis, name in zip(rows, checks, strict=True):
            marks = {"marker": "o", "markersize": 3.5} if len(epochs) < 40 else {}
            axis.plot(epochs, curves[name], color=BLUE, label=name, **marks)
            axis.set_title(_CHECKS[name])
        for axis in axes:
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
            if best.size:
                axis.axvline(best[-1], color=GREEN, linewidth=1.4, linestyle=(0, (4, 3)))
        if best.size:
            corner(axes[-1], f"chosen: epoch {best[-1]}", GREEN)
    return png()


def _shown(predictions: pd.DataFrame, conditions: Sequence[str] | None) -> dict[str, pd.DataFrame]:
    """Title of a panel -> its rows."""
    if predictions.empty:
        raise MitrError("the predictions table is empty: there is nothing to draw")
    table = predictions
    if "condition" not in table:
        table = table.assign(condition=[f"rate={rate}" for rate in table["rate"]], axis="rate")
    known = table.drop_duplicates("condition")
    rates = known.set_index("condition")["rate"].where(known["axis"].to_numpy() == "rate").astype(float)
    names = known["condition"].tolist()
    if conditions is None and rates.notna().all():
        conditions = [rates.index[np.abs(rates.to_numpy() - near).argmin()] for near in (0, 0.5, 0.9)]
    elif conditions is None:
        conditions = [names[i] for i in (0, len(names) // 2, -1)]
    if absent := [name for name in conditions if name not in names]:
        raise MitrError(f"the predictions table has no {absent[0]}; it has {', '.join(names)}")
    return {_title(name, rates[name]): table[table["condition"] == name] for name in dict.fromkeys(conditions)}


def _title(condition: str, rate: float) -> str:
    if np.isnan(rate):
        return condition
    return "Nothing removed" if rate == 0 else f"Missing rate {rate:.2g}"
