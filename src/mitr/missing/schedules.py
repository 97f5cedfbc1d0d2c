"""Which masks a split gets: the published fixed ones, or fresh ones drawn from (seed, epoch) and from nothing else.

Because an epoch's masks depend on its number alone, batch order, resuming and other random draws cannot change them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mitr.config import PUBLISHED_SEEDS, MissingConfig
from mitr.data.schema import MODALITIES
from mitr.missing import masks
from mitr.missing.masks import Mask

Masks = dict[str, Mask]


@dataclass
class Extent:
    """How far one modality of a split reaches.

    Args:
        lengths: (N,) steps of each sample, 0 where absent.
        padded_length: T of the source's padded array; None where it had none.
        special_tokens: the first and last step are [CLS] and [SEP], which step masks never hide.
    """

    lengths: np.ndarray
    padded_length: int | None = None
    special_tokens: bool = False

    @property
    def steps(self) -> int:
        """T of the masks: the padded length, or the longest sample where that is longer or nothing was padded."""
        return max(int(self.lengths.max(initial=1)), self.padded_length or 1)


def fixed(extents: Mapping[str, Extent], rates: Mapping[str, float], seeds: tuple[int, int, int]) -> Masks:
    """The published masks of a split, one rate per modality."""
    seed_of = dict(zip(MODALITIES, seeds, strict=True))
    return {
        m: masks.published(extent.lengths, extent.steps, rates[m], seed_of[m], extent.special_tokens)
        for m, extent in extents.items()
    }


def at_rate(extents: Mapping[str, Extent], rate: float, seeds: tuple[int, int, int] = PUBLISHED_SEEDS) -> Masks:
    """The published masks with the same rate in all modalities, as evaluation uses them."""
    return fixed(extents, dict.fromkeys(extents, rate), seeds)


def for_epoch(config: MissingConfig, extents: Mapping[str, Extent], seed: int, epoch: int) -> Masks:
    """What the student sees of the train split in one epoch.

    Args:
        config: the schedule and its rates.
        extents: modality -> Extent of the N samples.
        seed: the run's seed.
        epoch: number of the epoch, from 0.
    """
    if config.schedule == "none":
        return {m: masks.everything(extent.lengths, extent.steps) for m, extent in extents.items()}
    if config.schedule == "fixed":
        return fixed(extents, {m: config.rate_of(m) for m in extents}, config.seeds)
    samples = len(next(iter(extents.values())).lengths)
    shared = np.random.default_rng([seed, epoch])
    complete = shared.random(samples) < config.complete_share
    present = {m: extent.lengths > 0 for m, extent in extents.items()}
    gone = masks.drop_modalities(present, config.modality_rate, shared)
    drawn: Masks = {}
    for m, extent in extents.items():
        generator = np.random.default_rng([seed, epoch, 1 + MODALITIES.index(m)])
        rate: np.ndarray = np.full(samples, config.rate_of(m))
        if config.schedule == "random-rate":
            rate = np.where(complete, 0.0, generator.uniform(0.0, config.max_rate, samples))
        in_block = generator.random(samples) < config.block_share
        scattered = masks.random_steps(extent.lengths, np.where(in_block, 0.0, rate), generator, extent.steps)
        block = masks.blocks(extent.lengths, np.where(in_block, rate, 0.0), generator, steps=extent.steps)
        mask = masks.compose(scattered, block)
        if extent.special_tokens:
            mask = masks.keep_special_tokens(mask, extent.lengths)
        absent = gone[m] & ~complete if config.schedule == "random-rate" else gone[m]
        drawn[m] = masks.compose(mask, masks.whole(extent.lengths, absent, extent.steps))
    return drawn


def for_validation(config: MissingConfig, extents: Mapping[str, Extent]) -> dict[str, Masks]:
    """The incomplete views by which the validation split is scored: name (its rate) -> masks, fixed for the run."""
    if config.schedule == "none":
        return {"0.0": at_rate(extents, 0.0)}
    if config.schedule == "random-rate":
        return {str(rate): at_rate(extents, rate, config.seeds) for rate in config.validation_rates}
    rates = {m: config.rate_of(m) for m in extents}
    return {str(config.rate): fixed(extents, rates, config.seeds)}
