"""Pictures over the conditions of a protocol: one evaluation, several seeds, several models, what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mitr.errors import MitrError
from mitr.evaluation.metrics import metric
from mitr.report.figure import BLUE, DASHES, GREY, MARKERS, MODALITY_COLOURS, SERIES, corner, row_of
from mitr.report.wording import headline_keys


def robustness_curve(summary: Mapping[str, Any], path: Path | None = None) -> bytes:
    """MAE, Corr and Acc-2 (for classes accuracy, UA and F1) in each condition, with the bootstrap interval.

    Args:
        summary: the JSON of `Summary.to_json`, with at least two conditions.
        path: where to write the PNG as well.

    Returns:
        The PNG: curves over the rate, or dots where conditions have no number. An undefined value leaves a gap.

    Raises:
        MitrError: there are fewer than two conditions.
    """
    keys, places = _panels(summary), Places.of(summary)
    with row_of(len(keys), 3.3 + places.room, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = _titled(axis, places, key)
            entries = [entry["metrics"][key] for entry in summary["by_rate"]]
            value, low, high = (scale * _numbers(e[name] for e in entries) for name in ("value", "low", "high"))
            _banded(axis, places, value, low, high)
    return png()


def seeds_curve(aggregate: Mapping[str, Any], path: Path | None = None) -> bytes:
    """The same over seeds: mean ± standard deviation, a thin line (or a grey dot) a seed.

    Args:
        aggregate: the JSON of `aggregate`, with at least two conditions.
        path: where to write the PNG as well.

    Raises:
        MitrError: there are fewer than two conditions.
    """
    keys, places = _panels(aggregate), Places.of(aggregate)
    with row_of(len(keys), 3.3 + places.room, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = _titled(axis, places, key)
            entries = [entry["metrics"][key] for entry in aggregate["by_rate"]]
            mean, std = (scale * _numbers(e[name] for e in entries) for name in ("mean", "std"))
            one: dict[str, Any] = {"linewidth": 0.8} if places.names is None else {"linewidth": 0, "marker": "."}
            for index in range(len(aggregate["seeds"])):
                values = scale * _numbers(e["values"][index] for e in entries)
                axis.plot(places.at, values, color=GREY, alpha=0.8, **one)
            _banded(axis, places, mean, mean - std, mean + std)
    return png()


def observed_bars(summary: Mapping[str, Any], path: Path | None = None) -> bytes:
    """How much of each modality the model saw in each condition, as the mean share of a sample's steps.

    Args:
        summary: the JSON of `Summary.to_json` or `aggregate`.
        path: where to write the PNG as well.
    """
    rates, places = np.arange(len(summary["rates"])), Places.of(summary)
    with row_of(1, 2.6 + places.room, path, panel_width=10.2) as (axes, png):
        for index, (name, colour) in enumerate(MODALITY_COLOURS.items()):
            shares = 100 * _numbers(entry["observed"].get(name) for entry in summary["by_rate"])
            axes[0].bar(rates + (index - 1) * 0.26, shares, 0.24, color=colour, label=name)
        blind = 100 * _numbers(entry["all_missing"] for entry in summary["by_rate"])
        style = {"marker": "D", "markersize": 4.5, "linewidth": 0, "color": "#2B2F36", "zorder": 3}
        axes[0].plot(rates, blind, label="samples with nothing observed", **style)
        axes[0].set(title="What the model saw", xlabel=places.label, ylabel="%", ylim=(0, 104))
        if places.names is None:
            axes[0].set_xticks(rates, [f"{rate:.2g}" for rate in summary["rates"]])
        else:
            _write_names(axes[0], places.names)
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
    prefix, names = shortened(conditions["condition"].tolist())
    means = table.groupby(["metric", "model", "condition"], sort=False)["value"].mean()
    height = 3.6 + (0 if numbered else 0.7) + 0.21 * -(-len(models) // 4)
    with row_of(len(keys), height, path) as (axes, png):
        for axis, key in zip(axes, keys, strict=True):
            scale = _headed(axis, key)
            for index, model in enumerate(models):
                values = [scale * means.get((key, model, name), np.nan) for name in conditions["condition"]]
                style: dict[str, Any] = {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index // len(SERIES)]}
                dashes = DASHES[index // len(SERIES) % 3]
                style |= {"linestyle": dashes} if numbered else {"linewidth": 0, "alpha": 0.85}
                axis.plot(
                    places, values, label=model, markersize=4.5, **style | ({"linewidth": 1.5} if numbered else {})
                )
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


class Places(NamedTuple):
    """Where the conditions of a summary stand on an axis.

    Attributes:
        at: (K,) their numbers, or 0, 1 ….
        names: what is written there; None where numbers are drawn as a curve.
        label: of the axis.
    """

    at: np.ndarray
    names: list[str] | None
    label: str

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Places:
        """Numbers where all conditions are of one axis and have one, otherwise names."""
        entries = summary["by_rate"]
        axes = {entry.get("axis", "rate") for entry in entries}
        if len(axes) == 1 and all(entry["rate"] is not None for entry in entries):
            axis = axes.pop()
            return cls(np.array(summary["rates"], float), None, "missing rate" if axis == "rate" else axis)
        label, names = shortened([entry["condition"] for entry in entries])
        return cls(np.arange(len(entries), dtype=float), names, label)

    @property
    def room(self) -> float:
        """Inches that the names need below the axis."""
        return 0.0 if self.names is None else 0.9


def shortened(names: Sequence[str]) -> tuple[str, list[str]]:
    """What all names of conditions begin with, such as `available`, and the rest of each."""
    heads = {name.rpartition("=")[0] for name in names}
    prefix = heads.pop() if len(heads) == 1 else ""
    return prefix, [name.removeprefix(f"{prefix}=") for name in names]


def _panels(summary: Mapping[str, Any]) -> list[str]:
    if len(summary["rates"]) < 2:
        raise MitrError("a robustness curve needs at least two missing rates or conditions")
    return headline_keys(summary["by_rate"][0]["metrics"])


def _titled(axis: Any, places: Places, key: str) -> float:
    """Label the axes; gives the factor of `_headed`."""
    axis.set(xlabel=places.label)
    if places.names is None:
        axis.set_xlim(places.at.min() - 0.02, places.at.max() + 0.02)
    else:
        _write_names(axis, places.names)
    return _headed(axis, key)


def _headed(axis: Any, key: str) -> float:
    """Title and direction of a metric; gives the factor from the metric to what is drawn (shares in per cent)."""
    about = metric(key)
    axis.set(title=f"{about.label}{' (%)' if about.percent else ''}")
    corner(axis, "lower is better" if about.lower_is_better else "higher is better", GREY)
    return 100.0 if about.percent else 1.0


def _write_names(axis: Any, names: Sequence[str]) -> None:
    axis.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.tick_params(axis="x", labelsize=8 if len(names) < 15 else 5.5)


def _banded(axis: Any, places: Places, value: Any, low: Any, high: Any) -> None:
    """Values with their band: a curve, or dots with bars."""
    if places.names is None:
        axis.fill_between(places.at, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axis.plot(places.at, value, color=BLUE, marker="o", markersize=4.5)
    else:
        axis.vlines(places.at, low, high, color=BLUE, alpha=0.35, linewidth=3)
        axis.plot(places.at, value, color=BLUE, marker="o", markersize=4.5, linewidth=0)
    _mark_undefined(axis, places.at, value)


def _mark_undefined(axis: Any, rates: np.ndarray, values: Any) -> None:
    for rate in rates[np.isnan(values)]:
        floor = {"transform": axis.get_xaxis_transform(), "clip_on": False}
        axis.plot([rate], [0.03], "x", color=GREY, markersize=5, markeredgewidth=1.4, **floor)
    if np.isnan(values).any():
        axis.plot([], [], "x", color=GREY, markersize=5, markeredgewidth=1.4, label="undefined")
        axis.legend(loc="lower left", handletextpad=0.1)


def _numbers(values: Any) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
