"""The canvas of all pictures: Matplotlib's object interface on Agg, without pyplot; colours and style.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mitr.files import replacing

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
SERIES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#8A8F98")
MODALITY_COLOURS = {"text": BLUE, "audio": ORANGE, "vision": GREEN}
MARKERS, DASHES = "os^Dv", ("-", (0, (4, 2)), (0, (1, 1.5)))
DPI = 200  # twice the size at which the page shows the picture
Drawing = tuple[list[Any], Callable[[], bytes]]
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#5B616B",
    "axes.labelcolor": "#2B2F36",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": "#5B616B",
    "ytick.color": "#5B616B",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
    "text.usetex": False,
    "svg.hashsalt": "mitr",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


def row_of(panels: int, height: float, path: Path | None, panel_width: float = 3.4) -> AbstractContextManager[Drawing]:
    """A row of axes to draw on, and a function that gives their PNG after the block; a path to .svg gets an SVG."""
    return drawing((panel_width * panels, height), path, nrows=1, ncols=panels)


def column_of(heights: Sequence[float], width: float, path: Path | None) -> AbstractContextManager[Drawing]:
    """The same for axes one above the other, with these heights in inches."""
    return drawing((width, sum(heights)), path, nrows=len(heights), ncols=1, height_ratios=heights)


@contextmanager
def drawing(size: tuple[float, float], path: Path | None, **subplots: Any) -> Iterator[Drawing]:
    """The same for any arrangement of Matplotlib's `subplots`."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(squeeze=False, **subplots).ravel()
        yield list(axes), drawn.getvalue
        FigureCanvasAgg(figure).print_figure(drawn, dpi=DPI, format="png")
        if path is not None and path.suffix == ".svg":
            with replacing(path) as partial:
                figure.savefig(partial, format="svg", metadata={"Date": None})
        elif path is not None:
            with replacing(path) as partial:
                partial.write_bytes(drawn.getvalue())


def corner(axis: Any, text: str, colour: str) -> None:
    """Write a short text above the right end of an axis."""
    axis.annotate(text, (1, 1), (0, 5), "axes fraction", "offset points", ha="right", fontsize=8.5, color=colour)
