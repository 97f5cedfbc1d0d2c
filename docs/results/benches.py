"""The parts of docs/results.md that benchmarks fill, from the files that compact.py made of them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.bench.catalogue import PUBLISHED
from mitr.bench.experiments import read_experiment
from mitr.evaluation.metrics import metric
from mitr.missing.protocols import PROTOCOLS
from mitr.report.curves import models_over_conditions

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images"
TABLE = ["mae", "corr", "acc5", "acc2_has0", "acc2_non0"]
RIDGE = {"mae": 1.201, "corr": 0.452, "acc5": 0.240, "acc2_has0": 0.669, "acc2_non0": 0.675}  # measured beforehand
AIM = {"mae": 1.15, "corr": 0.48, "acc5": 0.29, "acc2_has0": 0.69}
PLUS, YARDSTICKS = "mitr-dnet-plus", ("ridge", "mean")
PICTURES = [("bench_mosi", "auilc", "rate"), ("bench_mosi", "mean", "rate"), ("bench_ict", "combinations", "available")]


def load(name: str) -> Any:
    """A result file, or None while it does not exist."""
    path = HERE / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def sections() -> list[str]:
    """All of them as lines of Markdown; a part without its file is left out."""
    lines: list[str] = []
    if (found := load("bench_mosi")) is not None:
        lines += [MOSI_HEAD, f"`{found['command']}`", ""]
        for part in found["protocols"]:
            lines += [*protocol(part, "bench_mosi"), ""]
        lines += [
            *goals(found),
            "",
            *intervals(found),
            "",
            *labels(found),
            "",
            *modalities(found),
            "",
            *costs(found),
            "",
        ]
    if (found := load("bench_mosi_per_rate")) is not None:
        lines += [
            PER_RATE_HEAD,
            f"`{found['command']}`",
            "",
            *protocol(found["protocols"][0], "bench_mosi_per_rate"),
            "",
        ]
    if (found := load("bench_ablations")) is not None:
        lines += [
            ABLATIONS_HEAD,
            f"`{found['command']}`",
            "",
            *protocol(found["protocols"][0], "bench_ablations"),
            "",
        ]
    if (found := load("bench_ict")) is not None:
        lines += [ICT_HEAD, f"`{found['command']}`", ""]
        for part in found["protocols"]:
            lines += [*protocol(part, "bench_ict"), ""]
    if (found := load("plus_search")) is not None:
        lines += [PLUS_HEAD, *search(found), "", PLUS_NOTE, ""]
    if (found := load("bench_imbalance")) is not None:
        lines += [IMBALANCE_HEAD, f"`{found['command']}`", "", *protocol(found["protocols"][0], "bench_imbalance"), ""]
        lines += [*labels(found), ""]
    if (found := load("bench_speed")) is not None:
        lines += [*speed(found), ""]
    return lines


def protocol(part: dict[str, Any], name: str) -> list[str]:
    """One protocol's table, the lowest MAE first, and its picture."""
    keys = [key for key in TABLE if key in next(iter(part["models"].values()))["headline"]]
    about = PROTOCOLS[part["protocol"]]
    what = "AUILC" if part["protocol"] == "auilc" else "mean over conditions"
    reference = part["reference"]
    lines = [f"### Protocol {about.letter}, `{part['protocol']}` ({what})", "", about.about, ""]
    heads = [metric(k).arrowed_label for k in keys]
    lines.append(f"| Model | {' | '.join(heads)} | Δ MAE to {reference} | p (Holm) | Rank |")
    lines.append("|---|" + "---|" * (len(keys) + 3))
    for model, found in ordered(part):
        cells = [spread(*found["headline"][k]) for k in keys]
        cells += [difference(found), p(found["p_holm"]), f"{found['mean_rank']:.1f}"]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    for source, wanted, axis in PICTURES:
        if (source, wanted) == (name, part["protocol"]):
            lines += ["", f"![Models under protocol {wanted}](images/{source}_{wanted}_{axis}.png)"]
    return lines


def pictures() -> dict[str, bytes]:
    """The pictures by file name."""
    drawn = {}
    for source, wanted, axis in PICTURES:
        found = load(source)
        parts = [part for part in found["protocols"] if part["protocol"] == wanted] if found else []
        for part in parts:
            drawn[f"{source}_{wanted}_{axis}.png"] = models_over_conditions(tidied(part, axis))
    return drawn


def tidied(part: dict[str, Any], axis: str) -> pd.DataFrame:
    """One axis of a protocol as rows of a tidy table."""
    rows = [
        {"model": model, "condition": name, "rate": rate, "metric": key, "value": values[index]}
        for model, found in ordered(part)
        for key, values in found["by_condition"].items()
        for index, (name, own, rate) in enumerate(part["conditions"])
        if own == axis
    ]
    table = pd.DataFrame(rows)
    return table.assign(rate=table["rate"].astype(float), value=table["value"].astype(float))


def published_numbers() -> dict[str, float]:
    """The metrics of `TABLE` that MITR-DNet's paper reports of CMU-MOSI under protocol A."""
    published = read_experiment(PUBLISHED / "wang2025_mitr-dnet_mosi_auilc.yaml").published
    return {key: published[key] for key in TABLE}


def goals(found: dict[str, Any]) -> list[str]:
    """What was aimed at under protocol A, and what came of it."""
    models = part_of(found, "auilc")["models"]
    paper = published_numbers()
    lines = ["### What was aimed at", ""]
    own = {k: models["mitr-dnet"]["headline"][k][0] for k in TABLE}
    lines.append(
        f"- `mitr-dnet` against the ridge measured beforehand, trained on complete data: {against(own, RIDGE)}."
    )
    lines.append(f"- `mitr-dnet` against the aim: {against(own, AIM)}.")
    if (tuned := load("mosi_finetuned")) is not None:
        own = {k: tuned["auilc"][k]["published"]["mean"] for k in TABLE}
        lines.append(f"- `mitr-dnet` with MiniLM fine-tuned (above), against that ridge: {against(own, RIDGE)}.")
        lines.append(f"- The same against the aim: {against(own, AIM)}.")
    if PLUS in models:
        plus = {k: models[PLUS]["headline"][k][0] for k in TABLE}
        lines.append(
            f"- `{PLUS}` against the paper's line (BERT-base fine-tuned, three modalities): {against(plus, paper)}."
        )
        if (tuned := load("mosi_plus_finetuned")) is not None:
            own = {k: tuned["auilc"][k]["published"]["mean"] for k in TABLE}
            lines.append(f"- `{PLUS}` with MiniLM fine-tuned (above), against the paper's line: {against(own, paper)}.")
        for key in ("mae", "corr"):
            lines.append(f"- `{PLUS}` against the rivals in AUILC {metric(key).label}: {rivals(models, key)}.")
    return lines


def against(own: dict[str, float], bar: dict[str, float]) -> str:
    """Each metric beside a bar."""
    parts = []
    for key, wanted in bar.items():
        met = own[key] <= wanted if metric(key).lower_is_better else own[key] >= wanted
        parts.append(f"{metric(key).label} {own[key]:.3f} to {wanted:.3f}, {'met' if met else '**missed**'}")
    return "; ".join(parts)


def rivals(models: dict[str, Any], key: str) -> str:
    """Which models are better than mitr-dnet-plus."""
    sign = -1 if metric(key).lower_is_better else 1
    own = models[PLUS]["headline"][key][0]
    better = [m for m, v in models.items() if m != PLUS and sign * v["headline"][key][0] > sign * own]
    if not better:
        others = [(sign * v["headline"][key][0], m) for m, v in models.items() if m not in (PLUS, *YARDSTICKS)]
        return f"better than every one; the next is {max(others)[1]}, {abs(max(others)[0]):.3f} to {own:.3f}"
    return f"**not better than** {', '.join(better)}"


def intervals(found: dict[str, Any]) -> list[str]:
    """Coverage of the 90 % intervals per rate under protocol A."""
    part = part_of(found, "auilc")
    rates = [rate for _, _, rate in part["conditions"]]
    lines = [INTERVALS_HEAD, f"| Model | {' | '.join(f'{rate:.1f}' for rate in rates)} | Width at 0.0 | at 1.0 |"]
    lines.append("|---|" + "---|" * (len(rates) + 2))
    inside: list[str] = []
    out: list[str] = []
    for model, entry in ordered(part):
        if entry["coverage"] is None:
            continue
        cells = [f"{100 * c:.1f}" if abs(c - 0.9) <= 0.03 else f"**{100 * c:.1f}**" for c in entry["coverage"]]
        lines.append(f"| {model} | {' | '.join(cells)} | {entry['width'][0]:.2f} | {entry['width'][-1]:.2f} |")
        (out if any(cell.startswith("**") for cell in cells) else inside).append(model)
    lines += ["", f"Within 90 ± 3 % at every rate: {', '.join(inside) or 'none'}."]
    if out:
        lines[-1] += f" Outside at some rate (bold): {', '.join(out)}."
    return lines


def labels(found: dict[str, Any]) -> list[str]:
    """MAE by label under the first protocol."""
    part = found["protocols"][0]
    centres = list(next(iter(part["models"].values()))["mae_by_label"])
    lines = [f"MAE by label, over all conditions of protocol {part['protocol']}:", ""]
    lines += [f"| Model | {' | '.join(c.replace('-', '−') for c in centres)} |", "|---|" + "---|" * len(centres)]
    for model, entry in ordered(part):
        errors = entry["mae_by_label"]
        lines.append(f"| {model} | {' | '.join(f'{errors[c]:.3f}' for c in centres)} |")
    return lines


def modalities(found: dict[str, Any]) -> list[str]:
    """Share of each modality in the mean absolute Shapley values."""
    shares = found["shapley"]
    names = list(next(iter(shares.values())))
    lines = ["Share of each modality in the mean absolute Shapley value on the complete test split:", ""]
    lines += [f"| Model | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for model, _ in ordered(part_of(found, "auilc")):
        if model in shares and model != "mean":
            lines.append(f"| {model} | {' | '.join(f'{100 * shares[model][m]:.0f} %' for m in names)} |")
    return lines


def costs(found: dict[str, Any]) -> list[str]:
    """Parameters and seconds."""
    lines = ["| Model | Trained parameters | Training, s | Prediction, ms a sample |", "|---|---|---|---|"]
    for model, cost in found["costs"].items():
        seconds, each = f"{cost['train_seconds']:.1f}", f"{cost['milliseconds_per_sample']:.1f}"
        lines.append(f"| {model} | {cost['parameters']:,} | {seconds} | {each} |")
    return [*lines, "", COSTS_NOTE]


def search(found: dict[str, Any]) -> list[str]:
    """What was tried for mitr-dnet-plus."""
    lines = ["| Setting | MAE ↓ | Corr ↑ |", "|---|---|---|"]
    for name, entry in found["settings"].items():
        cells = []
        for key in ("mae", "corr"):
            values = list(entry[key].values())
            each = "" if len(values) == 1 else f" ({', '.join(f'{v:.3f}' for v in values)})"
            cells.append(f"{sum(values) / len(values):.3f}{each}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def speed(found: dict[str, Any]) -> list[str]:
    """Runs side by side and one after another."""
    lines = [SPEED_HEAD, "| Processes | Seconds |", "|---|---|"]
    lines += [f"| {jobs} | {' '.join(f'{s:.1f}' for s in seconds)} |" for jobs, seconds in found["seconds"].items()]
    one, two = (min(found["seconds"][jobs]) for jobs in ("1", "2"))
    return [*lines, "", f"Two processes took {two / one:.2f} of the time of one ({found['runs']} runs)."]


def part_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """A protocol of a benchmark."""
    part: dict[str, Any] = next(part for part in found["protocols"] if part["protocol"] == name)
    return part


def ordered(part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Models by MAE."""
    return sorted(part["models"].items(), key=lambda item: item[1]["headline"]["mae"][0])


def spread(mean: float | None, std: float | None) -> str:
    """Mean and standard deviation."""
    return ("–" if mean is None else f"{mean:.3f}") + ("" if std is None else f" ± {std:.3f}")


def difference(found: dict[str, Any]) -> str:
    """Of MAE to the reference, with its interval."""
    if found["difference"] is None:
        return "reference"
    return f"{found['difference']:+.3f} [{found['difference_low']:+.3f}, {found['difference_high']:+.3f}]"


def p(value: float | None) -> str:
    """A probability."""
    return "" if value is None else "< .001" if value < 0.001 else f"{value:.3f}"


MOSI_HEAD = """## Benchmark on CMU-MOSI: every model under protocols A, B and D

Text + audio as above, three seeds, one model for all conditions of a protocol. All models read the states of the
same frozen MiniLM and were trained with the same options (`experiments/bench_mosi.yaml`); sizes and loss weights
are each paper's own. ± is over seeds. Δ MAE is paired, with a bootstrap interval over videos, and p comes from sign
flips of whole videos, corrected for the number of models (Holm).
"""
PER_RATE_HEAD = """## Protocol A as published: one model per rate

The same options, one seed, eleven models each.
"""
ABLATIONS_HEAD = """## What each part of MITR-DNet is worth

Protocol A, one model for all rates, the options of the benchmark above; each line takes one part away or changes it
back (`experiments/ablations.yaml`). One seed: the tests are over videos and know nothing of other seeds, by which the
complete model varies as the benchmark above says. With a frozen encoder and without vision no part of it is shown to
help.
"""
ICT_HEAD = """## Benchmark on ICT-MMMO: every model under protocols A, B, C1 and C2

Five folds, one seed, the 220 text-less samples take part in training; the same options for all models
(`experiments/bench_ict.yaml`, nothing was tuned). ± is over folds; intervals and tests are over the 120 test clips
of all folds.
"""
PLUS_HEAD = """## How mitr-dnet-plus was chosen

On splits in which the official test split takes no part: the official validation split is tested on, thirteen
training videos validate. Protocol A, the options of `experiments/bench_mosi.yaml`, AUILC. Lines without another name
are `mitr-dnet-plus` with that change; where several seeds were run, the mean and each are given. Most changes were
made in a copy of the model and are no options of it; those that are can be run again:

```bash
python experiments/mosi_dev_split.py $MITR_SHARED/data/mosi_text_audio/label.csv runs/dev.csv
mitr data import $MITR_SHARED/data/mosi_text_audio --splits runs/dev.csv --out runs/data/mosi_dev \\
    --name "CMU-MOSI, development"
mitr bench runs/data/mosi_dev --models mitr-dnet-plus --variants experiments/plus.yaml --protocol auilc --seeds 1,2 \\
    --out runs/bench-plus --config experiments/bench_mosi.yaml
```
"""
PLUS_NOTE = """With up to three seeds on 229 clips, differences of some hundredths are noise: the first seed of EMT-DLFR
without hidden tokens looked better than anything else here, and its next two did not. Read with care, the table says
that reading the summary helps, and that our distillation does not help EMT-DLFR's network. EMT-DLFR and
`mitr-dnet-plus`, both without hidden tokens, were then run side by side with three seeds:
`mitr bench runs/data/mosi_dev --models emt-dlfr,mitr-dnet-plus --protocol auilc --seeds 1,2,3 --out runs/bench-dev-skip
--config experiments/bench_mosi.yaml --text.hidden skip`."""
IMBALANCE_HEAD = """## Rare labels

Do label-density weighting, balanced MSE and balanced sampling help on MOSI's rare extremes? `mitr-dnet-plus`,
protocol A, three seeds.
"""
INTERVALS_HEAD = """### Prediction intervals

Share (%) of test labels inside the 90 % interval at each missing rate of protocol A, mean over seeds; calibrated on
the validation split ([confidence.md](confidence.md)).
"""
COSTS_NOTE = (
    "Measured with one thread while another benchmark ran on the second core; prediction includes the encoder's time. "
    "Training includes reading texts whose states no earlier run of the process left in memory: for `mitr-dnet-plus`, "
    "which alone leaves hidden tokens out, and for `mitr-dnet`, which ran first, that is a large part."
)
SPEED_HEAD = """## Benchmarks in parallel

`python experiments/bench_speed.py runs/data/ict0 --out docs/results/bench_speed.json`: the same plan in one process
and in two, on two cores, each tried twice.
"""
