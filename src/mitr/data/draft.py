"""A source that was read and checked but not yet cleaned, and how it is written into a store."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mitr.data.cleaning import Tally, clean_features, clean_ids
from mitr.data.schema import MODALITIES, DatasetInfo, Modality
from mitr.data.store import Sample, write_store
from mitr.errors import MitrError


class RawSteps(NamedTuple):
    """One modality of one sample as the source has it.

    Attributes:
        values: (T, D) features or embeddings, or (T,) token ids, with the source's padding.
        length: true length; None where only the zero rows at the end tell.
    """

    values: np.ndarray
    length: int | None = None


@dataclass
class Draft:
    """A source on its way into a store, in the source's order.

    Args:
        modalities: name -> Modality, for every modality of the source.
        ids, splits, labels, raw_text: N entries each; a label is None where it is not known.
        steps: row -> modality -> its steps; a modality without an entry is absent.
        modality_labels: modality -> N labels.
        notes: what the user should know of the source.
        classes: names of the classes, where labels are their indices.

    Raises:
        MitrError: these lists are not all of N entries.
    """

    modalities: dict[str, Modality]
    ids: list[str]
    splits: list[str]
    labels: list[float | None]
    raw_text: list[str]
    steps: Callable[[int], dict[str, RawSteps]]
    modality_labels: dict[str, list[float | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        lists: dict[str, Sequence[object]] = {"splits": self.splits, "labels": self.labels, "raw_text": self.raw_text}
        lists |= {f"labels of {m}": labels for m, labels in self.modality_labels.items()}
        sizes = {name: len(entries) for name, entries in ({"ids": self.ids} | lists).items()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise MitrError(f"a draft needs one entry a sample in each of its lists; it has: {listed}")

    def keep(self, rows: list[int]) -> "Draft":
        """Only these rows of the source."""
        original = self.steps
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            splits=[self.splits[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            raw_text=[self.raw_text[row] for row in rows],
            steps=lambda row: original(rows[row]),
            modality_labels={m: [labels[row] for row in rows] for m, labels in self.modality_labels.items()},
        )


def is_bert(tokenizer: str | None) -> bool:
    """Whether a vocabulary has BERT's special tokens ([UNK] 100, [CLS] 101, [SEP] 102)."""
    return tokenizer is not None and ("bert-base" in tokenizer or tokenizer == "minilm") and "roberta" not in tokenizer


def write_draft(draft: Draft, folder: Path, info: DatasetInfo) -> None:
    """Clean `draft` sample by sample into the existing, empty `folder`; `info` gets counts and notes."""
    _unique_ids(draft)
    info.modalities = draft.modalities
    info.modality_labels = [m for m in MODALITIES if m in draft.modality_labels]
    info.classes = draft.classes
    info.notes = draft.notes
    write_store(folder, _clean(draft, info), info)


def _clean(draft: Draft, info: DatasetInfo) -> Iterator[Sample]:
    tallies = {m: Tally(modality) for m, modality in draft.modalities.items()}
    for row, id_ in enumerate(draft.ids):
        labels = {m: value for m, values in draft.modality_labels.items() if (value := values[row]) is not None}
        sample = Sample(id_, draft.splits[row], draft.labels[row], draft.raw_text[row], modality_labels=labels)
        steps = draft.steps(row)
        for m, tally in tallies.items():
            if draft.modalities[m].kind == "raw":
                if not sample.raw_text.strip():
                    tally.absent()
            elif m not in steps:
                tally.absent()
            else:
                _clean_into(sample, m, steps[m], draft.modalities[m], tally)
        yield sample
    for m, tally in tallies.items():
        info.cleaning[m] = tally.finish()
        if tally.beyond:
            info.notes.append(f"{m}: {tally.beyond} samples had content after their true length; it was cut")
    _note_labels(draft, info)


def _clean_into(sample: Sample, m: str, steps: RawSteps, modality: Modality, tally: Tally) -> None:
    if modality.kind == "ids":
        length = len(steps.values) if steps.length is None else steps.length
        cleaned = clean_ids(steps.values, length, is_bert(modality.tokenizer))
    else:
        cleaned = clean_features(steps.values, steps.length)
    tally.add(cleaned)
    if cleaned.replaced:
        sample.cleaned[m] = cleaned.replaced
    if len(cleaned.values):
        sample.features[m], sample.available[m] = cleaned.values, cleaned.available


def _unique_ids(draft: Draft) -> None:
    """Give the second and later samples of one id in one split a suffix: predictions are looked up by id."""
    taken = set(zip(draft.splits, draft.ids, strict=True))
    seen: Counter[tuple[str, str]] = Counter()
    renamed: list[str] = []
    for row, key in enumerate(zip(list(draft.splits), list(draft.ids), strict=True)):
        seen[key] += 1
        if seen[key] > 1:
            renamed.append(f"{key[1]} ({key[0]})")
            while (key[0], f"{key[1]}#{seen[key]}") in taken:
                seen[key] += 1
            draft.ids[row] = f"{key[1]}#{seen[key]}"
    if renamed:
        few = ", ".join(renamed[:5]) + (", ..." if len(renamed) > 5 else "")
        draft.notes.append(f"{len(renamed)} samples repeat an id of their split and got a suffix such as '#2': {few}")


def _note_labels(draft: Draft, info: DatasetInfo) -> None:
    known = np.array([label for label in draft.labels if label is not None], dtype=np.float64)
    low, high = info.label_range
    if len(known) < len(draft.labels):
        info.notes.append(f"{len(draft.labels) - len(known)} samples have no label (missing or not a finite number)")
    if outside := int(((known < low) | (known > high)).sum()):
        info.notes.append(f"{outside} labels lie outside the label range [{low:g}, {high:g}]; they are kept")
