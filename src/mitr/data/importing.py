"""From a source of any readable format into a store."""

import math
from pathlib import Path

from mitr.data.classes import TaskChoice
from mitr.data.draft import Draft, write_draft
from mitr.data.readers import ReadOptions, TextChoice, reader_for, reader_of
from mitr.data.schema import DatasetInfo, Source
from mitr.data.store import Dataset
from mitr.data.tables import UNUSED, read_splits
from mitr.data.verifying import KNOWN_SHA256, LABEL_RANGES
from mitr.errors import MitrError
from mitr.files import new_folder


def import_dataset(
    source: Path,
    out: Path,
    *,
    splits: Path | None = None,
    name: str | None = None,
    label_range: tuple[float, float] | None = None,
    text: TextChoice = "auto",
    tokenizer: str | None = None,
    task: TaskChoice = "auto",
    reader: str | None = None,
    overwrite: bool = False,
) -> Dataset:
    """Turn a source into a store, whole or not at all, in the source's order.

    Args:
        source: a feature pickle in MMSA's layout, a folder with `label.csv`, or that file; or what a plugin reads.
        out: folder of the store.
        splits: a CSV `id,mode` that replaces the source's splits; samples of mode `unused` are left out.
        name: name of the data set; the source's name by default.
        label_range: lowest and highest label of the scale; by default that of a published file, else the
            narrowest of +-1, +-2, +-3 (or a larger whole number) that holds all labels, noted as inferred.
        text: which text representation to keep: token `ids`, `embeddings`, `raw` text, or the first of them
            there is.
        tokenizer: vocabulary of token ids, a Hugging Face name.
        task: what the labels are: numbers on a scale (`regression`), or classes (`classification`: a pickle's
            `classification_labels`); `auto` takes a label.csv whose labels are names as classes.
        reader: name of the reader (`mitr.data.readers`), or `module:NAME`; None: the one that knows the source.
        overwrite: replace `out` if it exists.

    Returns:
        The opened store. `info.source.format` is the reader's name. `info.source.sha256` is the pickle's; for a folder
        it is that of the lines `<sha256>  <file name>` of its files.

    Raises:
        MitrError: the source cannot be read or does not fit together; nothing is left at `out`.
    """
    source, out = Path(source), Path(out)
    if (source / "dataset.json").is_file() and not (source / "label.csv").is_file():
        raise MitrError(f"{source} is a mitr data set already; no import is needed")
    if reader is None:
        reader = reader_for(source)
    elif not source.exists():
        raise MitrError(f"{source} does not exist")
    chosen = reader_of(reader)
    with new_folder(out, "dataset.json", overwrite) as folder:
        digest = chosen.digest(source)
        draft = chosen.read(source, ReadOptions(text, tokenizer, task, splits is None, digest))
        if splits is not None:
            draft = split_anew(draft, Path(splits))
        if not draft.modalities or not draft.ids:
            what = "no text, audio or vision" if draft.ids else "no sample"
            raise MitrError(f"{source}: there is nothing to import: the source has {what}")
        title = source.parent.resolve().name if source.name == "label.csv" else source.resolve().stem
        info = DatasetInfo(
            name=name or title,
            label_range=label_range_of(draft, label_range, digest),
            modalities={},
            source=Source(source.resolve().name, reader, digest),
        )
        write_draft(draft, folder, info)
    return Dataset(out)


def split_anew(draft: Draft, splits: Path) -> Draft:
    """The draft with the splits of a CSV `id,mode`, without the samples that it leaves out.

    Raises:
        MitrError: the CSV and the ids do not fit together.
    """
    draft.splits = read_splits(splits, draft.ids)
    draft.notes.append(f"split by {splits.name}")
    unused = draft.splits.count(UNUSED)
    if unused:
        draft.notes.append(f"{unused} samples were left out, as {splits.name} says")
    return draft.keep([row for row, split in enumerate(draft.splits) if split != UNUSED])


def label_range_of(draft: Draft, given: tuple[float, float] | None, digest: str = "") -> tuple[float, float]:
    """The label range: the given one, that of a published file, or the narrowest that holds all labels.

    Raises:
        MitrError: the given one is none, or no sample has a label.
    """
    if draft.classes is not None:
        if given is not None:
            raise MitrError(f"the labels are the classes {', '.join(draft.classes)[:200]}; leave out --label-range")
        return 0.0, len(draft.classes) - 1.0
    if given is not None:
        low, high = float(given[0]), float(given[1])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise MitrError(f"label range {given} must be two numbers, the lower first")
        return low, high
    if digest in KNOWN_SHA256:
        return LABEL_RANGES[KNOWN_SHA256[digest].split()[0]]
    known = [abs(label) for label in draft.labels if label is not None]
    if not known:
        raise MitrError("no sample has a label, so the label range cannot be inferred; pass --label-range")
    size = float(max(1, math.ceil(max(known))))
    draft.notes.append(
        f"label range inferred from the labels as [{-size:g}, {size:g}]; pass --label-range if it is another"
    )
    return -size, size
