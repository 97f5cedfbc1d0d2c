"""Tables of docs/performance.md: kernels, the factors against the release, and waiting threads."""

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]


def kernels(rows: Sequence[Row]) -> list[str]:
    """A training step with and without each kernel."""
    lines = [
        [
            *(row["case"], f"{row['seconds']:.2f}", f"{row['without_seconds']:.2f}", f"{row['ratio']:.2f}"),
            f"{row['low']:.2f} to {row['high']:.2f}",
            f"{row['without_peak_mb'] - row['peak_mb']:+d}" if "without_peak_mb" in row else "–",
        ]
        for row in rows
    ]
    heads = ["Kernel", "With, s", "Without, s", "Without over with", "Half of the pairs", "Peak without it, MB"]
    return table(heads, lines)


def factors(rival: Row | None) -> list[str]:
    """What the factor against the release is made of."""
    lines = [
        [row["what"], f"{row['low']:g} to {row['high']:g}", row["source"]] for row in (rival or {}).get("factors", [])
    ]
    return table(["The release's step over ours, float32", "Times", "Source"], lines)


def waiting(rows: Sequence[Row]) -> list[str]:
    """A step on one and two threads, beside other processes."""
    lines = [
        [row["case"], f"{row['seconds']:.1f}", f"{row['most_seconds']:.1f}", f"{row['cpu_seconds']:.2f}"]
        for row in rows
    ]
    return table(["Threads", "Seconds, median", "Most", "Seconds of the processors"], lines)


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown; nothing where it has no line."""
    body = [f"| {' | '.join(line)} |" for line in lines]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *body] if body else []
