"""Masks over ragged sequences: lengths, a rate and an explicit generator in; a named tuple out.

N samples, T steps (the longest, or the padded length). A mask only ever hides: a step or modality that a sample lacks
by nature has length 0 or is not available, and nothing here brings it back.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

Position = Literal["start", "middle", "end", "random"]


class Mask(NamedTuple):
    """What of one modality remains visible.

    Attributes:
        keep: (N, T) bool, True where the step is shown; False past the true length.
        absent: (N,) bool, True where the whole modality is taken away: it then has no steps at all, whereas steps
            that `keep` hides stay in place as zero rows or unknown tokens.
    """

    keep: np.ndarray
    absent: np.ndarray


def inside(lengths: np.ndarray, steps: int | None = None) -> np.ndarray:
    """(N, T) bool: True inside each true length; T is `steps` or the longest length, at least 1."""
    longest = max(int(np.max(lengths, initial=0)), 1)
    steps = longest if steps is None else steps
    if steps < longest and np.max(lengths, initial=0) > 0:
        raise ValueError(f"{steps} steps cannot hold a sequence of {longest}")
    return np.arange(steps)[None, :] < np.asarray(lengths)[:, None]


def everything(lengths: np.ndarray, steps: int | None = None) -> Mask:
    """Hide nothing."""
    return _present(inside(lengths, steps))


def random_steps(
    lengths: np.ndarray, rate: float | np.ndarray, generator: np.random.Generator, steps: int | None = None
) -> Mask:
    """Hide each step with probability `rate`, a number or one per sample (N,), in [0, 1]."""
    valid = inside(lengths, steps)
    rates = _rates(rate, len(valid))
    return _present(valid & (generator.random(valid.shape) >= rates[:, None]))


def blocks(
    lengths: np.ndarray,
    rate: float | np.ndarray,
    generator: np.random.Generator,
    position: Position = "random",
    steps: int | None = None,
) -> Mask:
    """Hide one contiguous block of round(rate x length) steps, at the start, middle or end, or at a random place."""
    valid = inside(lengths, steps)
    lengths = np.asarray(lengths)
    size = np.floor(_rates(rate, len(valid)) * lengths + 0.5).astype(np.int64)
    room = lengths - size
    start = {
        "start": np.zeros_like(room),
        "middle": room // 2,
        "end": room,
        "random": np.floor(generator.random(len(valid)) * (room + 1)).astype(np.int64),
    }[position]
    index = np.arange(valid.shape[1])[None, :]
    gap = (index >= start[:, None]) & (index < (start + size)[:, None])
    return _present(valid & ~gap)


def whole(lengths: np.ndarray, absent: np.ndarray, steps: int | None = None) -> Mask:
    """Take the modality away from the samples where `absent`, (N,) bool, is true."""
    absent = np.asarray(absent, dtype=bool)
    return Mask(inside(lengths, steps) & ~absent[:, None], absent)


def drop_modalities(
    present: Mapping[str, np.ndarray], rate: float, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Choose whole modalities to take away, each with probability `rate`, keeping one that the sample has.

    Args:
        present: modality -> (N,) bool, what each sample has by nature.
        rate: probability in [0, 1].
        generator: source of the draws.

    Returns:
        modality -> (N,) bool, True where it is to be taken away.

    Raises:
        ValueError: the rate is outside [0, 1].
    """
    names = list(present)
    has = np.stack([present[m] for m in names], axis=1)  # (N, M)
    gone = has & (generator.random(has.shape) < _rates(rate, len(has))[:, None])
    # where nothing would be left, one of those that the sample has comes back, each equally likely
    favourite = np.where(has, generator.random(has.shape), -1.0).argmax(axis=1)
    nothing_left = ~(has & ~gone).any(axis=1)
    gone[nothing_left, favourite[nothing_left]] = False
    return {m: gone[:, i] for i, m in enumerate(names)}


def keep_special_tokens(mask: Mask, lengths: np.ndarray) -> Mask:
    """Show the first and the last step ([CLS], [SEP]) again, except where the whole text is taken away."""
    keep = mask.keep.copy()
    rows = np.flatnonzero((np.asarray(lengths) > 0) & ~mask.absent)
    keep[rows, 0] = True
    keep[rows, np.asarray(lengths)[rows] - 1] = True
    return Mask(keep, mask.absent)


def compose(*masks: Mask) -> Mask:
    """Show what every mask shows; absent where any says so."""
    keep = np.logical_and.reduce([mask.keep for mask in masks])
    return Mask(keep, np.logical_or.reduce([mask.absent for mask in masks]))


def published(lengths: np.ndarray, padded_length: int, rate: float, seed: int, special_tokens: bool = False) -> Mask:
    """The fixed masks that TFR-Net, EMT-DLFR and MITR-DNet share, bit for bit.

    NumPy's legacy generator draws over the padded array, so the masks depend on `padded_length` and on the order of
    samples in the split; over rates they are nested.

    Args:
        lengths: (N,) true lengths, text's with [CLS] and [SEP].
        padded_length: T of the source's padded array.
        rate: share of steps to hide, in [0, 1].
        seed: 111 for text, 1111 for audio, 11111 for vision in all published runs.
        special_tokens: text with [CLS] and [SEP], which are always shown.

    Raises:
        ValueError: the rate is outside [0, 1], or a length beyond `padded_length`.
    """
    valid = inside(lengths, padded_length)
    keep = valid & (np.random.RandomState(seed).uniform(size=valid.shape) > _rates(rate, len(valid))[:, None])
    mask = _present(keep)
    return keep_special_tokens(mask, lengths) if special_tokens else mask


def _present(keep: np.ndarray) -> Mask:
    return Mask(keep, np.zeros(len(keep), dtype=bool))


def _rates(rate: float | np.ndarray, samples: int) -> np.ndarray:
    rates = np.broadcast_to(np.asarray(rate, dtype=float), (samples,))
    if rates.size and not (rates.min() >= 0 and rates.max() <= 1):
        raise ValueError("a missing rate must lie in [0, 1]")
    return rates
