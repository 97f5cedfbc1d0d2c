"""The parts of docs/results.md about clips, from clips.json and clip_variants.json."""

from typing import Any

from benches import load  # beside this script

CHAIN = ("decode audio", "sims33", "decode video", "face", "text and network")
BARS = {"chain": 500.0, "peak_mb": 1200.0}  # ms per second of clip; MB


def sections() -> list[str]:
    """Both of them as lines of Markdown."""
    lines: list[str] = []
    if (found := load("clips")) is not None:
        lines += [COSTS_HEAD, *costs(found), ""]
    if (found := load("clip_variants")) is not None:
        lines += [VARIANTS_HEAD, *variants(found), ""]
    return lines


def costs(found: dict[str, Any]) -> list[str]:
    """Milliseconds per second of clip of each stage, and memory."""
    stages = list(found["clips"][0]["milliseconds_per_second"])
    others = [name for name in stages if name not in CHAIN]
    lines = [f"| Clip | Seconds | {' | '.join(CHAIN)} | **chain** | Peak MB | {' | '.join(others)} |"]
    lines.append("|---|---|" + "---|" * (len(stages) + 2))
    for row in found["clips"]:
        each = row["milliseconds_per_second"]
        cells = [f"{each[name]:.0f}" for name in CHAIN] + [f"**{row['chain']:.0f}**", f"{row['peak_mb']}"]
        cells += [f"{each[name]:.0f}" for name in others]
        lines.append(f"| {row['clip']} | {row['seconds']:.2f} | {' | '.join(cells)} |")
    slowest, most = (max(row[key] for row in found["clips"]) for key in ("chain", "peak_mb"))
    verdicts = [
        f"{what} at most {bar:.0f} {unit}: {value:.0f}, {'met' if value <= bar else '**missed**'}"
        for what, bar, unit, value in (
            ("chain", BARS["chain"], "ms per second of clip", slowest),
            ("memory", BARS["peak_mb"], "MB", most),
        )
    ]
    long = found["long"]
    faces = min(row["observed_vision"] for row in found["clips"])
    return [
        *lines,
        "",
        f"The bars set beforehand: {'; '.join(verdicts)}. A face was found in at least {faces:.0%} of the pictures of "
        f"each clip. The whole command `mitr predict RUN 12.mp4`, Python's start and imports included, took "
        f"{found['command_seconds']:.1f} s.",
        "",
        f"A made clip of {long['seconds']:.0f} s, answered in {long['segments']} windows by one call that knew nothing "
        f"of it: {long['milliseconds_per_second']:.0f} ms per second of clip and at most {long['peak_mb']} MB; asked "
        f"again, with its features in the cache, {long['milliseconds_per_second_known']:.1f} ms.",
    ]


def variants(found: dict[str, Any]) -> list[str]:
    """Scores of each clip and its variants."""
    clips = found["clips"]
    names = list(clips[0]["variants"])
    heads = [f"Clip {row['clip']}" for row in clips]
    lines = [f"| Variant | {' | '.join(heads)} | Said to be missing |"]
    lines.append("|---|" + "---|" * (len(clips) + 1))
    moved = []
    for name in names:
        cells = []
        for row in clips:
            answer, first = row["variants"][name], row["variants"][names[0]]
            inside = first["low"] <= answer["sentiment"] <= first["high"]
            again = name.startswith(("encoded", "turned", "12"))
            if again and not inside:
                moved.append(f"clip {row['clip']}, {name}")
            cells.append(f"{answer['sentiment']:+.2f}" if inside or not again else f"**{answer['sentiment']:+.2f}**")
        missing = [part for row in clips for part in row["variants"][name]["missing"].items()]
        gone = {f"{m}: {', '.join(reasons)}" for m, reasons in missing}
        lines.append(f"| {name} | {' | '.join(cells)} | {'; '.join(sorted(gone)) or 'nothing'} |")
    widths = [row["variants"][names[0]]["high"] - row["variants"][names[0]]["low"] for row in clips]
    beyond = f"all but these stay inside it (bold): {'; '.join(moved)}" if moved else "all stay inside it"
    return [
        *lines,
        "",
        f"Do files that show and say the same stay inside the 90 % band of the clip as it is? {beyond[0].upper()}"
        f"{beyond[1:]}. The band is narrow here, at least {min(widths):.2f} wide, since made clips are easy "
        f"(validation MAE {found['validation_mae']:.2f}).",
    ]


COSTS_HEAD = """## Clips: what reading and answering cost

The four real clips of the shared material, each stage alone and the best of three calls, one thread, milliseconds per
second of clip; memory is the highest of a process that does the whole chain. The answers come from a MITR-DNet with
MiniLM; features are those of `mitr extract` by default ([features.md](features.md)).

`python experiments/clip_speed.py $MITR_SHARED/data/clips --out docs/results/clips.json`
"""
VARIANTS_HEAD = """## Clips: the same clip otherwise

A `mitr-dnet-plus` was trained on 96 made clips (drawn faces, speech-like sound, little sentences), which say nothing of
people: its scores of real clips mean nothing, but how far they move does.

```bash
python experiments/clip_variants.py $MITR_SHARED/data/clips --out docs/results/clip_variants.json \\
    --picture docs/images/clip_timeline.png
```
"""
