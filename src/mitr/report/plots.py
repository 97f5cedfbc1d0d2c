"""Pictures of an evaluation as PNG bytes: Matplotlib's object interface on the Agg canvas, without pyplot.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart. Of users' texts only the
names of models are drawn, as they are, without Matplotlib's mathematics.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mitr.errors import MitrError
from mitr.evaluation.metrics import metric
from mitr.files import replacing
from mitr.report.wording import headline_keys

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
SERIES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#8A8F98")
MODALITY_COLOURS = {"text": BLUE, "audio": ORANGE, "vision": GREEN}
MARKERS, DASHES = "os^Dv", ("-", (0, (4, 2)), (0, (1, 1.5)))
DPI = 200  # twice the size at which the page shows the picture
MOST_WRITTEN = 10  # classes whose shares are written into the cells
_CHECKS = {"valid_mae": "Validation MAE", "valid_corr": "Validation Corr", "valid_f1": "Validation F1"}
_CHECKS |= {"valid_ua": "Validation UA", "valid_loss": "Validation loss"}
Drawing = tuple[list[Any], Callable[[], bytes]]
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#5B616B",
    "axes.labelcolor": "#2B2F36",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": "#5B616B",
    "ytick.color": "#5B616B",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
    "text.usetex": False,
    "svg.hashsalt": "mitr",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


def robustness_curve(summary: dict[str, Any], path: Path | None = None) -> bytes:
    """MAE, Corr and Acc-2 (for classes accuracy, UA and F1) against the missing rate, with the bootstrap interval.

    Args:
        summary: the JSON of `Summary.to_json`, with at least two rates.
        path: where to write the PNG as well.

    Returns:
        The PNG. An undefined value leaves a gap.

    Raises:
        MitrError: there are fewer than two rates.
    """
    keys = _panels(summary)
    with row_of(len(keys), 3.3, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = _rate_axis(axis, summary["rates"], key)
            entries = [entry["metrics"][key] for entry in summary["by_rate"]]
            value, low, high = (scale * _numbers(e[name] for e in entries) for name in ("value", "low", "high"))
            axis.fill_between(summary["rates"], low, high, color=BLUE, alpha=0.18, linewidth=0)
            axis.plot(summary["rates"], value, color=BLUE, marker="o", markersize=4.5)
            _mark_undefined(axis, summary["rates"], value)
    return png()


def seeds_curve(aggregate: dict[str, Any], path: Path | None = None) -> bytes:
    """The same against the missing rate over seeds: mean ± standard deviation, a thin line a seed.

    Args:
        aggregate: the JSON of `aggregate`, with at least two rates.
        path: where to write the PNG as well.

    Raises:
        MitrError: there are fewer than two rates.
    """
    keys = _panels(aggregate)
    with row_of(len(keys), 3.3, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = _rate_axis(axis, aggregate["rates"], key)
            entries = [entry["metrics"][key] for entry in aggregate["by_rate"]]
            mean, std = (scale * _numbers(e[name] for e in entries) for name in ("mean", "std"))
            for index in range(len(aggregate["seeds"])):
                one = scale * _numbers(e["values"][index] for e in entries)
                axis.plot(aggregate["rates"], one, color=GREY, linewidth=0.8, alpha=0.8)
            axis.fill_between(aggregate["rates"], mean - std, mean + std, color=BLUE, alpha=0.18, linewidth=0)
            axis.plot(aggregate["rates"], mean, color=BLUE, marker="o", markersize=4.5)
            _mark_undefined(axis, aggregate["rates"], mean)
    return png()


def prediction_scatter(
    predictions: pd.DataFrame,
    label_range: Sequence[float],
    rates: Sequence[float] | None = None,
    path: Path | None = None,
) -> bytes:
    """Prediction against label, one panel a rate; samples without any modality are hollow.

    Args:
        predictions: the predictions table (see `mitr.evaluation.summary.summarise`).
        label_range: lowest and highest label.
        rates: rates of the panels; None takes those nearest to 0, 0.5 and 0.9.
        path: where to write the PNG as well.

    Raises:
        MitrError: the table is empty, or a rate is not in it.
    """
    rates = _shown_rates(predictions, rates)
    values = predictions[["label", "prediction"]].to_numpy(float)
    low, high = min(values.min(), label_range[0]), max(values.max(), label_range[1])
    left, right = min(values[:, 0].min(), label_range[0]), max(values[:, 0].max(), label_range[1])
    margin = 0.04 * (high - low)
    width = 3.4 if len(rates) > 1 else 4.6
    height = 0.8 + (width - 0.7) * min((high - low) / (right - left), 2)  # an equal scale on both axes fills this
    with row_of(len(rates), height, path, width) as (axes, png):
        for axis, rate in zip(axes, rates, strict=True):
            part = _at_rate(predictions, rate)
            unseen = part["all_missing"].to_numpy(bool)
            axis.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
            axis.axhline(sum(label_range) / 2, color="#C9CED6", linewidth=0.9, zorder=0.5)
            axis.axvline(sum(label_range) / 2, color="#C9CED6", linewidth=0.9, zorder=0.5)
            size = float(np.clip(4000 / len(part), 6, 26))
            seen, blind = part[~unseen], part[unseen]
            axis.scatter(seen["label"], seen["prediction"], s=size, color=BLUE, alpha=0.45, linewidth=0)
            if len(blind):
                style = {"facecolors": "none", "edgecolors": ORANGE, "linewidth": 0.9, "alpha": 0.7}
                axis.scatter(blind["label"], blind["prediction"], s=size, label="nothing observed", **style)
                axis.legend(loc="upper left", handletextpad=0.2)
            title = "Nothing removed" if rate == 0 else f"Missing rate {rate:.2g}"
            axis.set(title=title, xlabel="label", ylabel="prediction", aspect="equal")
            axis.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + margin))
    return png()


def confusion(
    predictions: pd.DataFrame, classes: int, rates: Sequence[float] | None = None, path: Path | None = None
) -> bytes:
    """How often each class (row) gets each answer (column), in per cent of the row, one panel a rate.

    Args:
        predictions: the predictions table; labels and predictions are indices of classes.
        classes: how many there are.
        rates: rates of the panels; None takes those nearest to 0, 0.5 and 0.9.
        path: where to write the PNG as well.

    Raises:
        MitrError: the table is empty, or a rate is not in it.
    """
    rates = _shown_rates(predictions, rates)
    with row_of(len(rates), 3.6, path) as (axes, png):
        for axis, rate in zip(axes, rates, strict=True):
            part = _at_rate(predictions, rate)
            pairs = part["label"].to_numpy(int) * classes + part["prediction"].to_numpy(int)
            counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
            shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(1)
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
            for row, column in np.ndindex(classes, classes) if classes <= MOST_WRITTEN else ():
                colour = "white" if shares[row, column] > 60 else "#2B2F36"
                axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
            title = "Nothing removed" if rate == 0 else f"Missing rate {rate:.2g}"
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
            _corner(axes[-1], f"chosen: epoch {best[-1]}", GREEN)
    return png()


def observed_bars(summary: dict[str, Any], path: Path | None = None) -> bytes:
    """How much of each modality the model saw at each rate, as the mean share of a sample's steps.

    Args:
        summary: the JSON of `Summary.to_json` or `aggregate`.
        path: where to write the PNG as well.
    """
    rates = np.arange(len(summary["rates"]))
    with row_of(1, 2.6, path, panel_width=10.2) as (axes, png):
        for index, (name, colour) in enumerate(MODALITY_COLOURS.items()):
            shares = 100 * _numbers(entry["observed"].get(name) for entry in summary["by_rate"])
            axes[0].bar(rates + (index - 1) * 0.26, shares, 0.24, color=colour, label=name)
        blind = 100 * _numbers(entry["all_missing"] for entry in summary["by_rate"])
        style = {"marker": "D", "markersize": 4.5, "linewidth": 0, "color": "#2B2F36", "zorder": 3}
        axes[0].plot(rates, blind, label="samples with nothing observed", **style)
        axes[0].set(title="What the model saw", xlabel="missing rate", ylabel="%", ylim=(0, 104))
        axes[0].set_xticks(rates, [f"{rate:.2g}" for rate in summary["rates"]])
        axes[0].grid(visible=False, axis="x")
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=4, handlelength=1, columnspacing=1.2)
    return png()


def models_over_conditions(table: pd.DataFrame, path: Path | None = None) -> bytes:
    """MAE, Corr and Acc-2 of several models along one axis of a protocol, each the mean over its runs.

    Args:
        table: rows of a benchmark's tidy table, all of one axis: `model, condition, rate, metric, value`.
        path: where to write the picture as well; an SVG if it ends in .svg.

    Returns:
        The PNG: curves over the rate, or one column of dots a condition where conditions have no number.

    Raises:
        MitrError: the table is empty.
    """
    if table.empty:
        raise MitrError("the table of results is empty: there is nothing to draw")
    keys = headline_keys(dict.fromkeys(table["metric"]))
    models = list(dict.fromkeys(table["model"]))
    conditions = table.drop_duplicates("condition")[["condition", "rate"]]
    numbered = bool(conditions["rate"].notna().all()) and conditions["rate"].is_unique
    places = conditions["rate"].to_numpy(float) if numbered else np.arange(len(conditions), dtype=float)
    heads = {name.rpartition("=")[0] for name in conditions["condition"]}
    prefix = heads.pop() if len(heads) == 1 else ""  # what all names begin with, such as available=, names the axis
    names = [name.removeprefix(f"{prefix}=") for name in conditions["condition"]]
    means = table.groupby(["metric", "model", "condition"], sort=False)["value"].mean()
    height = 3.6 + (0 if numbered else 0.7) + 0.21 * -(-len(models) // 4)
    with row_of(len(keys), height, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = 100.0 if metric(key).percent else 1.0
            for index, model in enumerate(models):
                values = [scale * means.get((key, model, name), np.nan) for name in conditions["condition"]]
                style: dict[str, Any] = {"color": SERIES[index % len(SERIES)], "marker": "os^Dv"[index // len(SERIES)]}
                dashes = ("-", (0, (4, 2)), (0, (1, 1.5)))[index // len(SERIES) % 3]
                style |= {"linestyle": dashes} if numbered else {"linewidth": 0, "alpha": 0.85}
                axis.plot(
                    places, values, label=model, markersize=4.5, **style | ({"linewidth": 1.5} if numbered else {})
                )
            about = metric(key)
            axis.set(title=f"{about.label}{' (%)' if about.percent else ''}")
            _corner(axis, "lower is better" if about.lower_is_better else "higher is better", GREY)
            if numbered:
                axis.set(xlabel="rate")
            else:
                axis.set_xticks(places, names, rotation=55, ha="right", rotation_mode="anchor")
                axis.set_xlabel(prefix)
                axis.set_xlim(-0.5, len(places) - 0.5)
            axis.tick_params(labelsize=9)
        lines, labels = axes[0].get_legend_handles_labels()
        legend = axes[0].figure.legend(
            lines, labels, loc="outside lower center", ncol=min(len(models), 6), handlelength=2.2
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return png()


def _shown_rates(predictions: pd.DataFrame, rates: Sequence[float] | None) -> Sequence[float]:
    if predictions.empty:
        raise MitrError("the predictions table is empty: there is nothing to draw")
    there = np.array(sorted(predictions["rate"].unique()), dtype=float)
    return rates or sorted({float(there[np.abs(there - near).argmin()]) for near in (0, 0.5, 0.9)})


def _at_rate(predictions: pd.DataFrame, rate: float) -> pd.DataFrame:
    there = predictions["rate"].to_numpy(float)
    part = predictions[np.isclose(there, rate, atol=1e-6)]
    if part.empty:
        raise MitrError(f"the predictions table has no rate {rate:g}; it has {sorted(set(there.tolist()))}")
    return part


def row_of(panels: int, height: float, path: Path | None, panel_width: float = 3.4) -> AbstractContextManager[Drawing]:
    """A row of axes to draw on, and a function that gives their PNG after the block; a path to .svg gets an SVG."""
    return drawing((panel_width * panels, height), path, nrows=1, ncols=panels)


def column_of(heights: Sequence[float], width: float, path: Path | None) -> AbstractContextManager[Drawing]:
    """The same for axes one above the other, with these heights in inches."""
    return drawing((width, sum(heights)), path, nrows=len(heights), ncols=1, height_ratios=heights)


@contextmanager
def drawing(size: tuple[float, float], path: Path | None, **subplots: Any) -> Iterator[Drawing]:
    """The same for any arrangement of Matplotlib's `subplots`."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(squeeze=False, **subplots).ravel()
        yield list(axes), drawn.getvalue
        FigureCanvasAgg(figure).print_figure(drawn, dpi=DPI, format="png")
        if path is not None and path.suffix == ".svg":
            with replacing(path) as partial:
                figure.savefig(partial, format="svg", metadata={"Date": None})
        elif path is not None:
            with replacing(path) as partial:
                partial.write_bytes(drawn.getvalue())


def _panels(summary: dict[str, Any]) -> list[str]:
    if len(summary["rates"]) < 2:
        raise MitrError("a robustness curve needs at least two missing rates")
    return headline_keys(summary["by_rate"][0]["metrics"])


def _rate_axis(axis: Any, rates: Sequence[float], key: str) -> float:
    """Label the axes; gives the factor from the metric to what is drawn (shares in per cent)."""
    about = metric(key)
    better = "lower is better" if about.lower_is_better else "higher is better"
    axis.set(title=f"{about.label}{' (%)' if about.percent else ''}", xlabel="missing rate")
    _corner(axis, better, GREY)
    axis.set_xlim(min(rates) - 0.02, max(rates) + 0.02)
    return 100.0 if about.percent else 1.0


def _mark_undefined(axis: Any, rates: Sequence[float], values: Any) -> None:
    for rate in np.array(rates)[np.isnan(values)]:
        floor = {"transform": axis.get_xaxis_transform(), "clip_on": False}
        axis.plot([rate], [0.03], "x", color=GREY, markersize=5, markeredgewidth=1.4, **floor)
    if np.isnan(values).any():
        axis.plot([], [], "x", color=GREY, markersize=5, markeredgewidth=1.4, label="undefined")
        axis.legend(loc="lower left", handletextpad=0.1)


def _corner(axis: Any, text: str, colour: str) -> None:
    axis.annotate(text, (1, 1), (0, 5), "axes fraction", "offset points", ha="right", fontsize=8.5, color=colour)


def _numbers(values: Any) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
