"""Folders in the layout of MMSA-FET: `label.csv` beside `features/<modality>.npz`.

`label.csv` has `video_id, clip_id, text, label, mode` and optionally `label_T`, `label_A`, `label_V`; each
npz has one (T, D) array a sample, or (D,) for one step, under the key `<video_id>$_$<clip_id>`. Labels are numbers on
a scale, or classes.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mitr.data.classes import TaskChoice, class_index, classes_of, is_blank, number
from mitr.data.draft import Draft, RawSteps
from mitr.data.readers import Reader, ReadOptions, TextChoice, digest_of_files
from mitr.data.schema import MODALITIES, Modality
from mitr.data.tables import read_mode, read_table
from mitr.errors import MitrError

COLUMNS = ("video_id", "clip_id", "text", "label")
MODALITY_COLUMNS = {"label_T": "text", "label_A": "audio", "label_V": "vision"}
LARGEST = 1 << 30  # bytes of one sample; a small zip can claim to hold any amount


class Labelled(NamedTuple):
    """The rows of a `label.csv`.

    Attributes:
        rows: N of them, every value as the file has it.
        ids: `<video_id>$_$<clip_id>`.
        splits: train, valid or test; all train where the splits come from elsewhere.
        labels: None where not known.
        modality_labels: modality -> labels of that modality alone.
        classes: names of the classes, where labels are their indices.
    """

    rows: list[dict[str, str]]
    ids: list[str]
    splits: list[str]
    labels: list[float | None]
    modality_labels: dict[str, list[float | None]]
    classes: tuple[str, ...] | None


def read_label_csv(source: Path, text: TextChoice = "auto", modes: bool = True, task: TaskChoice = "auto") -> Draft:
    """Read such a folder, given as the folder or as its `label.csv`.

    Args:
        source: the folder or the file.
        text: `raw` (the default without a `features/text.npz`) or `embeddings` (from that file).
        modes: the `mode` column counts; False where the splits come from elsewhere.
        task: labels are numbers (`regression`) or classes; `auto`: classes where no label is a number.

    Raises:
        MitrError: the table or a feature file is not as described; the message names the file and row or key.
    """
    table = source / "label.csv" if source.is_dir() else source
    labelled = read_labelled(table, modes, task)
    ids, rows = labelled.ids, labelled.rows
    features, notes = _open(table.parent / "features", set(ids))
    modalities: dict[str, Modality] = {}
    if text == "ids" or (text == "embeddings" and "text" not in features):
        needed = "a feature pickle" if text == "ids" else "features/text.npz"
        raise MitrError(f"{table}: text {text!r} needs {needed}; use raw")
    if text == "raw":
        features.pop("text", None)
    if "text" not in features and any(row["text"].strip() for row in rows):
        modalities["text"] = Modality("raw")
    for m, store in features.items():
        modalities[m] = Modality("embeddings" if m == "text" else "features", store.dim())
    for m in MODALITIES:
        if m not in modalities:
            notes.append(f"{m} is absent from every sample: there is no features/{m}.npz")
    ordered = {m: modalities[m] for m in MODALITIES if m in modalities}

    def steps(row: int) -> dict[str, RawSteps]:
        arrays = {m: store.read(ids[row]) for m, store in features.items()}
        return {m: RawSteps(values, len(values)) for m, values in arrays.items() if values is not None}

    raw = [row["text"] for row in rows]
    return Draft(
        ordered, ids, labelled.splits, labelled.labels, raw, steps, labelled.modality_labels, notes, labelled.classes
    )


def read_labelled(table: Path, modes: bool = True, task: TaskChoice = "auto") -> Labelled:
    """Read `label.csv` alone.

    Raises:
        MitrError: it is not as described; the message names the row.
    """
    rows = read_table(table, (*COLUMNS, "mode") if modes else COLUMNS)
    ids = [f"{row['video_id']}$_${row['clip_id']}" for row in rows]
    seen: dict[str, int] = {}
    for line, id_ in enumerate(ids, start=2):
        if id_ in seen:
            raise MitrError(f"{table}, row {line}: video and clip {id_!r} stand in row {seen[id_]} too")
        seen[id_] = line
    splits = [read_mode(row["mode"], f"{table}, row {i}") if modes else "train" for i, row in enumerate(rows, 2)]
    classes = _classes(table, rows, task)
    labels = _labels(table, rows, "label", classes)
    of_modalities = {
        m: _labels(table, rows, column, classes) for column, m in MODALITY_COLUMNS.items() if column in rows[0]
    }
    return Labelled(rows, ids, splits, labels, of_modalities, classes)


def files_of(source: Path) -> list[Path]:
    """The files that `read_label_csv` reads, in a fixed order."""
    table = source / "label.csv" if source.is_dir() else source
    features = [table.parent / "features" / f"{m}.npz" for m in MODALITIES]
    return [table, *(path for path in features if path.is_file())]


class _Features:
    """One npz, read sample by sample; the width comes from the first sample."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.file = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise MitrError(f"{path} is not an npz file: {error}") from None
        if not isinstance(self.file, np.lib.npyio.NpzFile):
            raise MitrError(f"{path} is not an npz file; write it with numpy.savez")
        self.keys = set(self.file.files)
        if not self.keys:
            raise MitrError(f"{path} holds no arrays; remove it from a set without these features")
        self._dim: int | None = None

    def dim(self) -> int:
        if self._dim is None:
            first = self.read(self.file.files[0])
            assert first is not None
        return int(self._dim or 0)

    def read(self, key: str) -> np.ndarray | None:
        """The (T, D) array of a sample, or None."""
        if key not in self.keys:
            return None
        where = f"{self.path}, key {key!r}:"
        try:
            name = key if key in self.file.zip.NameToInfo else f"{key}.npy"
            if self.file.zip.getinfo(name).file_size > LARGEST:
                raise MitrError(f"{where} is larger than {LARGEST >> 30} GiB, too large for one sample")
            array = self.file[key]
        except ValueError as error:
            if "Object arrays" in str(error):
                raise MitrError(
                    f"{where} is an array of objects, which may run code when read; save it as numbers"
                ) from None
            raise MitrError(f"{where} is damaged: {error}") from None
        except (OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
            raise MitrError(f"{where} is damaged: {error}") from None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
            form = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else "something else"
            raise MitrError(f"{where} must be (T, D) or (D,) numbers, not {form}")
        array = array[None] if array.ndim == 1 else array
        if not array.shape[1]:
            raise MitrError(f"{where} has no columns")
        if self._dim is not None and array.shape[1] != self._dim:
            raise MitrError(f"{where} has {array.shape[1]} columns where other samples have {self._dim}")
        self._dim = array.shape[1]
        return array


def _open(folder: Path, ids: set[str]) -> tuple[dict[str, _Features], list[str]]:
    features: dict[str, _Features] = {}
    notes: list[str] = []
    for path in sorted(folder.glob("*.npz")):
        if path.stem not in MODALITIES:
            notes.append(f"features/{path.name} was not read: its name is not text, audio or vision")
            continue
        store = _Features(path)
        unknown = sorted(store.keys - ids)
        if len(unknown) == len(store.keys):
            raise MitrError(f"{path}: no key is <video_id>$_$<clip_id> of a row in label.csv, e.g. {unknown[0]!r}")
        if unknown:
            few = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            notes.append(f"features/{path.name}: {len(unknown)} keys without a row in label.csv were left out: {few}")
        if lacking := len(ids - store.keys):
            notes.append(f"features/{path.name} lacks {lacking} rows of label.csv; {path.stem} is absent from them")
        features[path.stem] = store
    return features, notes


def _classes(table: Path, rows: list[dict[str, str]], task: TaskChoice) -> tuple[str, ...] | None:
    """The classes of the column `label`; None where its labels are numbers on a scale."""
    values = [row["label"] for row in rows]
    known = [value for value in values if not is_blank(value)]
    names = bool(known) and all(number(value) is None for value in known)
    if task == "regression" or (task == "auto" and not names):
        return None
    return classes_of(values, f"{table}: label")


def _labels(
    table: Path, rows: list[dict[str, str]], column: str, classes: tuple[str, ...] | None
) -> list[float | None]:
    places = [f"{table}, row {i}: {column}" for i in range(2, len(rows) + 2)]
    if classes is not None:
        return [class_index(row[column], classes, where) for row, where in zip(rows, places, strict=True)]
    return [_label(row[column], where) for row, where in zip(rows, places, strict=True)]


def _label(value: str, where: str) -> float | None:
    if not value.strip():
        return None
    label = number(value)
    if label is None:
        raise MitrError(f"{where} is {value[:40]!r}, not a number; for classes import with --task classification")
    return label if np.isfinite(label) else None


def _knows(source: Path) -> bool:
    return (source / "label.csv").is_file() if source.is_dir() else source.suffix == ".csv"


def _read(source: Path, options: ReadOptions) -> Draft:
    return read_label_csv(source, options.text, options.source_splits, options.task)


LABEL_CSV = Reader(
    "a folder with label.csv and features/<modality>.npz",
    _knows,
    _read,
    lambda source: digest_of_files(files_of(source)),
)
