"""The sections of a report on one model: one run with bootstrap intervals, or several seeds with their spread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from mitr.missing.protocols import described
from mitr.report import curves, plots, wording
from mitr.report.page import Block, Figure, Paragraph, Section, Tiles
from mitr.report.tables import Table

Entry = Mapping[str, Any]
AREA_ABOUT = (
    "AUILC is the area under a metric's curve over the missing rates, Σ (xᵢ + xᵢ₊₁)/2 · (rᵢ₊₁ − rᵢ), here over "
    "rates {}. Published values are not divided by the range of rates, so areas over different ranges do not compare; "
    "divided by it, an area reads as a mean on the metric's own scale."
)
ABOVE = "The mean over {} rates leaves out rates above 0.9, where little or nothing is left to see."


class Style(NamedTuple):
    """How the numbers of a summary are written.

    Attributes:
        cell: metric and its entry -> value and note.
        areas: an entry of AUILC -> the entries of the area as published, and divided by the range of rates.
        undefined: the note of a tile without one.
        each: caption of the table of conditions, units left out.
        over: caption of the table over conditions.
    """

    cell: Callable[[str, Entry], tuple[str, str]]
    areas: Callable[[Entry], tuple[Entry, Entry]]
    undefined: str
    each: str
    over: str


def run_sections(
    summary: Entry,
    predictions: pd.DataFrame,
    *,
    history: pd.DataFrame | None = None,
    classes: Sequence[str] | None = None,
    intervals: Entry | None = None,
    shapley: Entry | None = None,
) -> list[Section]:
    """One run on one test set.

    Args:
        summary: the JSON of `Summary.to_json`.
        predictions: the table it was made from.
        history: one row an epoch, as `mitr.report.plots.training_curves` describes it.
        classes: names of the classes, where labels are their indices.
        intervals: `level`, `clips` and per condition the `coverage` of the prediction intervals; None: there are none.
        shapley: what `mitr.evaluation.shapley.summary` returns; None: nothing was explained.
    """
    level, groups = wording.per_cent(summary["level"]), wording.resampled(summary)
    style = Style(
        _interval_cell,
        _interval_areas,
        "interval undefined",
        f"Below each value its {level} bootstrap interval over {groups}.",
        f"Intervals come from resamples of the {groups} that are the same in every condition.",
    )
    curve = f"the band is the {level} bootstrap interval over {groups}"
    drawn = (curves.robustness_curve, curve)
    sections = _conditions(summary, style, wording.headline(summary), drawn)
    sections.append(Section("Prediction and label", [_against_label(summary, predictions, classes)]))
    if intervals is not None:
        sections.append(_coverage(summary, intervals))
    if shapley is not None:
        sections.append(_shapley(shapley, classes is not None))
    if history is not None and len(history):
        caption = (
            "The dashed green line marks the epoch whose weights were kept; it was chosen on the validation split."
        )
        alt = "Training loss and validation metrics against the epoch"
        sections.append(Section("Training", [Figure("training", plots.training_curves(history), alt, caption)]))
    return sections


def seeds_sections(aggregate: Entry) -> list[Section]:
    """Several training seeds of one model: mean ± standard deviation, and each seed.

    Args:
        aggregate: the JSON of `mitr.evaluation.over_seeds.aggregate`.
    """
    several = len(aggregate["seeds"]) > 1
    spread = "Mean over seeds, below it the standard deviation." if several else "One seed, so no spread."
    style = Style(_spread_cell, _spread_areas, "one seed, no spread", spread, spread)
    curve = (
        "the mean over seeds, ± one standard deviation as a band, one thin line or grey dot a seed" if several else ""
    )
    sections = _conditions(aggregate, style, wording.headline_of_seeds(aggregate), (curves.seeds_curve, curve))
    return [*sections, Section("Each seed", [_per_seed(aggregate)])]


def run_method(summary: Entry) -> str:
    """How the intervals of one run came about."""
    level, number, groups = wording.per_cent(summary["level"]), summary["resamples"], wording.resampled(summary)
    said = f"Intervals are {level} percentile bootstrap intervals from {number} resamples of the {groups} of the test "
    said += "samples"
    if summary["groups"]["unit"] == "videos":
        said += ": the clips of a video, which share a speaker, are drawn together"
    said += ". They show what another test set of this kind might give; they do not show how much another training "
    return said + "seed would change."


def seeds_method(aggregate: Entry) -> str:
    """How the spread over seeds came about; empty for one seed."""
    seeds = len(aggregate["seeds"])
    if seeds < 2:
        return ""
    return (
        f"Mean and standard deviation (n − 1) over {seeds} training seeds on the same test samples; the spread shows "
        "training alone, not the choice of test samples."
    )


def subtitle(summary: Entry) -> str:
    """How many samples, what labels, which protocol."""
    letter = described(summary["protocol"])[0]
    protocol = f"protocol {letter}, {summary['protocol']}"
    return " · ".join([f"{summary['n']} test samples", wording.labelled(summary), protocol])


def _conditions(
    summary: Entry, style: Style, sentences: Sequence[str], drawn: tuple[Callable[[Entry], bytes], str]
) -> list[Section]:
    """What is said of every summary: tiles, curves, each condition, and over conditions."""
    several, on_rates = len(summary["rates"]) > 1, wording.on_rates(summary)
    first, prior = summary["by_rate"][0], wording.answered_with_prior(summary)
    tiles = []
    for key in wording.headline_keys(first["metrics"]):
        value, note = style.cell(key, first["metrics"][key])
        tiles.append((wording.heading(key), value, note or style.undefined))
    lead: list[Block] = [Paragraph(described(summary["protocol"])[1], soft=True), Tiles(wording.under(first), tiles)]
    lead.append(Paragraph(" ".join([*sentences, *([prior] if prior else [])])))
    sections = [Section("", lead)]
    if several:
        curve, band = drawn
        where = "against the missing rate" if on_rates else "in each condition"
        caption = f"Each metric {where}{'; ' + band if band else ''}. The vertical axes do not start at 0."
        figures = [Figure("robustness", curve(summary), f"Metrics {where}", caption)]
        alt = "Share of each modality's steps that the model saw in each condition"
        about = "Mean share of a sample's steps that the model saw. "
        about += "Diamonds: samples that lost everything and get the prior."
        figures.append(Figure("observed", curves.observed_bars(summary), alt, about))
        sections.append(Section("Robustness to missing data", figures))
    name = ("Every missing rate" if on_rates else "Every condition") if several else "All metrics"
    sections.append(Section(name, [_each(summary, style, details=several or bool(prior))]))
    if over := _over(summary, style):
        sections.append(Section("Over all missing rates" if on_rates else "Over all conditions", over))
    return sections


def _each(summary: Entry, style: Style, details: bool) -> Table:
    entries, keys = summary["by_rate"], list(summary["by_rate"][0]["metrics"])
    modalities = [m for m in entries[0]["observed"] if any(entry["observed"][m] for entry in entries)]
    head = ["Missing rate" if wording.on_rates(summary) else "Condition"]
    head += [f"Observed % {' / '.join(modalities)}", "Nothing observed"] if details else []
    rows = []
    for entry in entries:
        row = [(wording.condition(entry), "")]
        if details:
            shares = " / ".join(f"{100 * (entry['observed'][m] or 0):.0f}" for m in modalities)
            row += [(shares, ""), (wording.per_cent(entry["all_missing"]), "")]
        rows.append(row + [style.cell(key, entry["metrics"][key]) for key in keys])
    return Table(f"{style.each} {wording.units(summary)}", [*head, *map(wording.heading, keys)], rows)


def _over(summary: Entry, style: Style) -> list[Block]:
    """AUILC as published, divided by its range, and the mean, a row a metric."""
    areas, means = summary["auilc"] or {}, (summary["mean"] or {"metrics": {}})["metrics"]
    if not (areas or means):
        return []
    head = ["Metric", *(["AUILC, as published", "AUILC ÷ range"] if areas else [])]
    head += [f"Mean over {wording.averaged_over(summary)}"] if means else []
    rows = []
    for key in areas or means:
        row = [(wording.heading(key), "")]
        row += [style.cell(key, area) for area in style.areas(areas[key])] if areas else []
        rows.append(row + ([style.cell(key, means[key])] if means else []))
    said = [AREA_ABOUT.format(wording.rates_span(summary["rates"]))] if areas else []
    said += [ABOVE.format(len(summary["mean"]["rates"]))] if means and wording.on_rates(summary) else []
    said += [zeroed] if (zeroed := wording.undefined_as_zero(summary)) else []
    return [Table(style.over, head, rows), *([Paragraph(" ".join(said))] if said else [])]


def _against_label(summary: Entry, predictions: pd.DataFrame, classes: Sequence[str] | None) -> Figure:
    if classes is not None:
        names = ", ".join(f"{index} {name}" for index, name in enumerate(classes))
        about = f"How often each class gets each answer, in per cent of the class: {names}."
        return Figure(
            "predictions", plots.confusion(predictions, len(classes)), "Shares of answers for each class", about
        )
    hollow = " Hollow: nothing was observed, and the answer is the prior."
    about = "One dot a test sample; on the dashed line the prediction is right."
    about += hollow if wording.answered_with_prior(summary) else ""
    png = plots.prediction_scatter(predictions, summary["label_range"])
    return Figure("predictions", png, "Scatter of predictions against labels", about)


def _coverage(summary: Entry, intervals: Entry) -> Section:
    level, on_rates = wording.per_cent(intervals["level"]), wording.on_rates(summary)
    rows = [
        [
            (wording.compact(row["rate"]) if on_rates else row["condition"], ""),
            (_share(row["coverage"]), f"[{_share(row['low'])}, {_share(row['high'])}]"),
            (wording.plain(row["width"], 2), ""),
        ]
        for row in intervals["by_rate"]
    ]
    caption = (
        f"Share of labels inside the {level} prediction interval, with its 95 % interval, and the mean width before "
        "it is cut to the scale."
    )
    head = ["Missing rate" if on_rates else "Condition", "Coverage %", "Width"]
    said = (
        f"Calibrated on {intervals['clips']} validation clips: a spread by how much of each modality was observed is "
        "fitted on some of them, the errors over that spread are ranked on the others, and the median over eleven "
        "divisions is taken"
    )
    return Section("Prediction intervals", [Table(caption, head, rows), Paragraph(f"{said}.", soft=True)])


def _shapley(shapley: Entry, of_classes: bool) -> Section:
    units = wording.prediction_units(of_classes)
    caption = (
        f"Shapley values on the split as it is, over {shapley['n']} samples, {units}: prior + values = prediction."
    )
    rows = [
        [
            (name, ""),
            (wording.plain(entry["mean"]), ""),
            (wording.plain(entry["mean_absolute"]), ""),
            (wording.per_cent(entry["share"]), ""),
        ]
        for name, entry in shapley["modalities"].items()
    ]
    return Section("What each modality added", [Table(caption, ["Modality", "Mean", "Mean absolute", "Share"], rows)])


def _per_seed(aggregate: Entry) -> Table:
    """A row a seed: means over conditions where there are any, otherwise the first condition."""
    mean = aggregate["mean"]
    source = mean["metrics"] if mean else aggregate["by_rate"][0]["metrics"]
    caption = f"Mean over {wording.averaged_over(aggregate)}." if mean else f"{wording.under(aggregate['by_rate'][0])}."
    rows = [
        [(str(seed), ""), *((wording.amount(key, entry["values"][index]), "") for key, entry in source.items())]
        for index, seed in enumerate(aggregate["seeds"])
    ]
    return Table(caption, ["Seed", *map(wording.heading, source)], rows)


def _share(value: float) -> str:
    return wording.plain(100 * value, 1)


def _interval_cell(key: str, entry: Entry) -> tuple[str, str]:
    return wording.amount(key, entry["value"]), wording.bounds(key, entry["low"], entry["high"])


def _spread_cell(key: str, entry: Entry) -> tuple[str, str]:
    return wording.amount(key, entry["mean"]), wording.spread(key, entry["std"])


def _interval_areas(area: Entry) -> tuple[Entry, Entry]:
    divided = {name: area[f"divided_{name}"] for name in ("low", "high")}
    return area, divided | {"value": area["divided_by_range"]}


def _spread_areas(area: Entry) -> tuple[Entry, Entry]:
    return area["published"], area["divided_by_range"]
