"""The report of a plan's runs: one model under a protocol with its spread, several models beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mitr.evaluation.metrics import metric
from mitr.evaluation.summary import SUMS, headline_of
from mitr.missing.protocols import described
from mitr.report import curves, wording
from mitr.report.one_model import Entry, seeds_method, seeds_sections, subtitle
from mitr.report.page import Block, Figure, Paragraph, Report, Section, write_page, write_tables
from mitr.report.tables import Table

SHOWN = ("mae", "corr", "acc7", "acc5", "acc3", "acc2", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0", "f1")
METHOD = (
    "All models got the same data, masks and seeds, and the same options but for what a variant changes, and were "
    "selected on the validation split. Intervals and tests take the test samples as drawn at random in whole videos, "
    "where there are enough of them, otherwise in clips; they do not show how much another training seed would change, "
    "which the standard deviation does."
)
Row = dict[str, Any]
Pair = tuple[str, str]  # protocol and training


@dataclass(frozen=True)
class Findings:
    """The tables of a plan, as its report needs them.

    Attributes:
        results: the tidy table (`mitr.evaluation.table.tidy`).
        jobs: what each run was and cost, or its error.
        comparisons: one row per protocol, training and model (`mitr.bench.compare.compare`); or None.
        bins: the table by label (`by_label_bin`), with `data, model, protocol, training, seed`; or None.
        coverage: per protocol, training, model and condition what share of the labels the intervals hold; or None.
        shapley: per protocol, training and model what each modality was worth; or None.
        aggregates: (protocol, training) -> the summary over seeds, of a plan of one model on one data set.
    """

    results: pd.DataFrame
    jobs: Sequence[Mapping[str, Any]]
    comparisons: pd.DataFrame | None = None
    bins: pd.DataFrame | None = None
    coverage: pd.DataFrame | None = None
    shapley: pd.DataFrame | None = None
    aggregates: Mapping[Pair, Entry] = field(default_factory=dict)


def write_plan_report(
    folder: Path,
    found: Findings,
    *,
    title: str,
    facts: Mapping[str, str],
    family: str,
    warnings: Sequence[str] = (),
    synthetic: bool = False,
) -> Path:
    """Write `report.html`, `tables.md`, `tables.tex`, and the pictures as PNG (of models over conditions also as SVG).

    Args:
        folder: of the plan.
        found: what to report.
        title: heading of the page.
        facts: name -> value for "How this was made".
        family: of the metrics.
        warnings: sentences to show above the results.
        synthetic: the data are made up; the page says so in its first line.

    Returns:
        The path of `report.html`.
    """
    sections, headings = [], []
    for pair, aggregate in found.aggregates.items():
        headings.append(_heading(*pair))
        sections += _one_model(pair, aggregate, prefixed=len(found.aggregates) > 1)
    for part in [] if found.aggregates else _parts(found):
        headings.append(part["heading"])
        sections.append(_models(folder, found, part))
    for name, table in (
        ("Error by label", bins_table(found.bins)),
        ("Prediction intervals", coverage_table(found.coverage)),
        ("What each modality is worth", shapley_table(found.shapley, family)),
        ("What it costs", cost_table(found.jobs)),
        ("Runs that failed", failures_table(found.jobs)),
    ):
        sections += [Section(name, [table])] if table is not None else []
    alone = list(found.aggregates.values())
    tested = subtitle(alone[0]) if len(alone) == 1 else ", ".join(headings)
    several = [seeds_method(aggregate) for aggregate in alone]
    report = Report(
        title=title,
        subtitle=f"{_count(len(found.jobs), 'training run')} · {tested}",
        sections=sections,
        method=several[0] if several else METHOD,
        family=family,
        keys=shown_keys(found.results),
        facts=facts,
        warnings=warnings,
        synthetic=synthetic,
    )
    write_tables(folder, report)
    return write_page(folder, report)


def _one_model(pair: Pair, aggregate: Entry, prefixed: bool) -> list[Section]:
    """The sections of one model, the first under the protocol's name; `prefixed` pictures have that name too."""
    first, *others = seeds_sections(aggregate)
    prefix = f"{'-'.join(pair)}-" if prefixed else ""
    return [
        replace(section, blocks=[_named(block, prefix) for block in section.blocks])
        for section in [replace(first, heading=_heading(*pair)), *others]
    ]


def _named(block: Block, prefix: str) -> Block:
    return replace(block, name=f"{prefix}{block.name}") if isinstance(block, Figure) else block


def _models(folder: Path, found: Findings, part: Row) -> Section:
    """Models beside each other under one protocol."""
    blocks: list[Block] = [Paragraph(part["about"], soft=True), Paragraph(" ".join(part["sentences"]))]
    blocks.append(comparison_table(found, part, shown_keys(found.results)))
    alt = "Metrics of each model in each condition"
    caption = "MAE, Corr and Acc-2 of each model, mean over runs. The vertical axes do not start at 0."
    drawn = _pictures(folder, found.results, part)
    return Section(part["heading"], [*blocks, *(Figure(name, png, alt, caption) for name, png in drawn.items())])


def shown_keys(results: pd.DataFrame) -> list[str]:
    """The metrics of the tables: those of the family that the results hold, MAE and Corr first."""
    there = list(dict.fromkeys(results["metric"]))
    return [key for key in SHOWN if key in there] + [key for key in there if key not in SHOWN]


def comparison_table(found: Findings, part: Mapping[str, Any], keys: Sequence[str]) -> Table:
    """Models under one protocol, the lowest MAE first: mean ± standard deviation over runs, interval, test, rank."""
    protocol, training = part["protocol"], part["training"]
    rows = part["comparison"]
    condition, axis = headline_of(protocol)
    results = found.results[(found.results["protocol"] == protocol) & (found.results["training"] == training)]
    sums = results[(results["condition"] == condition) & (results["axis"] == axis)]
    spread = sums.groupby(["model", "metric"], sort=False)["value"].agg(["mean", "std"])
    cells, values = [], []
    for row in rows:
        line = [(row["model"], "")]
        numbers = {}
        for key in keys:
            mean, std = (spread.loc[(row["model"], key), name] for name in ("mean", "std"))
            numbers[key] = mean
            note = wording.spread(key, None if np.isnan(std) else std)
            if key in ("mae", "corr"):
                note = " ".join(x for x in (note, wording.bounds(key, row[f"{key}_low"], row[f"{key}_high"])) if x)
            line.append((wording.amount(key, None if np.isnan(mean) else mean), note))
        line += [_difference(row), (_p(row["p_holm"]), ""), (f"{row['mean_rank']:.1f}", f"{row['wins']} best")]
        cells.append(line)
        values.append(numbers)
    best = {1 + i: _best(key, [v[key] for v in values]) for i, key in enumerate(keys)}
    caption = (
        f"{part['of']}, mean over runs, ± standard deviation over {_count(part['runs'], 'run')} of a model, and the "
        f"95 % bootstrap interval over {part['clusters']}. Δ MAE: to {part['reference']}, with its interval; p: sign "
        f"flips of whole {part['clusters']}, corrected for {max(len(rows) - 1, 1)} comparisons (Holm). Rank: mean over "
        f"{part['conditions']} conditions by MAE, and in how many it is the best."
    )
    head = ["Model", *(wording.heading(key) for key in keys), f"Δ MAE to {part['reference']}", "p (Holm)", "Rank"]
    return Table(caption, head, cells, best)


def cost_table(jobs: Sequence[Mapping[str, Any]]) -> Table:
    """Parameters, seconds of training, milliseconds a sample and peak memory, a model: means over its runs."""
    table = pd.DataFrame([job for job in jobs if job["status"] == "ok"])
    rows = []
    for model, part in table.groupby("model", sort=False) if len(table) else ():
        peak = pd.to_numeric(part["peak_mb"], errors="coerce").max()
        rows.append(
            [
                (str(model), ""),
                (f"{int(part['parameters'].iloc[0]):,}", ""),
                (f"{part['train_seconds'].mean():.1f}", _count(len(part), "run")),
                (f"{part['milliseconds_per_sample'].mean():.2f}", ""),
                ("–" if np.isnan(peak) else f"{peak:.0f}", ""),
            ]
        )
    caption = (
        "Trained parameters; seconds of training, mean over runs; milliseconds to predict a sample in batches, the "
        "text encoder included; highest memory of the process in MB. Measured while other runs share the machine."
    )
    return Table(caption, ["Model", "Parameters", "Training s", "Prediction ms", "Peak MB"], rows)


def failures_table(jobs: Sequence[Mapping[str, Any]]) -> Table | None:
    """The runs that failed, with their errors; None where none did."""
    rows = [[(str(job["key"]), ""), (str(job["error"]), "")] for job in jobs if job["status"] != "ok"]
    return Table("Called again, the same command tries them again.", ["Run", "Error"], rows) if rows else None


def bins_table(bins: pd.DataFrame | None) -> Table | None:
    """MAE per label bin, a model, under the first protocol, over all its conditions."""
    if bins is None or bins.empty:
        return None
    first = bins.iloc[0]
    part = bins[(bins["protocol"] == first["protocol"]) & (bins["training"] == first["training"])]
    centres = part.groupby("bin")["centre"].first().sort_values().index.tolist()
    totals = part.assign(mae=part["mae"] * part["n"], bias=part["bias"] * part["n"])
    sums = totals.groupby(["model", "bin"])[["mae", "bias", "n"]].sum()
    means = sums[["mae", "bias"]].div(sums["n"], axis=0)
    counts = part.groupby(["model", "seed", "bin"])["n"].sum().groupby("bin").max()
    rows, values = [], []
    for model in dict.fromkeys(part["model"]):
        there = [means.loc[(model, name)] if (model, name) in means.index else None for name in centres]
        cells = [
            ("–", "") if v is None else (wording.plain(v["mae"]), f"bias {wording.plain(v['bias'], 2)}") for v in there
        ]
        rows.append([(str(model), ""), *cells])
        values.append([np.nan if v is None else v["mae"] for v in there])
    best = {1 + i: _best("mae", [v[i] for v in values]) for i in range(len(centres))}
    head = ["Model", *(f"{wording.compact(float(name))} (n {counts[name]})" for name in centres)]
    name = _heading(str(first["protocol"]), str(first["training"]))
    caption = f"MAE by label, and bias (prediction − label), over all conditions of protocol {name}; n: test samples."
    return Table(caption, head, rows, best)


def coverage_table(coverage: pd.DataFrame | None) -> Table | None:
    """What share of labels the intervals hold: per model the nominal level, the mean and the range over conditions."""
    if coverage is None or coverage.empty:
        return None
    rows = []
    for (protocol, training, model), part in coverage.groupby(["protocol", "training", "model"], sort=False):
        each = part.groupby("condition", sort=False)[["coverage", "width"]].mean()
        lowest, highest = each["coverage"].idxmin(), each["coverage"].idxmax()
        rows.append(
            [
                (str(model), ""),
                (_heading(str(protocol), str(training)), ""),
                (f"{100 * each['coverage'].mean():.1f}", ""),
                (f"{100 * each['coverage'].min():.1f}", str(lowest)),
                (f"{100 * each['coverage'].max():.1f}", str(highest)),
                (wording.plain(each["width"].iloc[0], 2), str(each.index[0])),
                (wording.plain(each["width"].iloc[-1], 2), str(each.index[-1])),
            ]
        )
    head = ["Model", "Protocol", "Coverage %", "lowest", "highest", "Width, first", "last"]
    caption = (
        "Share of test labels inside the 90 % interval that was calibrated on the validation split, mean over runs: "
        "over all conditions, and where it is lowest and highest; mean width in the first and in the last condition."
    )
    return Table(caption, head, rows)


def shapley_table(shapley: pd.DataFrame | None, family: str) -> Table | None:
    """Mean absolute Shapley value of each modality, a model, on complete data."""
    if shapley is None or shapley.empty:
        return None
    units = wording.prediction_units(family == "classes")
    modalities = list(dict.fromkeys(shapley["modality"]))
    means = shapley.groupby(["model", "modality"], sort=False)[["mean_absolute", "share"]].mean()
    rows = []
    for model in dict.fromkeys(shapley["model"]):
        there = [means.loc[(model, m)] for m in modalities]
        cells = [(wording.plain(v["mean_absolute"]), wording.per_cent(v["share"])) for v in there]
        rows.append([(str(model), ""), *cells])
    caption = (
        f"Mean absolute Shapley value of each modality {units} on the complete test split, and its share; the "
        "value of a set of modalities is the prediction with only these shown."
    )
    return Table(caption, ["Model", *modalities], rows)


def _parts(found: Findings) -> list[Row]:
    parts: list[Row] = []
    if found.comparisons is None:
        return parts
    for (protocol, training), rows in found.comparisons.groupby(["protocol", "training"], sort=False):
        ordered: list[Row] = rows.sort_values("mae", kind="stable").to_dict("records")  # type: ignore[assignment]
        first = ordered[0]
        of = "Area under the metric over rates (AUILC)" if first["headline"] == "AUILC" else "Mean over conditions"
        here = found.results[(found.results["protocol"] == protocol) & (found.results["training"] == training)]
        runs = len(here[["data", "seed"]].drop_duplicates())
        about = {"protocol": str(protocol), "training": str(training), "comparison": ordered, "of": of, "runs": runs}
        about |= {name: first[name] for name in ("clusters", "conditions", "reference")}
        about |= {"heading": _heading(str(protocol), str(training)), "about": described(str(protocol))[1]}
        parts.append(about | {"sentences": _sentences(ordered)})
    return parts


def _sentences(rows: Sequence[Row]) -> list[str]:
    """Who is first by MAE and by Corr, and which differences to the reference are more than chance."""
    by_corr = max(rows, key=lambda row: row["corr"])
    first = rows[0]
    said = [f"{first['model']} has the lowest MAE, {wording.amount('mae', first['mae'])}"]
    if by_corr["model"] == first["model"]:
        said[0] += f", and the highest Corr, {wording.amount('corr', first['corr'])}."
    else:
        said[0] += f"; {by_corr['model']} has the highest Corr, {wording.amount('corr', by_corr['corr'])}."
    clear = [row for row in rows if row["p_holm"] < 0.05]
    for word, chosen in (
        ("lower", [row["model"] for row in clear if row["difference"] < 0]),
        ("higher", [row["model"] for row in clear if row["difference"] > 0]),
    ):
        if chosen:
            than = f"MAE is {word} than that of {first['reference']} by more than chance (p < .05)"
            said.append(f"{than} for {_listed(chosen)}.")
    if not clear and len(rows) > 1:
        said.append(f"No model's MAE differs from that of {first['reference']} by more than chance.")
    return said


def _heading(protocol: str, training: str) -> str:
    one = "" if training == "one-model" else ", one model per rate"
    return f"{described(protocol)[0]} {protocol}{one}"


def _pictures(folder: Path, results: pd.DataFrame, part: Mapping[str, Any]) -> dict[str, bytes]:
    here = results[(results["protocol"] == part["protocol"]) & (results["training"] == part["training"])]
    here = here[~here["condition"].isin(SUMS)]
    drawn = {}
    for axis in dict.fromkeys(here["axis"]):
        name = "-".join([part["protocol"], *([] if part["training"] == "one-model" else ["per-rate"]), str(axis)])
        table = here[here["axis"] == axis]
        drawn[name] = curves.models_over_conditions(table, folder / f"{name}.svg")
    return drawn


def _difference(row: Row) -> tuple[str, str]:
    if np.isnan(row["difference"]):
        return "–", "reference"
    sign = "+" if row["difference"] > 0 else ""
    return sign + wording.plain(row["difference"]), wording.bounds("mae", row["difference_low"], row["difference_high"])


def _p(value: float) -> str:
    return "" if np.isnan(value) else "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def _best(key: str, values: Sequence[float]) -> list[int]:
    """Rows that are written like the best one."""
    written = [wording.amount(key, None if np.isnan(v) else v) for v in values]
    known = [v for v in values if not np.isnan(v)]
    if len(values) < 2 or not known:
        return []
    top = wording.amount(key, min(known) if metric(key).lower_is_better else max(known))
    return [i for i, shown in enumerate(written) if shown == top]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
