"""Render docs/results.md and its pictures from the result files beside this script; `make results` runs it."""

import sys
from pathlib import Path
from typing import Any

from mitr.evaluation.metrics import metric
from mitr.report.curves import seeds_curve

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import benches  # noqa: E402  # beside this script
import clips  # noqa: E402
from benches import load  # noqa: E402

DOCS = HERE.parent
BARS = {"corr": (0.70, "at least"), "acc2_non0": (0.80, "at least"), "mae": (0.95, "at most")}
KEYS = ["mae", "corr", "acc5", "acc2_has0", "acc2_non0"]
MOSI = {
    "mosi_finetuned": "MITR-DNet, MiniLM fine-tuned, one model for all rates",
    "mosi_plus_finetuned": "MITR-DNet+, MiniLM fine-tuned, one model for all rates",
    "mosi_frozen": "MITR-DNet, MiniLM frozen, one model for all rates",
    "mosi_per_rate": "MITR-DNet, MiniLM frozen, one model per rate",
}


def main() -> None:
    """Write the page."""
    (DOCS / "results.md").write_text(page(), encoding="utf-8")
    for name in MOSI:
        if (found := load(name)) is not None:
            (DOCS / "images" / f"{name}.png").write_bytes(seeds_curve(found))
    for name, png in benches.pictures().items():
        (DOCS / "images" / name).write_bytes(png)


def page() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *mosi(), *benches.sections(), *ict_mmmo(), *defaults(), *clips.sections()]) + "\n"


def mosi() -> list[str]:
    """CMU-MOSI: complete data, then over missing rates."""
    runs = {name: found for name in MOSI if (found := load(name)) is not None}
    ridge, paper = load("mosi_ridge"), benches.published_numbers()
    lines = [MOSI_HEAD, "### Complete test data", "", header(KEYS)]
    lines.append(row("Ridge on frozen, mean-pooled MiniLM", [value(ridge["by_rate"][0]["metrics"][k]) for k in KEYS]))
    for name, found in runs.items():
        about = (
            f"{MOSI[name]} ({count(found)})"
            if name != "mosi_per_rate"
            else f"{MOSI[name]}: that of rate 0 ({count(found)})"
        )
        lines.append(row(about, [spread(found["by_rate"][0]["metrics"][k]) for k in KEYS]))
    best = runs["mosi_finetuned"]["by_rate"][0]["metrics"]
    verdicts = [
        f"{metric(k).label} {how} {bar:.2f}: {shown(best[k]['mean'])}, {verdict(best[k]['mean'], bar, how)}"
        for k, (bar, how) in BARS.items()
    ]
    lines += ["", "The bars set beforehand, for the fine-tuned model: " + "; ".join(verdicts) + ".", ""]
    lines += ["### Over missing rates 0.0 to 1.0 (AUILC, whose range is 1)", "", header(KEYS)]
    lines.append(row("Ridge, trained on complete data", [value(ridge["auilc"][k]) for k in KEYS]))
    for name, found in runs.items():
        lines.append(row(f"{MOSI[name]} ({count(found)})", [spread(found["auilc"][k]["published"]) for k in KEYS]))
    lines.append(
        row("*Paper: BERT-base, text + audio + vision, one model per rate*", [f"*{paper[k]:.3f}*" for k in KEYS])
    )
    lines += ["", PAPER_NOTE, ""]
    for name, found in runs.items():
        lines += [f"### {MOSI[name]}: every rate", "", f"![Robustness](images/{name}.png)", ""]
        lines += ["`" + found["command"] + "`", "", header(KEYS, "Missing rate")]
        for entry in found["by_rate"]:
            lines.append(row(f"{entry['rate']:.1f}", [spread(entry["metrics"][k]) for k in KEYS]))
        lines.append("")
    return lines


def ict_mmmo() -> list[str]:
    """ICT-MMMO: five folds."""
    found = load("ict_mmmo")
    if found is None:
        return []
    keys = ["mae", "corr", "acc2_has0", "acc2_non0"]
    folds = found["folds"]
    lines = [ICT_HEAD, header(keys)]
    names = {
        "ridge, complete": "Ridge, without the text-less samples",
        "ridge, all": "Ridge, with them",
        "mitr-dnet, complete": "MITR-DNet, without the text-less samples",
        "mitr-dnet, all": "MITR-DNet, with them",
    }
    values = {name: {k: [complete(fold[name], k) for fold in folds] for k in keys} for name in names}
    for name, title in names.items():
        lines.append(row(title, [over_folds(values[name][k]) for k in keys]))
    lines += [
        "",
        f"Does incomplete training data help? With the 220 text-less samples, MITR-DNet's Corr changes by "
        f"{difference(values, 'mitr-dnet, all', 'mitr-dnet, complete')}. Against the ridge with the same samples it is "
        f"{difference(values, 'mitr-dnet, all', 'ridge, all')}.",
        "",
        "Over missing rates (AUILC over 0.0 to 1.0, means over folds of the means over seeds):",
        "",
        header(keys),
    ]
    for name in ("mitr-dnet, complete", "mitr-dnet, all"):
        areas = {k: [fold[name]["auilc"][k]["published"]["mean"] for fold in folds] for k in keys}
        lines.append(row(names[name], [over_folds(areas[k]) for k in keys]))
    return [*lines, ""]


def difference(values: dict[str, dict[str, list[float]]], one: str, other: str) -> str:
    """How much more Corr one model has than another, fold by fold."""
    gains = [a - b for a, b in zip(values[one]["corr"], values[other]["corr"], strict=True)]
    folds = ", ".join(f"{gain:+.3f}" for gain in gains)
    return f"{sum(gains) / len(gains):+.3f} on average over the folds (higher in {sum(g > 0 for g in gains)}: {folds})"


def defaults() -> list[str]:
    """The release's habits against our defaults, on validation data."""
    lines = []
    for head, name in ((DEFAULTS_HEAD, "defaults"), (DEFAULTS_MOSI_HEAD, "defaults_mosi")):
        if (found := load(name)) is None:
            continue
        keys = ["mae", "corr"]
        lines += [head, header(keys, "Setting").replace("\n", " MAE, difference |\n") + "---|"]
        ours = next(iter(found["settings"].values()))["mae"]
        for setting, entry in found["settings"].items():
            differences = [a - b for a, b in zip(entry["mae"], ours, strict=True)]
            cell = over_folds(differences) if any(differences) else "–"
            lines.append(row(setting, [*(over_folds(entry[k]) for k in keys), cell]))
        lines.append("")
    return lines


def complete(entry: dict[str, Any], key: str) -> float:
    """A metric on complete data: of a ridge, or the mean over seeds."""
    return float(entry[key] if key in entry else entry["by_rate"][0]["metrics"][key]["mean"])


def header(keys: list[str], first: str = "Model") -> str:
    """Head of a table of metrics."""
    arrows = [metric(k).arrowed_label for k in keys]
    return f"| {first} | {' | '.join(arrows)} |\n|---|{'---|' * len(keys)}"


def row(title: str, cells: list[str]) -> str:
    """One line of a table."""
    return f"| {title} | {' | '.join(cells)} |"


def shown(number: float | None) -> str:
    """A number with three decimals."""
    return "–" if number is None else f"{number:.3f}"


def value(entry: dict[str, Any]) -> str:
    """A value with its bootstrap interval."""
    if entry["value"] is None:
        return "–"
    return f"{shown(entry['value'])} [{shown(entry['low'])}, {shown(entry['high'])}]"


def spread(entry: dict[str, Any]) -> str:
    """Mean and standard deviation over seeds."""
    return shown(entry["mean"]) + ("" if entry["std"] is None else f" ± {entry['std']:.3f}")


def over_folds(values: list[float]) -> str:
    """Mean and standard deviation over folds."""
    mean = sum(values) / len(values)
    std = (sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1)) ** 0.5
    return f"{shown(mean)} ± {std:.3f}"


def count(found: dict[str, Any]) -> str:
    """How many seeds."""
    seeds = len(found["seeds"])
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def verdict(mean: float, bar: float, how: str) -> str:
    """Whether a bar is met."""
    return "met" if (mean >= bar if how == "at least" else mean <= bar) else "**missed**"


INTRODUCTION = """# Results on real data

Rendered by `make results` from the files in `docs/results/`; no result on this page was typed. ± is the standard
deviation over seeds (CMU-MOSI) or folds (ICT-MMMO); brackets are 95 % bootstrap intervals over test samples. Models
were selected on validation data only. `MITR_SHARED` is the folder with the data.
"""
MOSI_HEAD = """## CMU-MOSI: transcripts and one audio vector a sample, no vision

Official split, 1284 / 229 / 686 samples. Vision is absent from every sample.

```bash
mitr data import $MITR_SHARED/data/mosi_text_audio --out runs/data/mosi --name "CMU-MOSI (text + audio)"
python experiments/mosi_ridge.py runs/data/mosi --out docs/results/mosi_ridge.json
mitr robustness runs/data/mosi --out runs/mosi-finetuned --config experiments/mosi_finetuned.yaml
mitr robustness runs/data/mosi --out runs/mosi-plus-finetuned --config experiments/mosi_plus_finetuned.yaml
mitr robustness runs/data/mosi --out runs/mosi-frozen --config experiments/mosi_frozen.yaml
mitr robustness runs/data/mosi --out runs/mosi-per-rate --per-rate --config experiments/mosi_frozen.yaml
```

The result files are the `summary.json` of each `--out` folder.
"""
PAPER_NOTE = (
    "The paper's line is there for orientation only: it has another text encoder, another audio representation and "
    "vision. An undefined correlation (at rate 1.0 every answer is the prior) counts as 0 in the area. Where almost "
    "nothing is left, a model answers with the base rate of its training labels, which are positive on average in "
    "MOSI's training split and negative in its test split; a model trained at that rate alone does so most of all."
)
ICT_HEAD = """## ICT-MMMO: five folds, with and without the 220 samples that have no text

Word-aligned text, audio and vision over 20 steps; labels -2 to 2. In each fold 72 / 24 / 24 complete samples train,
validate and test; the 220 text-less ones can only train. Three seeds a fold. Test sets of 24 make wide error bars.

```bash
python experiments/ict_mmmo.py $MITR_SHARED/data/ict_mmmo --work runs/ict_mmmo --out docs/results/ict_mmmo.json
```

Complete test data:
"""
DEFAULTS_HEAD = """## The release's habits against our defaults

Validation MAE and Corr (means over rates 0, .3, .6, .9) on ICT-MMMO, means ± standard deviations over five folds, one
seed, and the differences to our defaults, fold by fold. The five validation splits together are the 120 samples that
the folds above test on: nothing was chosen by this table, and nothing should be.

```bash
python experiments/defaults.py $MITR_SHARED/data/ict_mmmo --work runs/defaults --out docs/results/defaults.json
```
"""
DEFAULTS_MOSI_HEAD = """The first two on CMU-MOSI's own validation split, MiniLM frozen, three seeds (± over seeds):

```bash
mitr robustness runs/data/mosi --out runs/mosi-frozen-habits --split valid --config experiments/mosi_frozen.yaml \\
    --model.causal --model.skip_zero_positions
python experiments/defaults_mosi.py runs/mosi-frozen runs/mosi-frozen-habits --out docs/results/defaults_mosi.json
```
"""

if __name__ == "__main__":
    main()
