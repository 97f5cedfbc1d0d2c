"""Feature pickles in the layout of MMSA (thuiar): split -> field -> array, as for MOSI, MOSEI and CH-SIMS.

Fields: `text_bert` (N, 3, L) with token ids, mask and types; `text`, `audio`, `vision` (N, L, D) or N arrays
of (T, D); `*_lengths`; `raw_text`; `id`; `regression_labels` and, in CH-SIMS, `regression_labels_T/_A/_V`; or the same
with `classification_labels`, which are classes.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.classes import TaskChoice, class_index, classes_of
from mitr.data.draft import Draft, RawSteps
from mitr.data.fields import Field, Place, numbers, read_field, strings
from mitr.data.mapped import MappedFile
from mitr.data.readers import Reader, ReadOptions, TextChoice
from mitr.data.schema import SPLITS, Kind, Modality
from mitr.data.unpickle import map_pickle, read_pickle
from mitr.data.verifying import KNOWN_SHA256
from mitr.errors import MitrError

ALIASES = {"train": "train", "valid": "valid", "dev": "valid", "val": "valid", "test": "test"}
NUMBERS, CLASSES = "regression_labels", "classification_labels"
MODALITY_LETTERS = {"T": "text", "A": "audio", "V": "vision"}  # `<field of labels>_<letter>`
FIELDS = ("text_bert", "text", "audio", "vision", "raw_text", "id")
CJK = re.compile("[㐀-䶿一-鿿豈-﫿]")


def read_mmsa(
    path: Path,
    text: TextChoice = "auto",
    tokenizer: str | None = None,
    digest: str | None = None,
    task: TaskChoice = "auto",
) -> Draft:
    """Read a pickle in MMSA's layout.

    Args:
        path: the pickle; nothing in it is run.
        text: which representation to keep; `auto` takes token ids, else embeddings, else the raw text.
        tokenizer: vocabulary of the token ids; None infers it and says so in the notes.
        digest: SHA-256 of the file, by which published files are recognised.
        task: `classification` takes `classification_labels`, names or whole numbers, otherwise `regression_labels`.

    Raises:
        MitrError: not such a pickle, or its fields do not fit together; the message names file, split and
            field.
    """
    wanted = CLASSES if task == "classification" else NUMBERS
    file = map_pickle(path)
    contents = _contents(path, read_pickle(path, file))
    splits = [_Split(Place(path, name), content, wanted) for name, content in contents.items()]
    classes = None
    if wanted == CLASSES:
        classes = classes_of(
            [value for split in splits for value in split.names(CLASSES)], f"{path}, field {CLASSES!r}"
        )
    kind = _text_kind(path, splits, text)
    used = {"audio": "audio", "vision": "vision"}
    used |= {"ids": {"text": "text_bert"}, "embeddings": {"text": "text"}}.get(kind or "", {})
    notes: list[str] = []
    modalities: dict[str, Modality] = {}
    if kind == "raw":
        modalities["text"] = Modality("raw")
    for m in ("text", "audio", "vision"):
        if m in used and any(used[m] in split.content for split in splits):
            modalities[m] = _modality(splits, m, used[m], kind if m == "text" and kind else "features", notes)
    if not modalities:
        has = ", ".join(sorted(splits[0].content))
        raise MitrError(f"{path}: no split has text_bert, text, audio, vision or raw_text (it has {has})")
    steps = _reader(splits, {m: field for m, field in used.items() if m in modalities}, file)
    draft = Draft(
        modalities,
        [id_ for split in splits for id_ in split.ids()],
        [split.place.split for split in splits for _ in range(split.size)],
        [label for split in splits for label in split.labels(wanted, classes)],
        [raw for split in splits for raw in split.raw_text()],
        steps,
        {
            m: [v for split in splits for v in split.labels(f"{wanted}_{letter}", classes)]
            for letter, m in MODALITY_LETTERS.items()
            if any(f"{wanted}_{letter}" in split.content for split in splits)
        },
        notes,
        classes,
    )
    notes += _merged(splits)
    if kind == "ids":
        modalities["text"].tokenizer = _tokenizer(draft, tokenizer, digest)
    unused = [
        n for n in ("annotations", CLASSES, NUMBERS) if n != wanted and any(n in split.content for split in splits)
    ]
    if unused:
        why = "" if classes else " (classes are derived from the labels)"
        notes.append(f"not imported: {', '.join(unused)}{why}")
    return draft


class _Split:
    """The fields of one split, all with the same number of samples."""

    def __init__(self, place: Place, content: dict[str, Any], labels: str):
        self.place, self.content = place, content
        self.notes: list[str] = []
        if labels not in content:
            has = ", ".join(sorted(content)) or "no field"
            instead = "; for its classes import with --task classification" if CLASSES in content else ""
            raise place.error(labels, f"is missing; the split has {has}{instead}")
        self.size = len(self._sequence(labels))
        if not self.size:
            raise place.error(labels, "is empty; leave the split out if it has no samples")
        of_modalities = [f"{labels}_{letter}" for letter in MODALITY_LETTERS]
        for name in content:
            if name in (*FIELDS, *of_modalities) or name.endswith("_lengths"):
                count = len(self._sequence(name))
                if count != self.size:
                    raise place.error(name, f"has {count} entries, {labels} {self.size}; they must be the same samples")
        self._fields: dict[str, Field] = {}

    def _sequence(self, name: str) -> Sequence[Any] | np.ndarray:
        value = self.content[name]
        scalar = isinstance(value, np.ndarray) and not value.ndim
        if scalar or not isinstance(value, (list, tuple, np.ndarray)):
            why = f"is a {type(value).__name__}; it must be an array or a list with one entry a sample"
            raise self.place.error(name, why)
        return value

    def field(self, name: str) -> Field | None:
        if name in self.content and name not in self._fields:
            self._fields[name] = read_field(self.place, name, self._sequence(name))
        return self._fields.get(name)

    def lengths(self, m: str, field: Field) -> list[int] | list[None]:
        """The true length of one modality for each sample, checked; None where only the zero rows tell."""
        name = f"{m}_lengths"
        given = self._given_lengths(name, field) if name in self.content else None
        if m == "text" and "text_bert" in self.content:
            mask = self._mask_lengths()
            if given is not None and (given != mask).any():
                count = int((given != mask).sum())
                self.notes.append(f"text_lengths differs from text_bert's mask {count} times; the mask counts")
            if (mask > field.steps()).any():
                raise self.place.error(field.name, "has fewer steps than text_bert's mask has tokens")
            given = mask
        if given is None:
            self.notes.append(f"no {name}: {m} ends at the last row that is not all zeros")
            return [None] * self.size
        empty = [i for i in np.flatnonzero(given == 0) if (field.row(int(i)) != 0).any()]
        if empty:
            self.notes.append(f"{len(empty)} samples have {m} content but length 0; the length counts: absent")
        lengths: list[int] = given.tolist()
        return lengths

    def _given_lengths(self, name: str, field: Field) -> np.ndarray:
        values = numbers(self.place, name, self._sequence(name))
        if values.shape != (self.size,) or not np.isfinite(values).all() or (values % 1).any():
            raise self.place.error(name, "must hold one whole number a sample")
        lengths, steps = values.astype(np.int64), field.steps()
        wrong = np.flatnonzero((values < 0) | (values > steps))
        if len(wrong):
            i = int(wrong[0])
            why = f"gives sample {i} the length {values[i]:g}; {field.name} has {steps[i]} steps"
            raise self.place.error(name, why)
        return lengths

    def _mask_lengths(self) -> np.ndarray:
        field = self.field("text_bert")
        assert field is not None
        lengths = np.empty(self.size, dtype=np.int64)
        for i in range(self.size):
            mask = field.entry(i)[1]
            length = int(np.count_nonzero(mask))
            if not ((mask == 0) | (mask == 1)).all() or not (mask[:length] == 1).all():
                why = f"has no mask (ones, then zeros) in row 1 of sample {i}; rows must be ids, mask, types"
                raise self.place.error("text_bert", why)
            lengths[i] = length
        return lengths

    def names(self, name: str) -> list[str]:
        return strings(self.place, name, self._sequence(name))

    def labels(self, name: str, classes: tuple[str, ...] | None) -> list[float | None]:
        if name not in self.content:
            return [None] * self.size
        if classes is not None:
            where = f"{self.place.path}: split {self.place.split!r}, field {name!r}"
            return [class_index(value, classes, f"{where}, sample {i}") for i, value in enumerate(self.names(name))]
        values = numbers(self.place, name, self._sequence(name))
        if values.size != self.size:
            raise self.place.error(name, f"has shape {values.shape}; it must hold one number a sample")
        return [float(value) if np.isfinite(value) else None for value in values.reshape(-1)]

    def ids(self) -> list[str]:
        if "id" not in self.content:
            self.notes.append("no id: samples are numbered")
            return [f"{self.place.split}_{i}" for i in range(self.size)]
        return strings(self.place, "id", self._sequence("id"))

    def raw_text(self) -> list[str]:
        if "raw_text" not in self.content:
            return [""] * self.size
        return strings(self.place, "raw_text", self._sequence("raw_text"))


def _reader(splits: list[_Split], used: dict[str, str], file: MappedFile) -> Callable[[int], dict[str, RawSteps]]:
    """Row -> modality -> its steps, as views of the file, whose pages go back once they were read."""
    fields = [{m: field for m, name in used.items() if (field := split.field(name)) is not None} for split in splits]
    lengths = [
        {m: split.lengths(m, field) for m, field in fields_of.items()}
        for split, fields_of in zip(splits, fields, strict=True)
    ]
    places = [(k, i) for k, split in enumerate(splits) for i in range(split.size)]

    def steps(row: int) -> dict[str, RawSteps]:
        k, i = places[row]
        sample = {m: RawSteps(field.row(i), lengths[k][m][i]) for m, field in fields[k].items()}
        file.reading(sum(raw.values.nbytes for raw in sample.values()))
        return sample

    return steps


def _merged(splits: list[_Split]) -> list[str]:
    """The notes of all splits, the same note of several splits in one line."""
    names_of: dict[str, list[str]] = {}
    for split in splits:
        for note in split.notes:
            names_of.setdefault(note, []).append(split.place.split)
    return [f"{', '.join(names)}: {note}" for note, names in names_of.items()]


def _contents(path: Path, value: Any) -> dict[str, dict[str, Any]]:
    """Split -> its fields, as train, valid, test; fields at the top level are a test split."""
    if not isinstance(value, dict):
        raise MitrError(f"{path} holds a {type(value).__name__}, not a dictionary of splits (train, valid, test)")
    if NUMBERS in value or CLASSES in value:
        value = {"test": value}
    contents: dict[str, dict[str, Any]] = {}
    for key, content in value.items():
        name = ALIASES.get(str(key).lower())
        if name is None:
            raise MitrError(f"{path}: {str(key)[:80]!r} is not a split; expected train, valid (or dev, val) and test")
        if name in contents:
            raise MitrError(f"{path}: the split {name!r} stands twice in it, under different names")
        if not isinstance(content, dict) or not all(isinstance(field, str) for field in content):
            raise MitrError(f"{path}: the split {key!r} is a {type(content).__name__}, not a dictionary of fields")
        contents[name] = content
    if not contents:
        raise MitrError(f"{path} holds no split; expected train, valid (or dev, val) and test")
    return {name: contents[name] for name in SPLITS if name in contents}


def _text_kind(path: Path, splits: list[_Split], text: TextChoice) -> Kind | None:
    needed = {"ids": "text_bert", "embeddings": "text", "raw": "raw_text"}
    complete = {kind: all(field in split.content for split in splits) for kind, field in needed.items()}
    if text != "auto":
        if not complete[text]:
            lacking = [split.place.split for split in splits if needed[text] not in split.content]
            raise MitrError(f"{path}: text {text!r} needs the field {needed[text]!r}, which {', '.join(lacking)} lacks")
        return text
    for kind in ("ids", "embeddings", "raw"):
        if complete[kind]:
            return kind
    return None


def _modality(splits: list[_Split], m: str, name: str, kind: Kind, notes: list[str]) -> Modality:
    fields = [(split.place, field) for split in splits if (field := split.field(name)) is not None]
    lacking = [split.place.split for split in splits if name not in split.content]
    if lacking:
        notes.append(f"{m} is absent from the whole of {', '.join(lacking)}: the field {name} is missing")
    for place, field in fields[1:]:
        if field.dim != fields[0][1].dim:
            raise place.error(
                name, f"has {field.dim} columns, {fields[0][0].split} has {fields[0][1].dim}; they must agree"
            )
    padded = {field.padded_length for _, field in fields}
    if len(padded) > 1:
        notes.append(f"{m}: the splits are padded to different lengths, so published masks cannot be repeated exactly")
    length = padded.pop() if len(padded) == 1 else None
    if kind == "ids":
        return Modality("ids", padded_length=length, special_tokens=True)
    # embeddings beside token ids were computed from them, [CLS] first
    special = kind == "embeddings" and all("text_bert" in split.content for split in splits)
    return Modality(kind, fields[0][1].dim, length, special)


def _tokenizer(draft: Draft, tokenizer: str | None, digest: str | None) -> str:
    if tokenizer is not None:
        return tokenizer
    if digest in KNOWN_SHA256:
        return "bert-base-chinese" if KNOWN_SHA256[digest].startswith("SIMS") else "bert-base-uncased"
    chinese = any(CJK.search(raw) for raw in draft.raw_text)
    inferred = "bert-base-chinese" if chinese else "bert-base-uncased"
    reason = "the raw text has Chinese characters" if chinese else "the raw text has no Chinese characters"
    draft.notes.append(f"tokenizer inferred to be {inferred}, as {reason}; pass --tokenizer if it is another")
    return inferred


def _knows(source: Path) -> bool:
    if not source.is_file():
        return False
    with source.open("rb") as file:
        start = file.read(2)
    return start != b"PK" and (source.suffix in (".pkl", ".pickle", ".p") or start[:1] == b"\x80")


def _read(source: Path, options: ReadOptions) -> Draft:
    return read_mmsa(source, options.text, options.tokenizer, options.digest, options.task)


MMSA = Reader("a feature pickle in MMSA's layout (.pkl)", _knows, _read)
