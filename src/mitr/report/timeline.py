"""A clip's answers over time: a table, JSON and a picture."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from mitr.files import write_csv, write_json
from mitr.prediction.answer import Prediction
from mitr.report.figure import BLUE, GREY, MODALITY_COLOURS, SERIES, column_of


def write_timeline(answer: Prediction, folder: Path, stem: str) -> list[Path]:
    """Write `<stem>.csv`, `<stem>.json` and `<stem>.png` about a clip that was answered in segments.

    Returns:
        The three paths.
    """
    paths = [folder / f"{stem}.{ending}" for ending in ("csv", "json", "png")]
    write_csv(paths[0], table(answer))
    write_json(paths[1], answer.to_json())
    picture(answer, paths[2])
    return paths


def free_stem(stem: str, taken: set[str]) -> str:
    """A name that is not taken yet, `stem` or `stem-2`, `stem-3` and so on, which is taken from now on."""
    name = next(n for n in itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2))) if n not in taken)
    taken.add(name)
    return name


def table(answer: Prediction) -> pd.DataFrame:
    """One row a segment: start, stop (s), the answer with its interval, what was observed, what mattered, the words."""
    rows = []
    for part in answer.segments:
        row: dict[str, Any] = {"start": part.start, "stop": part.stop}
        if part.category is None:
            row |= {"sentiment": part.sentiment, "low": part.low, "high": part.high}
        else:
            row |= {"class": part.category} | {f"probability_{name}": p for name, p in part.probabilities.items()}
        row |= {"all_missing": part.all_missing}
        row |= {f"observed_{m}": share for m, share in part.observed.items()}
        row |= {f"shapley_{m}": value for m, value in part.shapley.items()}
        row["missing"] = "; ".join(
            f"{m} {s.start:g}-{s.stop:g} ({s.reason})" for m, spans in part.missing.items() for s in spans
        )
        rows.append(row | {"text": part.text})
    return pd.DataFrame(rows)


def picture(answer: Prediction, path: Path | None = None) -> bytes:
    """The answers over time, and below them when each modality was observed.

    Above: the sentiment with its interval, or the probability of each class. Below: a bar where something of a modality
    was observed, a thin black line where it was missing; of text, that is a part with or without words.

    Args:
        answer: with segments.
        path: where to write the PNG as well.

    Returns:
        The PNG.
    """
    modalities = list(answer.observed)
    with column_of([3.2, 0.9 + 0.35 * len(modalities)], 9.0, path) as (axes, png):
        (_scores if answer.category is None else _shares)(axes[0], answer)
        _presence(axes[1], answer, modalities)
    return png()


def _scores(axis: Any, answer: Prediction) -> None:
    low, high = answer.label_range
    for part in answer.segments:
        span = [part.start, part.stop]
        colour = GREY if part.all_missing else BLUE
        if part.low is not None and part.high is not None:
            axis.fill_between(span, part.low, part.high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(span, [part.sentiment] * 2, clip_on=False, color=colour, solid_capstyle="butt", linewidth=2.5)
    axis.axhline(0.0 if low < 0 < high else (low + high) / 2, color=GREY, linewidth=0.8)
    axis.set(xlim=(0, answer.stop), ylim=(low, high), ylabel="Sentiment")
    band = f", band: {answer.level:.0%} interval" if answer.level is not None else ""
    axis.set_title(f"Sentiment over time{band}")


def _shares(axis: Any, answer: Prediction) -> None:
    for index, name in enumerate(answer.probabilities):
        colour = SERIES[index % len(SERIES)]
        for number, part in enumerate(answer.segments):
            label = name if number == 0 else None
            share = [part.probabilities[name]] * 2
            style = {"color": colour, "solid_capstyle": "butt", "linewidth": 2.5, "clip_on": False}
            axis.plot([part.start, part.stop], share, label=label, **style)
    axis.set(xlim=(0, answer.stop), ylim=(0, 1), ylabel="Probability")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axis.set_title("Classes over time")


def _presence(axis: Any, answer: Prediction, modalities: list[str]) -> None:
    for place, m in enumerate(reversed(modalities)):
        for start, stop in observed_of(answer, m):
            axis.barh(place, stop - start, 0.6, left=start, color=MODALITY_COLOURS[m], linewidth=0)
        for start, stop in without(observed_of(answer, m), answer.stop):
            axis.barh(place, stop - start, 0.1, left=start, color="#1F2328", linewidth=0)
    axis.set(xlim=(0, answer.stop), ylim=(-0.6, len(modalities) - 0.4), xlabel="Time (s)")
    axis.set_yticks(range(len(modalities)), labels=list(reversed(modalities)))
    axis.grid(False)
    axis.set_title("What was observed (thin black line: missing)", fontsize=10)


def observed_of(answer: Prediction, modality: str) -> list[tuple[float, float]]:
    """When something of a modality was observed, as (start, stop) in order; text: the segments that have words."""
    if modality == "text":
        return joined((part.start, part.stop) for part in answer.segments if part.observed[modality] > 0)
    gaps = joined((span.start, span.stop) for span in answer.missing.get(modality, ()))
    return without(gaps, answer.stop)


def joined(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches in order, those that overlap or touch as one."""
    found: list[tuple[float, float]] = []
    for start, stop in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def without(stretches: Iterable[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """What lies between stretches that are in order and apart, from 0 to `end`."""
    edges = [0.0, *(min(edge, end) for stretch in stretches for edge in stretch), end]
    return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop > start]
