"""A clip's answers over time: a table, JSON and a picture."""

from pathlib import Path
from typing import Any

import pandas as pd

from mitr.files import replacing, write_json
from mitr.prediction.answer import Prediction
from mitr.report.plots import BLUE, GREY, MODALITY_COLOURS, column_of


def write_timeline(answer: Prediction, folder: Path, stem: str) -> list[Path]:
    """Write `<stem>.csv`, `<stem>.json` and `<stem>.png` about a clip that was answered in segments.

    Returns:
        The three paths.
    """
    paths = [folder / f"{stem}.{ending}" for ending in ("csv", "json", "png")]
    with replacing(paths[0]) as partial:
        table(answer).to_csv(partial, index=False)
    write_json(paths[1], answer.to_json())
    if answer.sentiment is None:
        return paths[:2]
    picture(answer, paths[2])
    return paths


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
    """The sentiment over time with its interval, and below it which share of each modality was observed when.

    Args:
        answer: on a scale, with segments.
        path: where to write the PNG as well.

    Returns:
        The PNG.
    """
    modalities = list(answer.observed)
    with column_of([3.2, 0.9 + 0.35 * len(modalities)], 9.0, path) as (axes, png):
        _scores(axes[0], answer)
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


def _presence(axis: Any, answer: Prediction, modalities: list[str]) -> None:
    for place, m in enumerate(reversed(modalities)):
        colour = MODALITY_COLOURS[m]
        for part in answer.segments:
            width = part.stop - part.start
            share = part.observed[m]
            axis.barh(place, width, 0.6, left=part.start, color=colour, alpha=0.08 + 0.92 * share, linewidth=0)
        for span in answer.missing.get(m, ()):
            axis.barh(place, span.stop - span.start, 0.12, left=span.start, color="#1F2328", linewidth=0)
    axis.set(xlim=(0, answer.stop), ylim=(-0.6, len(modalities) - 0.4), xlabel="Time (s)")
    axis.set_yticks(range(len(modalities)), labels=list(reversed(modalities)))
    axis.grid(False)
    axis.set_title("What was observed (black: missing)", fontsize=10)
