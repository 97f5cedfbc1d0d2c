"""Samples in memory that are read like a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.schema import DatasetInfo
from mitr.data.store import DTYPES, Dataset, Sample


class HeldDataset(Dataset):
    """A data set in memory, without files.

    Args:
        samples: as they would be written into a store.
        info: the description; its name stands where messages name a folder.
    """

    def __init__(self, samples: Sequence[Sample], info: DatasetInfo):
        self.folder, self.info, self._samples = Path(info.name), info, list(samples)
        self.ids = [s.id for s in samples]
        self.splits = [s.split for s in samples]
        self.raw_text = [s.raw_text for s in samples]
        self.labels = np.array([np.nan if s.label is None else s.label for s in samples], np.float32)
        self.modality_labels = {}
        self._arrays, self._offsets, self.lengths = {}, {}, {}
        for m, modality in info.modalities.items():
            if modality.kind == "raw":
                continue
            kind = DTYPES["I32" if modality.kind == "ids" else "F32"]
            blank: np.ndarray = np.zeros((0,) if modality.dim is None else (0, modality.dim), kind)
            features = [s.features.get(m, blank) for s in samples]
            lengths = np.array([len(values) for values in features], np.int64)
            self._arrays[m] = np.concatenate([blank, *features]).astype(kind)
            available = [
                s.available.get(m, np.ones(len(values), bool)) for s, values in zip(samples, features, strict=True)
            ]
            self._arrays[f"{m}.available"] = np.concatenate([np.zeros(0, bool), *available])
            self._offsets[m] = np.concatenate([[0], np.cumsum(lengths)])
            self.lengths[m] = lengths

    def __getstate__(self) -> dict[str, Any]:
        return {"samples": self._samples, "info": self.info}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["samples"], state["info"])  # type: ignore[misc]
