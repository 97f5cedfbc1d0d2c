"""An LRU cache of the states of a frozen text encoder, shared by all runs of a process.

A set is a list of batches that belong together: a split under one draw of masks. Its states are always computed from
the whole set in a fixed order, so they do not depend on sets encoded earlier, by this run or another one.
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
        size: of the states, in bytes.
    """

    states: dict[bytes, Tensor]
    size: int


class TextStateCache:
    """Sets of states; beyond a bound in bytes, the least recently used sets are dropped."""

    def __init__(self) -> None:
        self.sets: OrderedDict[tuple[str, str], TextSet] = OrderedDict()

    def get(
        self, encoder: str, batches: Sequence[Steps], width: int, most_bytes: int, encode: Callable[[Steps], Tensor]
    ) -> dict[bytes, Tensor]:
        """The states of a set, from memory or computed now; empty if this set alone exceeds the bound.

        Args:
            encoder: identity of the encoder.
            batches: token ids (B, T) in a fixed order.
            width: bytes of one state.
            most_bytes: bound on all sets together.
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
