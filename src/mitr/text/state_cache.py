"""An LRU cache of the states of a frozen text encoder, shared by all runs of a process.

Its entries are sets: a list of batches that is read as one, such as a split under one set of masks. The states of a set
are always computed from the whole set in its order, so they do not depend on earlier readings, of this run or another.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mitr.batches.views import Steps


class TextSet(NamedTuple):
    """The texts of one set.

    Attributes:
        states: text -> its states (T, D), [CLS] and [SEP] included.
        size: in bytes.
    """

    states: dict[bytes, Tensor]
    size: int


class TextStateCache:
    """Sets of states; beyond the bound of their bytes, the least recently used set is dropped."""

    def __init__(self) -> None:
        self.sets: OrderedDict[tuple[str, str], TextSet] = OrderedDict()

    def get(
        self, encoder: str, batches: Sequence[Steps], width: int, most_bytes: int, encode: Callable[[Steps], Tensor]
    ) -> dict[bytes, Tensor]:
        """The states of a set, from memory or computed now; none if the set alone is beyond the bound.

        Args:
            encoder: identity of the encoder.
            batches: token ids (B, T) in a fixed order.
            width: bytes of one state.
            most_bytes: bound of the whole memory.
            encode: ids -> states (B, T, D).
        """
        keys = [text_keys(steps) for steps in batches]
        if sum(len(key) // 8 for batch in keys for key in batch) * width > most_bytes:
            return {}
        content = hashlib.blake2b(b"|".join(b",".join(batch) for batch in keys), digest_size=16).hexdigest()
        name = encoder, content
        if name not in self.sets:
            self.sets[name] = _read(keys, batches, encode)
        self.sets.move_to_end(name)
        while sum(known.size for known in self.sets.values()) > most_bytes:
            self.sets.popitem(last=False)
        return self.sets[name].states


TEXT_STATES = TextStateCache()


def text_keys(steps: Steps) -> list[bytes]:
    """Each text of a batch by its token ids, empty for an absent one."""
    ids, lengths = steps.values.cpu().numpy().astype("int64", copy=False), steps.valid.sum(dim=1).tolist()
    return [row[:length].tobytes() for row, length in zip(ids, lengths, strict=True)]


def _read(keys: list[list[bytes]], batches: Sequence[Steps], encode: Callable[[Steps], Tensor]) -> TextSet:
    known: dict[bytes, Tensor] = {}
    with torch.no_grad():
        for names, steps in zip(keys, batches, strict=True):
            if any(names):
                encoded = encode(steps)
                known |= {
                    key: states[: len(key) // 8].clone()
                    for key, states in zip(names, encoded, strict=True)
                    if key and key not in known
                }
    return TextSet(known, sum(states.nbytes for states in known.values()))
