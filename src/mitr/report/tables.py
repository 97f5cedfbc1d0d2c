"""Tables of a report in words, as HTML (through the page's template), Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Table:
    """A table in words.

    Attributes:
        caption: what its numbers are.
        head: headings.
        rows: cells of a row, each a value and a note below it; the first cell names the row.
        best: per column the rows whose value is the best; empty for columns that are not ranked.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]
    best: Mapping[int, Sequence[int]] = field(default_factory=dict)
    kind: ClassVar[str] = "table"


def markdown(table: Table) -> str:
    """A table in Markdown, the best values in bold."""

    def written(row: int, column: int, value: str, note: str) -> str:
        shown = f"**{plain_markdown(value)}**" if row in table.best.get(column, ()) else plain_markdown(value)
        return f"{shown} {plain_markdown(note)}".strip()

    lines = [f"| {' | '.join(plain_markdown(name) for name in table.head)} |", "|" + "---|" * len(table.head)]
    for i, row in enumerate(table.rows):
        lines.append(f"| {' | '.join(written(i, j, *cell) for j, cell in enumerate(row))} |")
    return "\n".join([*lines, "", plain_markdown(table.caption)])


def latex(table: Table) -> str:
    """A table for LaTeX with booktabs; the best values in bold, notes left out but for standard deviations."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}", r"\toprule"]
    lines += [" & ".join(_tex(name) for name in table.head) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        cells = []
        for j, (value, note) in enumerate(row):
            shown = rf"\textbf{{{_tex(value)}}}" if i in table.best.get(j, ()) else _tex(value)
            spread = note.split(" [")[0] if note.startswith("±") else ""
            cells.append(f"{shown} {_tex(spread)}".strip())
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def plain_markdown(text: str) -> str:
    """Text without the signs of Markdown, on one line."""
    escaped = "".join(f"\\{c}" if c in "\\|<*_`" else c for c in text)
    return " ".join(escaped.split())


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", ">": "$>$"}
    escaped = "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
    for sign, command in {
        "±": r"$\pm$",
        "−": "$-$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "Δ": r"$\Delta$",
    }.items():
        escaped = escaped.replace(sign, command)
    return escaped.replace("–", "--").replace("<", "$<$").replace("\N{NO-BREAK SPACE}", "~")
