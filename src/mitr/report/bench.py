"""The report of a benchmark: one table a protocol as HTML, Markdown and LaTeX, and its curves as PNG and SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mitr.evaluation.metrics import metric
from mitr.evaluation.summary import SUMS, headline_of
from mitr.files import replacing
from mitr.missing.protocols import described
from mitr.report import curves, wording
from mitr.report.html import render

SHOWN = ("mae", "corr", "acc7", "acc5", "acc3", "acc2", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0", "f1")
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a benchmark found, as its report needs it.

    Attributes:
        results: the tidy table (`mitr.evaluation.table.tidy`).
        bins: the table by label (`by_label_bin`), with `data, model, protocol, training, seed`.
        comparisons: one row per protocol, training and model (`mitr.bench.compare.compare`).
        jobs: what each run was and cost, or its error.
        coverage: per protocol, training, model and condition what share of the labels the intervals hold; or None.
        shapley: per protocol, training and model what each modality was worth; or None.
    """

    results: pd.DataFrame
    bins: pd.DataFrame
    comparisons: pd.DataFrame
    jobs: Sequence[Mapping[str, Any]]
    coverage: pd.DataFrame | None = None
    shapley: pd.DataFrame | None = None


@dataclass(frozen=True)
class Table:
    """A table in words.

    Attributes:
        caption: what its numbers are.
        head: headings.
        rows: cells of a row, each a value and a note below it.
        best: per column the rows whose value is the best; empty for columns that are not ranked.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]
    best: Mapping[int, Sequence[int]] = field(default_factory=dict)


def write_bench_report(
    folder: Path,
    found: Found,
    *,
    title: str,
    facts: Mapping[str, str],
    warnings: Sequence[str] = (),
    synthetic: bool = False,
    family: str,
) -> Path:
    """Write `report.html`, `tables.md`, `tables.tex`, and per protocol and axis a picture as PNG and SVG.

    Args:
        folder: of the benchmark.
        found: what to report.
        title: heading of the page.
        facts: name -> value for "How this was made".
        warnings: sentences to show above the results.
        synthetic: the data are made up; the page says so in its first line.
        family: of the metrics.

    Returns:
        The path of `report.html`.
    """
    keys = shown_keys(found.results)
    pictures: dict[str, bytes] = {}
    sections = []
    for part in _sections(found):
        drawn = _pictures(folder, found.results, part)
        pictures |= drawn
        sections.append(part | {"pictures": list(drawn), "table": comparison_table(found, part, keys)})
    costs, failed = cost_table(found.jobs), [job for job in found.jobs if job["status"] != "ok"]
    page = render(
        "bench.html",
        keys,
        pictures,
        title=title,
        facts=facts,
        warnings=warnings,
        synthetic=synthetic,
        family=family,
        sections=sections,
        bins=bins_table(found),
        costs=costs,
        failed=failed,
        coverage=coverage_table(found.coverage),
        shapley=shapley_table(found.shapley),
        runs=len(found.jobs),
    )
    tables = [(section["heading"], section["table"]) for section in sections] + [("What it costs", costs)]
    tables += [("Error by label", t) for t in [bins_table(found)] if t]
    tables += [("Intervals", t) for t in [coverage_table(found.coverage)] if t]
    tables += [("What each modality is worth", t) for t in [shapley_table(found.shapley)] if t]
    _text(
        folder / "tables.md", "\n\n".join([f"# {_md(title)}", *(f"## {h}\n\n{markdown(t)}" for h, t in tables)]) + "\n"
    )
    _text(folder / "tables.tex", "\n\n".join(latex(t) for _, t in tables) + "\n")
    _text(folder / "report.html", page)
    return folder / "report.html"


def shown_keys(results: pd.DataFrame) -> list[str]:
    """The metrics of the tables: those of the family that the results hold, MAE and Corr first."""
    there = list(dict.fromkeys(results["metric"]))
    return [key for key in SHOWN if key in there] + [key for key in there if key not in SHOWN]


def comparison_table(found: Found, part: Mapping[str, Any], keys: Sequence[str]) -> Table:
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


def bins_table(found: Found) -> Table | None:
    """MAE per label bin, a model, under the first protocol, over all its conditions."""
    if found.bins.empty:
        return None
    first = found.bins.iloc[0]
    part = found.bins[(found.bins["protocol"] == first["protocol"]) & (found.bins["training"] == first["training"])]
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


def shapley_table(shapley: pd.DataFrame | None) -> Table | None:
    """Mean absolute Shapley value of each modality, a model, on complete data."""
    if shapley is None or shapley.empty:
        return None
    modalities = list(dict.fromkeys(shapley["modality"]))
    means = shapley.groupby(["model", "modality"], sort=False)[["mean_absolute", "share"]].mean()
    rows = []
    for model in dict.fromkeys(shapley["model"]):
        there = [means.loc[(model, m)] for m in modalities]
        cells = [(wording.plain(v["mean_absolute"]), wording.per_cent(v["share"])) for v in there]
        rows.append([(str(model), ""), *cells])
    caption = (
        "Mean absolute Shapley value of each modality in label units on the complete test split, and its share; the "
        "value of a set of modalities is the prediction with only these shown."
    )
    return Table(caption, ["Model", *modalities], rows)


def markdown(table: Table) -> str:
    """A table in Markdown, the best values in bold."""

    def written(row: int, column: int, value: str, note: str) -> str:
        shown = f"**{_md(value)}**" if row in table.best.get(column, ()) else _md(value)
        return f"{shown} {_md(note)}".strip()

    lines = [f"| {' | '.join(_md(name) for name in table.head)} |", "|" + "---|" * len(table.head)]
    for i, row in enumerate(table.rows):
        lines.append(f"| {' | '.join(written(i, j, *cell) for j, cell in enumerate(row))} |")
    return "\n".join([*lines, "", _md(table.caption)])


def latex(table: Table) -> str:
    """A table for LaTeX with booktabs; the best values in bold, notes left out of all but MAE and Corr."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}", r"\toprule"]
    lines += [" & ".join(_tex(name) for name in table.head) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        cells = []
        for j, (value, note) in enumerate(row):
            shown = rf"\textbf{{{_tex(value)}}}" if i in table.best.get(j, ()) else _tex(value)
            spread = note.split(" [")[0] if note.startswith("±") else ""
            cells.append(f"{shown} {_tex(spread)}".strip())
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _sections(found: Found) -> list[Row]:
    parts = []
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
        with replacing(folder / f"{name}.png") as partial:
            partial.write_bytes(drawn[name])
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


def _md(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in "\\|<*_`" else c for c in text)
    return " ".join(escaped.split())


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", ">": "$>$"}
    escaped = "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
    for sign, command in {
        "±": r"$\pm$",
        "−": "$-$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "Δ": r"$\Delta$",
    }.items():
        escaped = escaped.replace(sign, command)
    return escaped.replace("–", "--").replace("<", "$<$").replace("\N{NO-BREAK SPACE}", "~")


def _text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
