"""Render docs/performance.md and its picture from the files in perf/ beside this script; `make bench` runs it."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))
import history  # noqa: E402  # of the benchmarks
import performance_words as words  # noqa: E402  # beside this script
from performance_kernels import factors, kernels, table, waiting  # noqa: E402
from performance_picture import growth_picture  # noqa: E402

DOCS, PERF = HERE.parent, HERE / "perf"
YARDSTICK = 82.0  # GFLOP/s of the machine on which the release was measured
RELEASE = {  # seconds, for 32 samples: authors' MITR-DNet, EMT-DLFR; of a range both ends
    "states": ((2.3, 2.3), (4.4, 4.4)),
    "bert": ((20.0, 25.0), (18.0, 30.0)),
    "evaluation": ((5.0, 6.0), (6.0, 6.0)),
}
RELEASE_GB = (5.6, 7.0)
STEP_BARS = {  # times less work than the release
    "step, states, table, float32": 2.5,
    "step, states, table, bf16": 4.0,
    "step, states, mosi, float32": 4.0,
    "step, states, mosi, bf16": 6.0,
    "step, bert, table, float32": 2.2,
    "step, bert, table, bf16": 4.0,
    "step, bert, mosi, float32": 3.0,
    "step, bert, mosi, bf16": 5.0,
}
GIVEN_BACK = ", memory given back"  # ends the name of a case that is run so
EVALUATION_BAR, FLOOR_BAR = 5.0, 1.5
PASSES = 6  # through the model in a step, by multiply-adds: both views, forward once and backward twice
MOSEI = 22_856  # samples
RELEASED = "MITR-DNet"  # its name among the models that were run here
BATCH = 32  # samples that they were timed with
Row = dict[str, Any]


def main() -> None:
    """Write the page and the picture."""
    (DOCS / "performance.md").write_text(page(), encoding="utf-8")
    if (found := load("growth")) is not None:
        (DOCS / "images" / "growth.png").write_bytes(growth_picture(found))


def load(name: str) -> Any:
    """A result file, or None while it does not exist."""
    path = PERF / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def rows_of(name: str) -> list[Row]:
    """The rows of a benchmark; none while it has no file."""
    found = load(name)
    return [] if found is None else list(found[name])


def page() -> str:
    """The page as Markdown."""
    parts = [
        (words.INTRODUCTION, measured()),
        (words.BARS, bars()),
        (words.MISSED, missed()),
        (words.ACCURACY, accuracy()),
        (words.RELEASE, release()),
        (words.FACTORS, factors(load("rival"))),
        (words.STEPS, steps()),
        (words.KERNELS, kernels(rows_of("kernels"))),
        (words.WAITING, waiting(rows_of("waiting"))),
        (words.PROFILE, profile()),
        (words.COMPILED, compiled()),
        (words.EPOCHS, epochs()),
        (words.SWEEP, sweep()),
        (words.PROTOCOL, protocol()),
        (words.DATA, data()),
        (words.INFERENCE, inference()),
        (words.GROWTH, growth()),
    ]
    return "\n".join(line for head, lines in parts for line in (head, *(lines or [words.NOTHING]), "")).rstrip() + "\n"


def measured() -> list[str]:
    """Which benchmark was run when, on what."""
    last = {entry.benchmark: entry for entry in history.read(PERF / "history.csv")}
    lines = []
    for name, entry in sorted(last.items()):
        about = (load(name) or {}).get("machine", {})
        machine = f"{about.get('processor', '?')}, {about.get('cores', '?')} cores, PyTorch {about.get('torch', '?')}"
        lines.append([f"`make bench-{name}`", entry.date, entry.commit, machine])
    return table(["Command", "Measured", "Commit", "Machine"], lines)


def bars() -> list[str]:
    """Each goal, with the measured figure."""
    steps = {row["case"]: row for row in rows_of("training")}
    lines = []
    for case, bar in STEP_BARS.items():
        value, here = (less(steps[case]), beside(steps[case])) if case in steps else (None, None)
        lines.append(verdict(f"{case}: times less work than the release", value, bar, "at least", here))
    for case in (case for case in STEP_BARS if "bert" in case):
        step = steps.get(case, {})
        what = f"evaluation, {case.removeprefix('step, ')}, the incomplete view: times less work"
        by_table = over(release_units("evaluation"), step.get("evaluation_units"))
        here = over(rival("evaluation"), step.get("evaluation_seconds"))
        lines.append(verdict(what, by_table, EVALUATION_BAR, "at least", here))
    plain, given_back = "step, bert, table, float32", f"step, bert, table, float32{GIVEN_BACK}"
    for case, how in ((plain, ""), (given_back, words.GIVEN_BACK)):
        peak = steps.get(case, {}).get("peak_mb")
        by_table, here = over(peak, 1000 * RELEASE_GB[0]), over(peak, rival("evaluation", "peak_mb"))
        lines.append(verdict(f"peak memory with BERT{how}, over the release's", by_table, 0.5, "at most", here))
    known = steps.get(given_back)
    value, here = (less(known), beside(known)) if known else (None, None)
    what = f"{plain}{words.GIVEN_BACK}: times less work than the release"
    lines.append(verdict(what, value, STEP_BARS[plain], "at least", here))
    for case in STEP_BARS:
        lines.append(verdict(f"{case}: over its floor", steps.get(case, {}).get("times_floor"), FLOOR_BAR, "at most"))
    for key, name in words.EVALUATIONS.items():
        rows = [row for row in rows_of("sweep") if key in row]
        value, here = max((row[key] for row in rows), default=None), None
        if key == "over_release" and rows:
            here = over(BATCH * max(row["seconds"] / row["samples"] for row in rows), rival("evaluation"))
        lines.append(verdict(f"eleven rates over {name}, the worst case", value, 4.0, "below", here))
    whole = {row["task"]: row for row in rows_of("data") if row["samples"] == MOSEI}
    peaks = [whole[task]["peak_mb"] for task in ("train", "longest") if task in whole]
    lines.append(verdict("peak MB of training on a MOSEI-sized store", max(peaks, default=None), 2000, "below"))
    opened = whole["open"]["cold_seconds"] if "open" in whole else None
    lines.append(verdict("seconds to open it, with nothing in the system's cache", opened, 0.2, "below"))
    size = whole["import"]["peak_mb"] / whole["import"]["pickle_mb"] if "import" in whole else None
    lines.append(verdict("peak memory of importing it, over the size of its pickle", size, 2.5, "at most"))
    exported = [row for row in rows_of("inference") if row["engine"] == "onnx"]
    p50 = max((row["p50_ms"] for row in exported), default=None)
    lines.append(verdict("one clip with ONNX: p50 in ms, the worst model", p50, 25, "below"))
    most = [max(batch["clips_per_second"] for batch in row["throughput"]) for row in exported]
    lines.append(
        verdict("clips a second with ONNX in batches, the worst model", min(most, default=None), 200, "at least")
    )
    for key, (name, bar, how, worst) in words.ACCURACY_BARS.items():
        value = worst((row[key] for row in rows_of("accuracy")), default=None)
        lines.append(verdict(f"CMU-MOSI, complete data: {name}, the worst seed", value, bar, how))
    return table(["Figure", "Goal", "Measured", "By the table"], lines)


def missed() -> list[str]:
    """Limits under some of the figures."""
    steps = {row["case"]: row for row in rows_of("training")}
    lines = []
    row, released = steps.get("step, bert, table, float32"), rival("evaluation")
    if row is not None and released is not None:
        alone, allowed = row["gflop"] / PASSES, released * row["yardstick"] / EVALUATION_BAR
        lines.append(
            f"- Evaluation with BERT in float32 (`table`): its multiply-adds alone are {alone:.0f} units, at the full "
            f"speed of the yardstick; the goal allows {allowed:.0f}, and it takes {row['evaluation_units']:.0f}."
        )
    readings = [row["readings"] / 2 for row in rows_of("sweep") if "over_both_views" in row]
    if readings:
        lines.append(
            f"- Eleven rates over both our views: the texts that differ are up to {max(readings):.2f} times those of "
            "one such evaluation, and each has to be read once."
        )
    floors = [
        f"{1 / row['times_floor']:.0%} ({case.removeprefix('step, ')})"
        for case, row in steps.items()
        if case in STEP_BARS and row["times_floor"] > FLOOR_BAR
    ]
    if floors:
        lines.append(
            "- The floor counts products at the yardstick's full speed. Of the steps that miss it, they are "
            f"{', '.join(floors)}; the rest is narrow products, attention, normalisation, gates, dropout and many "
            "small calls, each with passes of its own."
        )
    return lines


def accuracy() -> list[str]:
    """A published task with all kernels."""
    keys = "mae", "corr", "acc2_non0", "auilc_mae", "auilc_corr"
    lines = [[f"{row['seed']}", *(f"{row[key]:.3f}" for key in keys)] for row in rows_of("accuracy")]
    found = table(["Seed", "MAE", "Corr", "Acc-2, non-zero", "AUILC MAE", "AUILC Corr"], lines)
    return [f"`{load('accuracy')['command']}`", "", *found] if found else []


def verdict(what: str, value: float | None, bar: float, how: str, here: float | None = None) -> list[str]:
    """A line of the goals: `here`, the value by the release as it was run on the same machine, counts where there is
    one; `value`, by the table, stands beside it."""

    def shown(value: float) -> str:
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"

    counts = value if here is None else here
    if counts is None:
        return [what, f"{how} {bar:g}", "not measured yet", ""]
    met = {"at least": counts >= bar, "at most": counts <= bar, "below": counts < bar}[how]
    by_table = "" if here is None or value is None else shown(value)
    return [what, f"{how} {bar:g}", f"{shown(counts)}, {'met' if met else '**missed**'}", by_table]


def rival(what: str, key: str = "seconds") -> float | None:
    """Of the authors' MITR-DNet on the machine of these figures, with two threads: the best seconds, or another key."""
    wanted = RELEASED, what, 2
    found = [row[key] for row in rows_of("rival") if (row["model"], row["what"], row["threads"]) == wanted]
    return min(found, default=None)


def over(one: float | None, other: float | None) -> float | None:
    """A ratio, where both are known."""
    return None if one is None or other is None else one / other


def beside(row: Row) -> float | None:
    """How much less work a step is than the release's on the same machine."""
    return over(rival(row["case"].split(", ")[1]), float(row["seconds"]))


def release_units(what: str) -> float:
    """The work of the authors' MITR-DNet in yardstick units, the middle of a range."""
    return float(np.mean(RELEASE[what][0])) * YARDSTICK


def less(row: Row) -> float:
    """How much less work a step is than the release's."""
    return release_units(row["case"].split(", ")[1]) / float(row["units"])


def release() -> list[str]:
    """The reference figures in yardstick units."""
    heads = ["", "authors' MITR-DNet", "EMT-DLFR"]
    lines = [[words.RELEASE_ROWS[what], *(units(*ends) for ends in both)] for what, both in RELEASE.items()]
    found = table(heads, [*lines, ["peak memory with BERT", *(f"{size} GB" for size in RELEASE_GB)]])
    return [*found, "", words.RIVAL, *beside_lines()] if rows_of("rival") else found


def beside_lines() -> list[str]:
    """The released models as they were run here."""
    lines = [
        [
            row["model"],
            *(words.RELEASE_ROWS[row["what"]], f"{row['threads']}", f"{row['seconds']:.2f}"),
            *(f"{row['yardstick']:.0f}", f"{row['seconds'] * row['yardstick']:.0f}"),
        ]
        for row in rows_of("rival")
    ]
    return table(["Model", "", "Threads", "Seconds", "Yardstick", "Units"], lines)


def units(low: float, high: float) -> str:
    """Seconds of the release, or a range of them, in yardstick units."""
    return f"{low * YARDSTICK:.0f}" + (f"–{high * YARDSTICK:.0f}" if high > low else "")


def steps() -> list[str]:
    """Training steps."""
    lines = [
        [
            *(
                row["case"].removeprefix("step, "),
                f"{row['seconds']:.3f}",
                f"{row['units']:.0f}",
                f"{beside(row) or less(row):.2f}",
            ),
            *(f"{row['gflop']:.0f}", f"{row['yardstick_own']:.0f}", f"{row['times_floor']:.2f}"),
            *(f"{row['evaluation_units']:.1f}", f"{row['peak_mb']}", f"{row.get('runs', 1)}"),
        ]
        for row in rows_of("training")
        if row["case"].startswith("step")
    ]
    heads = ["Case", "Seconds", "Units", "Times less", "GFLOP", "GFLOP/s of the format", "Over the floor"]
    return table([*heads, "Evaluation, units", "Peak MB", "Runs"], lines)


def profile() -> list[str]:
    """Where the time of each step goes."""
    rows = [row for row in rows_of("training") if row.get("profile")]
    parts = dict.fromkeys(part for row in rows for part in row["profile"])
    lines = [
        [row["case"].removeprefix("step, "), *(f"{row['profile'].get(part, 0):.1f}" for part in parts)] for row in rows
    ]
    return table(["Percent of the step", *parts], lines)


def compiled() -> list[str]:
    """What torch.compile would save."""
    steps = {row["case"]: row["seconds"] for row in rows_of("training")}
    lines = []
    for row in rows_of("compiled"):
        step = steps.get(f"step, states, mosi, {row['case'].removeprefix('gate, ')}")
        share = "–" if step is None else f"{round(row['step_ms'])} of {1000 * step:.0f} ms"
        times = [f"{1000 * row[key]:.2f}" for key in ("seconds", "compiled_seconds")]
        lines.append([row["case"], *times, f"{row['compiling_seconds']:.0f}", share])
    return table(["", "As it is, ms", "Compiled, ms", "First call, s", "Of a step, states, mosi"], lines)


def epochs() -> list[str]:
    """Training epochs."""
    lines = []
    for row in rows_of("training"):
        if row["case"].startswith("epoch"):
            how = "measured" if row["samples"] == row["of"] else f"from {row['samples']} samples, by proportion"
            numbers = [f"{row['seconds']:.1f}", f"{row['units']:.0f}", f"{row['times_floor']:.2f}", f"{row['peak_mb']}"]
            lines.append([row["case"].removeprefix("epoch, "), f"{row['of']}", *numbers, how])
    return table(["Shape and text", "Samples", "Seconds", "Units", "Over the floor", "Peak MB", ""], lines)


def sweep() -> list[str]:
    """Eleven rates against complete evaluations."""
    rows = rows_of("sweep")
    lines = [
        [
            *(row["case"], f"{row['seconds']:.1f}", f"{row['units'] / row['samples']:.2f}"),
            *(f"{row[key]:.2f}" if key in row else "–" for key in words.EVALUATIONS),
            *(f"{row['readings']:.2f}", f"{row['again_seconds']:.1f} s" if "again_seconds" in row else "–"),
        ]
        for row in rows
    ]
    heads = ["Text encoder", "Seconds", "Units a sample", *(f"Over {name}" for name in words.EVALUATIONS.values())]
    return table([*heads, "Readings", "Again"], lines)


def protocol() -> list[str]:
    """The wall time of protocol A."""
    keys = ("seconds", "epoch_seconds", "rest_seconds")
    lines = [
        [row["case"], *(f"{row[key]:.1f}" for key in keys), f"{row['units']:.0f}", f"{row['peak_mb']}"]
        for row in rows_of("protocol")
    ]
    return table(["Case", "Seconds", "An epoch", "All but training", "Units", "Peak MB"], lines)


def data() -> list[str]:
    """Stores: time and memory of each task."""
    lines = [
        [
            *(words.TASKS[row["task"]], f"{row['samples']}", f"{row['seconds']:g}", f"{row['units']:g}"),
            *(f"{row['private_mb']}", f"{row['peak_mb']}"),
        ]
        for row in sorted(rows_of("data"), key=lambda row: list(words.TASKS).index(row["task"]))
    ]
    slopes = [
        f"{task} {slope['seconds_per_1000']:.3g} s and {slope['peak_mb_per_1000']:.3g} MB"
        for task, slope in (load("data") or {}).get("slopes", {}).items()
    ]
    found = table(["Task", "Samples", "Seconds", "Units", "Own MB", "Peak MB"], lines)
    return [*found, "", f"A thousand more samples cost: {'; '.join(slopes)}."] if slopes else found


def inference() -> list[str]:
    """Latency and throughput."""
    lines = [
        [
            *(row["model"], row["engine"], f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['p50_units']:.2f}"),
            ", ".join(f"{batch['clips_per_second']:.0f} ({batch['batch']})" for batch in row["throughput"]),
        ]
        for row in rows_of("inference")
    ]
    return table(["Model", "Engine", "p50, ms", "p99, ms", "p50, units", "Clips a second (in batches of)"], lines)


def growth() -> list[str]:
    """Slopes and the picture."""
    found = load("growth")
    if found is None:
        return []
    lines = [[words.VARIED[what], f"{slope:.2f}"] for what, slope in found["slopes"].items()]
    return ["![Growth](images/growth.png)", "", *table(["What grows", "Slope"], lines)]


if __name__ == "__main__":
    main()
