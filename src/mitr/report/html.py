"""Self-contained HTML pages of an evaluation: pictures as data URIs, nothing fetched, every text escaped."""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.evaluation.metrics import metric
from mitr.files import replacing
from mitr.missing.protocols import described
from mitr.report import curves, plots, wording
from mitr.report.figure import DPI

TEMPLATES = Path(__file__).parent / "templates"
Cell = Callable[[str, Mapping[str, Any]], tuple[str, str]]  # metric and its entry -> value and note


def write_evaluation_report(
    folder: Path,
    *,
    title: str,
    summary_json: dict[str, Any],
    predictions: pd.DataFrame,
    history: pd.DataFrame | None = None,
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    synthetic: bool = False,
    classes: Sequence[str] | None = None,
    intervals: Mapping[str, Any] | None = None,
    shapley: Mapping[str, Any] | None = None,
) -> Path:
    """Write `report.html` and `robustness.png`, `observed.png`, `predictions.png` and `training.png`.

    Pictures that do not apply (one missing rate; no history) are left out.

    Args:
        folder: where to write; made if it does not exist.
        title: heading of the page.
        summary_json: the JSON of `Summary.to_json`.
        predictions: the table it was made from.
        history: one row an epoch, as `mitr.report.plots.training_curves` describes it.
        facts: name -> value for "How this was made" (data and its SHA-256, model, seed, versions, command …).
        warnings: sentences to show above the results.
        synthetic: the data are made up; the page says so in its first line.
        classes: names of the classes, where labels are their indices.
        intervals: `level`, `clips` and per rate the `coverage` of the prediction intervals; None: there are none.
        shapley: what `mitr.evaluation.shapley.summary` says; None: nothing was explained.

    Returns:
        The path of `report.html`.

    Raises:
        MitrError: the summary or the table has nothing to show.
    """
    several = len(summary_json["rates"]) > 1
    if classes is None:
        drawn = plots.prediction_scatter(predictions, summary_json["label_range"])
    else:
        drawn = plots.confusion(predictions, len(classes))
    pictures = {"predictions": drawn}
    if several:
        pictures["robustness"] = curves.robustness_curve(summary_json)
        pictures["observed"] = curves.observed_bars(summary_json)
    if history is not None and len(history):
        pictures["training"] = plots.training_curves(history)
    page = _page(
        "report.html",
        title,
        summary_json,
        pictures,
        facts or {},
        warnings,
        synthetic,
        sentences=wording.headline(summary_json),
        tiles=_tiles(summary_json, _interval_cell),
        level=wording.per_cent(summary_json["level"]),
        resampled=wording.resampled(summary_json),
        pair_of=_interval_cell,
        over=_over_rates(summary_json, _interval_cell, _interval_areas),
        zeroed=wording.undefined_as_zero(summary_json),
        classes=", ".join(f"{index} {name}" for index, name in enumerate(classes or ())),
        intervals=intervals,
        shapley=shapley,
    )
    return _write(folder, page, pictures)


def write_robustness_report(
    folder: Path,
    *,
    title: str,
    aggregate_json: dict[str, Any],
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    synthetic: bool = False,
) -> Path:
    """Write `report.html` and its pictures for several seeds: mean ± standard deviation, and each seed.

    Args:
        folder: where to write; made if it does not exist.
        title: heading of the page.
        aggregate_json: the JSON of `mitr.evaluation.summary.aggregate`.
        facts: name -> value for "How this was made".
        warnings: sentences to show above the results.
        synthetic: the data are made up; the page says so in its first line.

    Returns:
        The path of `report.html`.
    """
    pictures = {}
    if len(aggregate_json["rates"]) > 1:
        pictures["robustness"] = curves.seeds_curve(aggregate_json)
        pictures["observed"] = curves.observed_bars(aggregate_json)
    page = _page(
        "robustness.html",
        title,
        aggregate_json,
        pictures,
        facts or {},
        warnings,
        synthetic,
        sentences=wording.headline_of_seeds(aggregate_json),
        tiles=_tiles(aggregate_json, _spread_cell),
        pair_of=_spread_cell,
        over=_over_rates(aggregate_json, _spread_cell, _spread_areas),
        zeroed=wording.undefined_as_zero(aggregate_json),
        per_seed=_per_seed(aggregate_json),
        per_seed_caption=_per_seed_caption(aggregate_json),
    )
    return _write(folder, page, pictures)


def _page(
    template: str,
    title: str,
    summary: dict[str, Any],
    pictures: dict[str, bytes],
    facts: Mapping[str, str],
    warnings: Sequence[str],
    synthetic: bool,
    **more: Any,
) -> str:
    letter, about = described(summary["protocol"])
    return render(
        template,
        list(summary["by_rate"][0]["metrics"]),
        pictures,
        title=title,
        summary=summary,
        family=summary["family"],
        tiles_caption=wording.under(summary["by_rate"][0]),
        facts=facts,
        warnings=warnings,
        synthetic=synthetic,
        letter=letter,
        about=about,
        on_rates=wording.on_rates(summary),
        averaged=wording.averaged_over(summary) if summary["mean"] else "",
        condition=wording.condition,
        labelled=wording.labelled(summary),
        units=wording.units(summary),
        prior=wording.answered_with_prior(summary),
        modalities=_modalities(summary),
        rates_span=wording.rates_span,
        **more,
    )


def render(template: str, keys: Sequence[str], pictures: Mapping[str, bytes], **more: Any) -> str:
    """A page from a template that extends page.html.

    Args:
        template: its name.
        keys: metrics that the page explains.
        pictures: PNGs by name.
        **more: what the template names.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    place = FileSystemLoader(TEMPLATES, encoding="utf-8")
    environment = Environment(
        loader=place, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "compact": wording.compact,
        "per_cent": wording.per_cent,
        "heading": wording.heading,
        "plain": wording.plain,
    }
    return environment.get_template(template).render(
        keys=keys,
        definitions={key: metric(key) for key in keys},
        pictures={name: _embedded(png) for name, png in pictures.items()},
        **more,
    )


def _write(folder: Path, page: str, pictures: dict[str, bytes]) -> Path:
    for name, png in pictures.items():
        with replacing(folder / f"{name}.png") as partial:
            partial.write_bytes(png)
    with replacing(folder / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _embedded(png: bytes) -> dict[str, Any]:
    """A data URI, and half the width of the PNG's header to show it at, since it has twice the dots."""
    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    return {"uri": uri, "width": int.from_bytes(png[16:20], "big") * 100 // DPI}


def _modalities(summary: dict[str, Any]) -> list[str]:
    """Those that any sample has; a modality that the data lack needs no column."""
    entries = summary["by_rate"]
    return [name for name in entries[0]["observed"] if any(entry["observed"][name] for entry in entries)]


def _tiles(summary: dict[str, Any], cell: Cell) -> list[dict[str, str]]:
    metrics = summary["by_rate"][0]["metrics"]
    tiles = []
    for key in wording.headline_keys(metrics):
        value, note = cell(key, metrics[key])
        tiles.append({"label": wording.heading(key), "value": value, "note": note})
    return tiles


def _interval_cell(key: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    return wording.amount(key, entry["value"]), wording.bounds(key, entry["low"], entry["high"])


def _spread_cell(key: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    return wording.amount(key, entry["mean"]), wording.spread(key, entry["std"])


def _interval_areas(area: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    divided = {name: area[f"divided_{name}"] for name in ("low", "high")}
    return area, divided | {"value": area["divided_by_range"]}


def _spread_areas(area: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return area["published"], area["divided_by_range"]


def _over_rates(summary: dict[str, Any], cell: Cell, parts: Callable[..., Any]) -> list[dict[str, Any]]:
    """Rows of the table over rates: metric, AUILC as published, divided by its range, and the mean."""
    areas, means = summary["auilc"] or {}, (summary["mean"] or {"metrics": {}})["metrics"]
    rows = []
    for key in areas or means:
        row: dict[str, Any] = {"key": key}
        if area := areas.get(key):
            row["published"], row["divided"] = (cell(key, part) for part in parts(area))
        if mean := means.get(key):
            row["mean"] = cell(key, mean)
        rows.append(row)
    return rows


def _per_seed(aggregate: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table by seed: means over rates where there are any, otherwise the first rate."""
    source = aggregate["mean"]["metrics"] if aggregate["mean"] else aggregate["by_rate"][0]["metrics"]
    return [
        {
            "seed": seed,
            "cells": [wording.amount(key, entry["values"][index]) for key, entry in source.items()],
        }
        for index, seed in enumerate(aggregate["seeds"])
    ]


def _per_seed_caption(aggregate: dict[str, Any]) -> str:
    if aggregate["mean"]:
        return f"Mean over {wording.averaged_over(aggregate)}."
    return f"{wording.under(aggregate['by_rate'][0])}."
