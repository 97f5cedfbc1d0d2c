"""The contents of a data set, as plain data and as tables in the terminal, with warnings."""

import re
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mitr.data.importing import import_dataset
from mitr.data.mmsa import CJK
from mitr.data.schema import MODALITIES, SPLITS, Cleaning
from mitr.data.store import Dataset

LENGTH_BINS, LABEL_BINS = 16, 13
BERT_STEPS = 512
BARS = "▁▂▃▄▅▆▇█"
WORD = re.compile(r"\S+")


@dataclass
class Lengths:
    """Lengths of the present samples in steps (raw text: words, and Chinese characters one by one).

    `counts` are samples in equal bins from 0 to `maximum`.
    """

    minimum: int
    median: float
    p95: float
    maximum: int
    counts: list[int]


@dataclass
class ModalityReport:
    """One modality: form, lengths (None if absent everywhere), cleaning, and what is absent per split.

    `missing_share` is the share of steps, inside the true length of present samples, that are missing; 0 to
    1.
    """

    kind: str
    dim: int | None
    padded_length: int | None
    tokenizer: str | None
    lengths: Lengths | None
    absent: dict[str, int]
    missing_share: dict[str, float]
    cleaning: Cleaning


@dataclass
class SplitReport:
    """One split: samples, known labels, their mean, standard deviation and extremes, counts in equal bins."""

    samples: int
    labelled: int
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    negative: int
    zero: int
    positive: int
    counts: list[int]


@dataclass
class Inspection:
    """The contents of a data set; plain data.

    `classes` are class -> split -> samples, where labels are classes.
    """

    name: str
    source: str
    label_range: tuple[float, float]
    synthetic: bool
    splits: dict[str, SplitReport]
    modalities: dict[str, ModalityReport]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)
    classes: dict[str, dict[str, int]] | None = None

    def to_json(self) -> dict[str, object]:
        """A plain dictionary."""
        return asdict(self)


def inspect(path: Path, reader: str | None = None) -> Inspection:
    """Look through a store, or a source that `import_dataset` can read (into a temporary folder).

    Args:
        path: the store, or the source.
        reader: name of the reader of the source; None: the one that knows it.

    Raises:
        MitrError: `path` is neither.
    """
    path = Path(path)
    if (path / "dataset.json").is_file():
        return _inspect(Dataset(path))
    with tempfile.TemporaryDirectory(prefix="mitr-inspect-") as folder:
        return _inspect(import_dataset(path, Path(folder) / "store", reader=reader))


def _inspect(dataset: Dataset) -> Inspection:
    info = dataset.info
    rows = {split: dataset.indices(split) for split in SPLITS if split in dataset.splits}
    report = Inspection(
        info.name,
        info.source.name,
        info.label_range,
        info.synthetic,
        {split: _split(dataset.labels[rows_of], info.label_range) for split, rows_of in rows.items()},
        {m: _modality(dataset, m, rows) for m in info.modalities},
        list(info.notes),
    )
    if info.classes is not None:
        report.classes = {
            name: {split: int((dataset.labels[rows_of] == index).sum()) for split, rows_of in rows.items()}
            for index, name in enumerate(info.classes)
        }
    report.warnings = _warnings(dataset, report)
    return report


def _split(labels: np.ndarray, label_range: tuple[float, float]) -> SplitReport:
    known = labels[~np.isnan(labels)].astype(np.float64)
    counts = np.histogram(np.clip(known, *label_range), LABEL_BINS, label_range)[0].tolist()
    signs = [int((np.sign(known) == sign).sum()) for sign in (-1, 0, 1)]
    numbers = [known.mean(), known.std(), known.min(), known.max()] if len(known) else [None] * 4
    mean, std, low, high = (None if x is None else float(x) for x in numbers)
    return SplitReport(len(labels), len(known), mean, std, low, high, signs[0], signs[1], signs[2], counts)


def _modality(dataset: Dataset, m: str, rows: dict[str, np.ndarray]) -> ModalityReport:
    modality = dataset.info.modalities[m]
    lengths = dataset.lengths[m] if modality.kind != "raw" else np.array([_words(raw) for raw in dataset.raw_text])
    missing: dict[str, float] = {}
    for split, rows_of in rows.items():
        steps = int(lengths[rows_of].sum())
        if modality.kind != "raw" and steps:
            observed = sum(int(np.count_nonzero(dataset.available(m, row))) for row in rows_of)
            missing[split] = 1 - observed / steps
    present = lengths[lengths > 0]
    summary = None
    if len(present):
        counts = np.histogram(present, min(LENGTH_BINS, int(present.max())), (0, present.max()))[0].tolist()
        p50, p95 = np.quantile(present, [0.5, 0.95])
        summary = Lengths(int(present.min()), float(p50), float(p95), int(present.max()), counts)
    return ModalityReport(
        modality.kind,
        modality.dim,
        modality.padded_length,
        modality.tokenizer,
        summary,
        {split: int((lengths[rows_of] == 0).sum()) for split, rows_of in rows.items()},
        missing,
        dataset.info.cleaning.get(m, Cleaning()),
    )


def _words(raw: str) -> int:
    return len(WORD.findall(CJK.sub(" 字 ", raw)))


def _warnings(dataset: Dataset, report: Inspection) -> list[str]:
    warnings: list[str] = []
    low, high = report.label_range
    for m, modality in report.modalities.items():
        for split, absent in modality.absent.items():
            if absent == report.splits[split].samples:
                warnings.append(f"{m} is absent from the whole {split} split")
        if modality.cleaning.nonfinite_values:
            counts = modality.cleaning
            warnings.append(
                f"{m}: {counts.nonfinite_values} values of {counts.nonfinite_samples} samples were not finite"
            )
        if columns := modality.cleaning.constant_features:
            warnings.append(f"{m}: {_few(columns, 'column')} constant")
        if extremes := modality.cleaning.extreme_features:
            column, (lowest, highest) = max(extremes.items(), key=lambda item: max(map(abs, item[1])))
            example = f"{column} from {lowest:.4g} to {highest:.4g}"
            warnings.append(f"{m}: {_few(list(extremes), 'column')} extreme, e.g. {example}")
        if m == "text" and modality.lengths and modality.lengths.maximum > BERT_STEPS:
            unit = "words" if modality.kind == "raw" else "steps"
            warnings.append(f"text: the longest has {modality.lengths.maximum} {unit}; BERT takes {BERT_STEPS} tokens")
    for split, summary in report.splits.items():
        if summary.labelled < summary.samples:
            warnings.append(f"{split}: {summary.samples - summary.labelled} samples have no label")
        if (
            summary.minimum is not None
            and summary.maximum is not None
            and (summary.minimum < low or summary.maximum > high)
        ):
            warnings.append(
                f"{split}: labels from {summary.minimum:g} to {summary.maximum:g} leave the range [{low:g}, {high:g}]"
            )
    for name, counts_of in (report.classes or {}).items():
        if lacking := [split for split, count in counts_of.items() if not count]:
            warnings.append(f"no sample of {', '.join(lacking)} is of the class {name}")
    for m in MODALITIES:
        if m not in report.modalities:
            warnings.append(f"{m} is absent from every sample")
    for split in SPLITS:
        if split not in report.splits:
            warnings.append(f"there is no {split} split")
    within = [key for key, n in Counter(zip(dataset.splits, dataset.ids, strict=True)).items() if n > 1]
    distinct = set(zip(dataset.splits, dataset.ids, strict=True))
    across = sorted(id_ for id_, n in Counter(id_ for _, id_ in distinct).items() if n > 1)
    if within:
        warnings.append(f"{len(within)} ids stand more than once in one split, e.g. {within[0][1]}")
    if across:
        warnings.append(f"{len(across)} ids stand in more than one split, e.g. {across[0]}: scores may be too good")
    return warnings


def _few(items: list[Any], what: str) -> str:
    shown = ", ".join(map(str, items[:6])) + (", ..." if len(items) > 6 else "")
    return f"{len(items)} {what} ({shown}) is" if len(items) == 1 else f"{len(items)} {what}s ({shown}) are"


def bars(counts: list[int]) -> str:
    """A histogram in one line; an empty bin is a dot, the fullest a whole block."""
    top = max(counts, default=0)
    return "".join("·" if not n else BARS[min(7, n * 8 // (top + 1))] for n in counts)


def print_inspection(report: Inspection, console: Console | None = None) -> None:
    """Print an inspection as tables that fit 80 columns."""
    console = console or Console()
    title = f"[bold]{escape(report.name)}[/]" + ("  [bold yellow]SYNTHETIC[/]" if report.synthetic else "")
    low, high = report.label_range
    labels = f"{len(report.classes)} classes" if report.classes else f"labels {low:g} to {high:g}"
    console.print(f"\n{title}  {labels}  [dim]from {escape(report.source)}[/]\n")
    if report.classes:
        console.print(_class_table(report.splits, report.classes))
    else:
        console.print(_split_table(report))
        console.print(f"[dim]shape: labels from {low:g} to {high:g} in {LABEL_BINS} bins[/]")
    console.print(_modality_table(report))
    console.print("[dim]lengths of present samples in steps (raw text: words); shape: 0 to the longest[/]")
    console.print(_absence_table(report))
    console.print("[dim]absent samples · missing steps of the others; replaced: values that were NaN or[/]")
    console.print("[dim]infinite; zeroed: samples of nothing but zeros (or unknown tokens), so absent[/]")
    for title, lines, style in (
        ("Warnings", report.warnings, "yellow"),
        ("Notes of the import", report.notes, "cyan"),
    ):
        if lines:
            console.print(f"\n[bold]{title}[/]")
            for line in lines:
                console.print(f"[{style}]-[/] {escape(line)}", highlight=False)
    console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 or column == "shape" else "right", no_wrap=True)
    return table


def _split_table(report: Inspection) -> Table:
    table = _table("Splits", "split", "samples", "mean", "sd", "min", "max", "neg", "zero", "pos", "shape")
    for split, summary in report.splits.items():
        numbers = [
            "-" if x is None else f"{x:.2f}" for x in (summary.mean, summary.std, summary.minimum, summary.maximum)
        ]
        table.add_row(
            split,
            str(summary.samples),
            *numbers,
            *(f"{n}" for n in (summary.negative, summary.zero, summary.positive)),
            bars(summary.counts),
        )
    return table


def _class_table(splits: dict[str, SplitReport], classes: dict[str, dict[str, int]]) -> Table:
    table = _table("Splits", "class", *splits)
    for name, counts in classes.items():
        cells = [
            f"{counts[split]} · {counts[split] / max(summary.labelled, 1):.0%}" for split, summary in splits.items()
        ]
        table.add_row(escape(name), *cells)
    table.add_row("samples", *(str(summary.samples) for summary in splits.values()), style="dim")
    return table


def _modality_table(report: Inspection) -> Table:
    table = _table("\nModalities", "modality", "kind", "dim", "padded", "min", "median", "p95", "max", "shape")
    for m, modality in report.modalities.items():
        lengths = modality.lengths
        numbers = (
            [f"{x:g}" for x in (lengths.minimum, lengths.median, lengths.p95, lengths.maximum)]
            if lengths
            else ["-"] * 4
        )
        dims = ["-" if x is None else str(x) for x in (modality.dim, modality.padded_length)]
        table.add_row(m, modality.kind, *dims, *numbers, bars(lengths.counts) if lengths else "")
    return table


def _absence_table(report: Inspection) -> Table:
    table = _table("\nMissing data", "modality", *report.splits, "replaced", "zeroed")
    for m, modality in report.modalities.items():
        shares = {
            s: f" · {100 * modality.missing_share[s]:.1f}%" if s in modality.missing_share else ""
            for s in report.splits
        }
        cells = [f"{modality.absent[s]}{shares[s]}" for s in report.splits]
        table.add_row(m, *cells, str(modality.cleaning.nonfinite_values), str(modality.cleaning.zeroed_samples))
    return table
