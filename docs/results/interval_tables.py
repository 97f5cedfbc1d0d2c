"""The section of docs/results.md on prediction intervals, from the file that experiments/intervals.py wrote."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BAR = 0.03  # from the level, within which coverage is called met
KINDS = {"before": "curves, before", "after": "ranks over a spread"}
DIVISIONS = {
    "whole split": "the whole split, which also stopped training",
    "in stopping": "a third, which also stopped training",
    "kept out": "the same third, kept out of stopping",
}


def sections() -> list[str]:
    """The section as lines of Markdown; nothing without its file."""
    path = HERE / "intervals.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = [HEAD.format(level=f"{found['level']:.0%}".replace("%", " %"))]
    for part in found["benchmarks"]:
        lines += [f"`{part['command']}`", "", *by_rate(part["models"], found["level"]), "", *widths(part["models"])]
    lines += [*left_out(found["benchmarks"]), "", HELD_OUT_HEAD]
    lines += [f"`{command}`" for command in dict.fromkeys(part["command"] for part in found["held_out"])]
    return [*lines, "", *held_out(found["held_out"]), ""]


def by_rate(models: dict[str, Any], level: float) -> list[str]:
    """Coverage at each rate, and the widths."""
    rates = next(iter(models.values()))["after"]["rate"]
    heads = " | ".join(f"{rate:.1f}" for rate in rates)
    lines = [f"| Model | Intervals | {heads} | Mean | Mean width | Width at {rates[0]:.1f} | at {rates[-1]:.1f} |"]
    lines.append("|---|---|" + "---|" * (len(rates) + 4))
    for model, entry in models.items():
        for kind, title in KINDS.items():
            if kind not in entry:
                continue
            inside, width = entry[kind]["coverage"], entry[kind]["width"]
            cells = [f"{100 * c:.1f}" if abs(c - level) <= BAR else f"**{100 * c:.1f}**" for c in inside]
            cells += [f"{100 * mean(inside):.1f}", f"{mean(width):.3f}", f"{width[0]:.2f}", f"{width[-1]:.2f}"]
            lines.append(f"| {model} ({entry['runs']}) | {title} | {' | '.join(cells)} |")
    return lines


def widths(models: dict[str, Any]) -> list[str]:
    """Mean width and coverage over the models that have both kinds of intervals."""
    both = [entry for entry in models.values() if "before" in entry]
    cells = [
        f"{title}: width {mean([mean(entry[kind]['width']) for entry in both]):.3f}, "
        f"coverage {100 * mean([mean(entry[kind]['coverage']) for entry in both]):.1f} %"
        for kind, title in KINDS.items()
    ]
    return [f"Means over these models: {'; '.join(cells)}.", ""] if both else []


def left_out(benchmarks: list[dict[str, Any]]) -> list[str]:
    """Coverage of validation videos that did not calibrate."""
    parts = [
        f"{model} {100 * entry['left_out']:.1f} %"
        for part in benchmarks
        for model, entry in part["models"].items()
        if "left_out" in entry
    ]
    return [f"Of validation videos, each left out of the calibration in turn, were covered: {', '.join(parts)}."]


def held_out(parts: list[dict[str, Any]]) -> list[str]:
    """What it costs that calibration clips also stopped training."""
    lines = ["| Model | Calibrated on | Clips | MAE there | MAE of test | Coverage % | Mean width |"]
    lines.append("|---|---|---|---|---|---|---|")
    for part in parts:
        for model, entries in part["models"].items():
            for name, title in DIVISIONS.items():
                entry = entries[name]
                cells = [f"{entry['clips']:.0f}", f"{entry['mae_calibration']:.3f}", f"{entry['mae_test']:.3f}"]
                cells += [f"{100 * mean(entry['coverage']):.1f}", f"{mean(entry['width']):.3f}"]
                lines.append(f"| {model} ({entry['runs']}) | {title} | {' | '.join(cells)} |")
    return lines


def mean(values: list[float]) -> float:
    """Of some numbers."""
    return sum(values) / len(values)


HEAD = """## Prediction intervals: coverage and width

Share (%) of test labels inside the {level} interval at each missing rate of protocol A, means over runs (their number
in brackets), and mean width in label units before it is cut to the scale; bold: more than 3 points off. "Before" are
the intervals that the same runs carried from the version of mitr that made curves ([confidence.md](confidence.md)).
The method's form, its share of clips for the spread and its groups were chosen on validation videos. That several
divisions are taken together was decided after single ones had been seen to differ on the test split, by up to three
points at a rate (and on left-out validation videos by one). ICT-MMMO has 24 validation and 24 test clips a fold,
without names of videos: one clip of all folds' test is .8 points.

```bash
python experiments/intervals.py runs/bench-mosi-intervals runs/bench-ict-intervals --held-out runs/bench-held-out \\
    --out docs/results/intervals.json
```
"""
HELD_OUT_HEAD = """Calibration clips that also stopped training may have errors that are too small. Three rows a model:
the default; a third of the validation videos alone, in the runs whose training all of the split stopped; and the same
third in runs that `--train.calibration_share` kept it out of. Errors and coverage are means over all rates, or masks of
calibration.
"""
