"""Data in the shapes and lengths of CMU-MOSEI, as many samples as asked, made without holding them in memory.

The numbers are noise; what counts are sizes. A clip lasts 7.3 s on average and at most 25 s, and has 2.6 words, 20
audio steps and 15 vision steps a second, so that audio fits 500 steps and vision 375; text is cut at 50 tokens.
"""

import pickle
import pickletools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mitr.data.schema import SPLITS, DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, write_store
from mitr.files import new_folder, replacing

SAMPLES = 22_856  # CMU-MOSEI
SHARES = {"train": 16_326 / SAMPLES, "valid": 1_871 / SAMPLES, "test": 4_659 / SAMPLES}
PADDED = {"text": 50, "audio": 500, "vision": 375}
WIDTHS = {"text": 768, "audio": 74, "vision": 35}
STEPS_A_SECOND = {"text": 2.6, "audio": 20.0, "vision": 15.0}
MEAN_SECONDS, MOST_SECONDS = 7.3, 25.0
BLOCK = 128  # samples in memory
POOL = 1 << 23  # random numbers, of which samples are slices

Fill = Callable[[np.ndarray, int], None]  # a block of samples to fill, and the first sample's number in its split


class Split(NamedTuple):
    """What is drawn of a split at once: true lengths, text's with [CLS] and [SEP], and labels in [-3, 3]."""

    lengths: dict[str, np.ndarray]
    labels: np.ndarray


def draw(samples: int, seed: int = 0) -> dict[str, Split]:
    """The splits of a set of `samples` samples, in CMU-MOSEI's proportions."""
    sizes = {name: max(1, round(samples * SHARES[name])) for name in ("valid", "test")}
    sizes["train"] = max(1, samples - sum(sizes.values()))
    made: dict[str, Split] = {}
    for k, name in enumerate(SPLITS):
        random = np.random.default_rng([seed, k])
        seconds = np.clip(random.gamma(2.0, MEAN_SECONDS / 2.0, sizes[name]), 0.5, MOST_SECONDS)
        lengths = {m: np.minimum((seconds * rate).astype(int) + 1, PADDED[m]) for m, rate in STEPS_A_SECOND.items()}
        lengths["text"] = np.minimum(lengths["text"] + 2, PADDED["text"])
        made[name] = Split(lengths, np.clip(random.normal(0.2, 1.1, sizes[name]), -3, 3).astype(np.float32))
    return made


def write_pickle(path: Path, samples: int, seed: int = 0) -> None:
    """Write a pickle in MMSA's layout: dense float32 arrays, token ids, raw text; 200 KB a sample."""
    splits = draw(samples, seed)
    pool = _pool(seed)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(b"\x80\x04}(")
        for name, split in splits.items():
            file.write(_opcodes(name) + b"}(")
            _write_split(file, name, split, pool)
            file.write(b"u")
        file.write(b"u.")


def write_made_store(folder: Path, samples: int, seed: int = 0) -> Dataset:
    """Write a store whose text are embeddings 768 wide, as if they had been extracted before; 120 KB a sample."""
    modalities = {m: Modality("embeddings" if m == "text" else "features", WIDTHS[m], PADDED[m]) for m in WIDTHS}
    modalities["text"].special_tokens = True
    info = DatasetInfo("made", (-3, 3), modalities, Source("made", "made"), synthetic=True)
    with new_folder(folder, "dataset.json", overwrite=True) as partial:
        write_store(partial, _samples(draw(samples, seed), _pool(seed)), info)
    return Dataset(folder)


def _samples(splits: dict[str, Split], pool: np.ndarray) -> Iterator[Sample]:
    for name, split in splits.items():
        for i, label in enumerate(split.labels):
            features = {m: _slice(pool, i, split.lengths[m][i], dim) for m, dim in WIDTHS.items()}
            yield Sample(f"{name}$_${i}", name, float(label), _words(split.lengths["text"][i]), features)


def _write_split(file: BinaryIO, name: str, split: Split, pool: np.ndarray) -> None:
    n, words = len(split.labels), split.lengths["text"]
    file.write(_opcodes("raw_text") + _opcodes([_words(length) for length in words]))
    file.write(_opcodes("id") + _opcodes([f"{name}$_${i}" for i in range(n)]))
    file.write(_opcodes("regression_labels"))
    _write_array(file, (n,), lambda block, start: np.copyto(block, split.labels[start : start + len(block)]))
    file.write(_opcodes("text_bert"))
    _write_array(file, (n, 3, PADDED["text"]), lambda block, start: _fill_ids(block, words[start:]))
    for m in ("audio", "vision"):
        file.write(_opcodes(f"{m}_lengths") + _opcodes(split.lengths[m].tolist()))
        file.write(_opcodes(m))
        _write_array(file, (n, PADDED[m], WIDTHS[m]), _filler(pool, split.lengths[m]))


def _opcodes(value: Any) -> bytes:
    """The instructions that make `value`, without the protocol before and the stop after them."""
    return pickletools.optimize(pickle.dumps(value, 3))[2:-1]


def _write_array(file: BinaryIO, shape: tuple[int, ...], fill: Fill) -> None:
    """Write a float32 array, a block of samples at a time, as NumPy before version 2 pickled it."""
    file.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01")
    file.write(_opcodes(shape) + _opcodes(np.dtype(np.float32)) + b"\x89")
    file.write(b"\x8e" + (4 * int(np.prod(shape))).to_bytes(8, "little"))
    for start in range(0, shape[0], BLOCK):
        block = np.zeros((min(BLOCK, shape[0] - start), *shape[1:]), np.float32)
        fill(block, start)
        file.write(block.data)
    file.write(b"tb")


def _filler(pool: np.ndarray, lengths: np.ndarray) -> Fill:
    def fill(block: np.ndarray, start: int) -> None:
        for i, length in enumerate(lengths[start : start + len(block)]):
            block[i, :length] = _slice(pool, start + i, length, block.shape[2])

    return fill


def _fill_ids(block: np.ndarray, lengths: np.ndarray) -> None:
    for entry, length in zip(block, lengths, strict=False):
        entry[0, :length] = [101, *(2000 + 7 * k for k in range(length - 2)), 102]
        entry[1, :length] = 1


def _pool(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(POOL, np.float32)


def _slice(pool: np.ndarray, number: int, length: int, dim: int) -> np.ndarray:
    start = (number * 7919) % (len(pool) - length * dim)
    return pool[start : start + length * dim].reshape(length, dim)


def _words(tokens: int) -> str:
    return " ".join(["good", "film", "really", "not"][k % 4] for k in range(tokens - 2))
