"""Render the tables and pictures of docs/protocols.md from the registry of protocols and from its masks."""

import re
from dataclasses import fields
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mitr.config import MissingConfig
from mitr.data.scale import Scale
from mitr.data.schema import MODALITIES
from mitr.missing.masks import inside
from mitr.missing.protocols import PROTOCOLS, Protocol
from mitr.missing.schedules import Extent, Masks, described_validation, for_epoch

DOCS = Path(__file__).parents[1]
SCALE = Scale.of((-3, 3))
EXTENTS = {
    "text": Extent(np.array([8, 12, 5, 10, 7, 12, 9, 6])),
    "audio": Extent(np.array([17, 24, 11, 20, 13, 22, 18, 9])),
    "vision": Extent(np.array([13, 18, 8, 15, 11, 17, 14, 7])),
}
SHOWN = {  # the conditions that a picture shows, below an epoch of training
    "auilc": ["rate=0.2", "rate=0.5", "rate=0.8"],
    "mean": ["rate=0.2", "rate=0.5", "rate=0.8"],
    "modality-rate": ["modality-rate=0.1", "modality-rate=0.4", "modality-rate=0.7"],
    "combinations": ["available=text", "available=text+audio", "available=audio+vision"],
    "blocks": [
        "block random all=0.5",
        "block random text=0.5",
        "block start all=0.5",
        "block middle all=0.5",
        "block end all=0.5",
        "unequal text=0.8 others=0.2",
    ],
}
STATES = {"shown": "#0072B2", "hidden step": "#F0B75B", "absent modality": "#55595F", "padding": "#F1F2F4"}


def main() -> None:
    """Write the tables into the page, and the pictures."""
    page = DOCS / "protocols.md"
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name, shown in SHOWN.items():
        picture(PROTOCOLS[name], shown).savefig(DOCS / "images" / f"protocol_{name.replace('-', '_')}.png", dpi=110)


def filled(page: str) -> str:
    """The page with both tables as the registry has them."""
    for marker, lines in (("protocols", protocols_table()), ("conditions", conditions_table())):
        body = "\n".join([f"<!-- {marker} -->", *lines, f"<!-- /{marker} -->"])
        literal = body.replace("\\", r"\\")
        page = re.sub(rf"<!-- {marker} -->.*?<!-- /{marker} -->", literal, page, flags=re.DOTALL)
    return page


def protocols_table() -> list[str]:
    """One row a protocol: what is missing, how one model is trained and selected, and after whom."""
    lines = ["| | protocol | what is missing | one model is trained with | and selected by its mean over | after |"]
    lines.append("|---|---|---|---|---|---|")
    for protocol in PROTOCOLS.values():
        config = protocol.training(MissingConfig())
        cells = [protocol.letter, f"`{protocol.name}`", protocol.about, options(config), described_validation(config)]
        lines.append(f"| {' | '.join([*cells, protocol.source])} |")
    return lines


def options(config: MissingConfig) -> str:
    """What a protocol sets of the options of training."""
    changed = {
        f.name: getattr(config, f.name) for f in fields(config) if f.name not in ("validate", "validation_rates")
    }
    changed = {name: value for name, value in changed.items() if value != getattr(MissingConfig(), name)}
    return "<br>".join(f"`{name} {value}`" for name, value in changed.items()) or "the options of the run"


def conditions_table() -> list[str]:
    """One row an axis: its conditions, and how many there are."""
    lines = ["| | axis | conditions (text, audio and vision) | |", "|---|---|---|---|"]
    for protocol in PROTOCOLS.values():
        axes: dict[str, list[str]] = {}
        for condition in protocol.conditions(MODALITIES, SCALE):
            axes.setdefault(condition.axis, []).append(f"`{condition.name}`")
        for axis, names in axes.items():
            lines.append(f"| {protocol.letter} | `{axis}` | {', '.join(names)} | {len(names)} |")
    return lines


def picture(protocol: Protocol, shown: list[str]) -> Figure:
    """An epoch of training and some test conditions: a row of panels each, a panel for every modality."""
    by_name = {condition.name: condition for condition in protocol.conditions(MODALITIES, SCALE)}
    epoch = for_epoch(protocol.training(MissingConfig()), EXTENTS, 5, 0)
    rows = [("training,\none epoch", states(epoch))]
    rows += [(wrapped(name), states(by_name[name].masks(EXTENTS))) for name in shown]
    figure = Figure(figsize=(7.6, 0.62 + 0.78 * len(rows)), facecolor="white")
    FigureCanvasAgg(figure)
    widths = [extent.steps for extent in EXTENTS.values()]
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        len(rows), 3, width_ratios=widths, left=0.16, right=0.985, top=1 - 0.28 / height, bottom=0.4 / height
    )
    grid.update(wspace=0.05, hspace=0.2)
    for i, (title, panels) in enumerate(rows):
        for j, (m, state) in enumerate(panels.items()):
            axis = figure.add_subplot(grid[i, j])
            axis.imshow(state, cmap=ListedColormap(list(STATES.values())), vmin=0, vmax=3, aspect="auto")
            axis.set_xticks(np.arange(0.5, state.shape[1] - 1), [])
            axis.set_yticks(np.arange(0.5, state.shape[0] - 1), [])
            axis.grid(color="white", linewidth=0.6)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            if i == 0:
                axis.set_title(m, fontsize=9, color="#2B2F36", pad=4)
            if j == 0:
                axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8, color="#2B2F36", labelpad=6)
    occurring = {int(place) for _, panels in rows for state in panels.values() for place in np.unique(state)}
    handles = [Patch(color=c, label=label) for i, (label, c) in enumerate(STATES.items()) if i in occurring]
    figure.legend(handles=handles, loc="lower center", ncols=4, fontsize=8, frameon=False, borderaxespad=0.4)
    return figure


def wrapped(name: str) -> str:
    """A condition's name in short lines."""
    return fill(name.replace("available=", "available= "), 14, break_long_words=False, break_on_hyphens=False)


def states(masks: Masks) -> dict[str, np.ndarray]:
    """Modality -> (N, T) place in `STATES` of every step."""
    found = {}
    for m, mask in masks.items():
        state = np.where(mask.keep, 0, 1)
        state[mask.absent] = 2
        found[m] = np.where(inside(EXTENTS[m].lengths), state, 3)
    return found


if __name__ == "__main__":
    main()
