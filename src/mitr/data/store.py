"""The native store: a folder with an index, features without padding, and a description.

`samples.parquet` has one row a sample, `features.safetensors` one (sum of T, D) array a modality with its
offsets and per-step availability, `dataset.json` the rest (`schema.py`). Opening a store reads the index
alone; features are read from the memory-mapped file, sample by sample.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mitr.data.mapped import MappedFile
from mitr.data.schema import MODALITIES, DatasetInfo
from mitr.errors import MitrError
from mitr.files import read_json, sha256, write_json

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}


@dataclass
class Sample:
    """One sample on its way into a store.

    Args:
        id: unique in its split.
        split: train, valid or test.
        label: the sentiment, or the index of its class; None where it is not known.
        raw_text: the transcript, possibly empty.
        features: modality -> (T, D) float32, or (T,) int32 token ids; an absent modality has no entry.
        available: modality -> (T,) bool, False at steps that are missing inside the true length; no entry:
            none is missing.
        modality_labels: modality -> label of that modality alone, of the same kind.
        cleaned: modality -> number of values that cleaning replaced.
    """

    id: str
    split: str
    label: float | None
    raw_text: str = ""
    features: dict[str, np.ndarray] = field(default_factory=dict)
    available: dict[str, np.ndarray] = field(default_factory=dict)
    modality_labels: dict[str, float] = field(default_factory=dict)
    cleaned: dict[str, int] = field(default_factory=dict)


def write_store(folder: Path, samples: Iterable[Sample], info: DatasetInfo) -> None:
    """Write `samples` into the existing, empty `folder`; features stream through, so memory holds one sample.

    `info` is written last, so that whoever makes the samples may fill in its cleaning counts on the way.
    """
    stored = [m for m in MODALITIES if m in info.modalities and info.modalities[m].kind != "raw"]
    rows: list[Sample] = []
    lengths: dict[str, list[int]] = {m: [] for m in stored}
    files = {name: (folder / f".{name}").open("wb") for m in stored for name in (m, f"{m}.available")}
    try:
        for sample in samples:
            for m in stored:
                values = sample.features.get(m)
                steps = 0 if values is None else len(values)
                lengths[m].append(steps)
                if values is not None and steps:
                    files[m].write(np.ascontiguousarray(values, dtype=_dtype(info, m)).tobytes())
                    available = sample.available.get(m, np.ones(steps, dtype=bool))
                    files[f"{m}.available"].write(np.ascontiguousarray(available, dtype=bool).tobytes())
            rows.append(_index_only(sample))
    finally:
        for file in files.values():
            file.close()
    _join(folder, info, lengths)
    pq.write_table(_index(rows, info), folder / "samples.parquet")
    info.content_sha256 = content_sha256(folder)
    write_json(folder / "dataset.json", info.to_json())


def content_sha256(folder: Path) -> str:
    """One SHA-256 over a store's samples and features, whatever the description says."""
    both = sha256(folder / "samples.parquet") + sha256(folder / "features.safetensors")
    return hashlib.sha256(both.encode()).hexdigest()


class Dataset:
    """An open store.

    Attributes:
        info: the description.
        ids, splits, raw_text: N strings each, in the source's order.
        labels: (N,) float32, class indices where `info.classes` has names; NaN where not known.
        modality_labels: modality -> (N,) labels of that modality alone, for the modalities in `info.modality_labels`.
        lengths: modality -> (N,) int64 steps; 0 means absent. Text kept as `raw` has none until it is
            tokenised.
    """

    _file: MappedFile | None = None  # where the features come from a file

    def __init__(self, folder: str | Path):
        """Open the store in `folder`, reading its index only.

        Raises:
            MitrError: `folder` is not a store, or its files do not fit together.
        """
        self.folder = Path(folder)
        if not (self.folder / "dataset.json").is_file():
            raise MitrError(
                f"{self.folder} is not a mitr data set (it has no dataset.json): "
                "make one with `mitr data import SOURCE --out DIR`, or `mitr data synth --out DIR`"
            )
        self.info = DatasetInfo.from_json(read_json(self.folder / "dataset.json"), str(self.folder / "dataset.json"))
        try:
            of_modalities = [f"label_{m}" for m in self.info.modality_labels]
            # `pq.read_table` would import pandas, which takes longer than all the rest
            with pq.ParquetFile(self.folder / "samples.parquet") as file:
                columns = file.read(["id", "split", "raw_text", "label", *of_modalities], use_threads=False).to_pydict()
            self.ids: list[str] = columns["id"]
            self.splits: list[str] = columns["split"]
            self.raw_text: list[str] = columns["raw_text"]
            self.labels = _floats(columns["label"])
            self.modality_labels = {m: _floats(columns[f"label_{m}"]) for m in self.info.modality_labels}
            self._open_features()
        except (OSError, KeyError, ValueError, pa.ArrowInvalid) as error:
            raise MitrError(f"{self.folder}: the store is damaged ({error}); import the source again") from None

    def __len__(self) -> int:
        return len(self.ids)

    def indices(self, split: str) -> np.ndarray:
        """The rows of a split, (n,) int64 in store order.

        Raises:
            MitrError: the split has no sample.
        """
        rows = np.flatnonzero(np.array(self.splits) == split)
        if not len(rows):
            raise MitrError(
                f"{self.folder} has no {split!r} split (it has {', '.join(sorted(set(self.splits)))}): choose one of "
                "these, or import the source again with --splits id_mode.csv"
            )
        return rows

    def features(self, modality: str, row: int) -> np.ndarray:
        """The (T, D) float32 features of one sample, or (T,) int32 token ids; T is 0 where it is absent."""
        return self._slice(modality, modality, row)

    def available(self, modality: str, row: int) -> np.ndarray:
        """Which of the T steps of one sample were observed, (T,) bool."""
        return self._slice(f"{modality}.available", modality, row)

    def _slice(self, name: str, modality: str, row: int) -> np.ndarray:
        start, stop = self._offsets[modality][row : row + 2].tolist()
        rows = self._arrays[name][start:stop]
        if self._file is not None:
            self._file.reading(rows.nbytes)
        return rows

    def _open_features(self) -> None:
        self._file, self._arrays = map_safetensors(self.folder / "features.safetensors")
        self._offsets = {m.removesuffix(".offsets"): a for m, a in self._arrays.items() if m.endswith(".offsets")}
        self.lengths: dict[str, np.ndarray] = {m: np.diff(offsets) for m, offsets in self._offsets.items()}
        for m, offsets in self._offsets.items():
            if len(offsets) != len(self) + 1 or offsets[-1] != len(self._arrays[m]) or (self.lengths[m] < 0).any():
                raise ValueError(f"the offsets of {m} do not fit its features")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}  # a loader's worker maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]


def map_safetensors(path: Path) -> tuple[MappedFile, dict[str, np.ndarray]]:
    """Map every tensor of a safetensors file as a read-only array, without reading it.

    `safetensors.safe_open` copies what it returns to NumPy; a map costs nothing until a row is touched.

    Raises:
        ValueError: the header does not describe the file.
    """
    file = MappedFile(path)
    size = len(file.data)
    header_size = int.from_bytes(file.data[:8], "little")
    if header_size > min(size - 8, 100 << 20):
        raise ValueError(f"{path.name} is not a safetensors file")
    header: dict[str, Any] = json.loads(bytes(file.data[8 : 8 + header_size]))
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, (start, stop) = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
        start, stop = 8 + header_size + start, 8 + header_size + stop
        if stop - start != dtype.itemsize * math.prod(shape) or not 0 <= start <= stop <= size:
            raise ValueError(f"{path.name} is truncated at {name}")
        arrays[name] = np.frombuffer(file.data[start:stop], dtype).reshape(shape)
    return file, arrays


def _dtype(info: DatasetInfo, modality: str) -> np.dtype:
    return DTYPES["I32" if info.modalities[modality].kind == "ids" else "F32"]


def _index_only(sample: Sample) -> Sample:
    return Sample(
        sample.id, sample.split, sample.label, sample.raw_text, {}, {}, sample.modality_labels, sample.cleaned
    )


def _join(folder: Path, info: DatasetInfo, lengths: dict[str, list[int]]) -> None:
    """Join these files into one safetensors file (the library's writer needs all arrays in memory at once)."""
    offsets = {m: np.concatenate([[0], np.cumsum(n)]).astype("<i8") for m, n in lengths.items()}
    header: dict[str, Any] = {}
    position = 0
    order = [f"{m}.offsets" for m in offsets] + list(offsets) + [f"{m}.available" for m in offsets]  # by alignment
    for name in order:
        m = name.split(".")[0]
        total = int(offsets[m][-1])
        dim = info.modalities[m].dim
        if name.endswith(".offsets"):
            code, shape = "I64", [len(offsets[m])]
        elif name.endswith(".available"):
            code, shape = "BOOL", [total]
        elif info.modalities[m].kind == "ids":
            code, shape = "I32", [total]
        else:
            code, shape = "F32", [total, int(dim or 0)]
        size = DTYPES[code].itemsize * int(np.prod(shape))
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "features.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            if name.endswith(".offsets"):
                file.write(offsets[name.split(".")[0]].tobytes())
                continue
            values = folder / f".{name}"
            with values.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            values.unlink()


def _index(rows: list[Sample], info: DatasetInfo) -> pa.Table:
    columns: dict[str, Any] = {
        "id": pa.array([s.id for s in rows], pa.string()),
        "split": pa.array([s.split for s in rows], pa.string()),
        "raw_text": pa.array([s.raw_text for s in rows], pa.string()),
        "label": pa.array([s.label for s in rows], pa.float32()),
    }
    for m in info.modality_labels:
        columns[f"label_{m}"] = pa.array([s.modality_labels.get(m) for s in rows], pa.float32())
    for m in info.modalities:
        columns[f"cleaned_{m}"] = pa.array([s.cleaned.get(m, 0) for s in rows], pa.int64())
    return pa.table(columns)


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float32)
