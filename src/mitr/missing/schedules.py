"""Which masks a split gets: the published fixed ones, or fresh ones drawn from (seed, epoch) and from nothing else.

Because an epoch's masks depend on its number alone, batch order, resuming and other random draws cannot change them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mitr.config import PUBLISHED_SEEDS, MissingConfig
from mitr.data.schema import MODALITIES
from mitr.missing import masks
from mitr.missing.masks import Mask, Position

Masks = dict[str, Mask]
MODALITY_SEED, BLOCK_SEED = 20301, 20302  # of whole modalities and of gaps, in validation and test


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


def at_modality_rate(extents: Mapping[str, Extent], rate: float, seed: int = MODALITY_SEED) -> Masks:
    """Each modality of each sample wholly absent with probability `rate`; one that the sample has is kept."""
    present = {m: extents[m].lengths > 0 for m in MODALITIES if m in extents}
    gone = masks.drop_modalities(present, rate, np.random.default_rng(seed))
    return {m: masks.whole(extent.lengths, gone[m], extent.steps) for m, extent in extents.items()}


def with_only(extents: Mapping[str, Extent], available: Collection[str]) -> Masks:
    """All modalities but the available ones are absent from every sample."""
    return {
        m: masks.whole(extent.lengths, np.full(len(extent.lengths), m not in available), extent.steps)
        for m, extent in extents.items()
    }


def subsets(modalities: Collection[str]) -> list[tuple[str, ...]]:
    """The non-empty sets of modalities, small ones first."""
    names = [m for m in MODALITIES if m in modalities]
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def with_gap(
    extents: Mapping[str, Extent],
    rate: float,
    position: Position = "random",
    modality: str | None = None,
    seed: int = BLOCK_SEED,
) -> Masks:
    """One contiguous gap in every sample, of a share `rate` of its steps ([CLS] and [SEP] not counted).

    Args:
        extents: modality -> Extent of the N samples.
        rate: share of the steps to hide, in [0, 1]; a modality of one step is hidden whole from .5 on.
        position: where the gap lies.
        modality: the one that has it; None: all, at the same relative place in time.
        seed: of the random positions.
    """
    drawn: Masks = {}
    for m, extent in extents.items():
        stream = 0 if modality is None else 1 + MODALITIES.index(m)  # the same draws, the same relative place
        generator = np.random.default_rng([seed, stream])
        drawn[m] = _gap(extent, rate if modality in (None, m) else 0.0, generator, position)
    return drawn


def _gap(extent: Extent, rate: float, generator: np.random.Generator, position: Position) -> Mask:
    if not extent.special_tokens:
        return masks.blocks(extent.lengths, rate, generator, position, extent.steps)
    content = np.maximum(extent.lengths - 2, 0)
    hidden = masks.inside(content, extent.steps) & ~masks.blocks(content, rate, generator, position, extent.steps).keep
    whole = masks.everything(extent.lengths, extent.steps)
    whole.keep[:, 1:] &= ~hidden[:, :-1]  # content begins after [CLS]
    return whole


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
    """The incomplete views by which the validation split is scored: name -> masks, fixed for the run."""
    if config.schedule == "none":
        return {"0.0": at_rate(extents, 0.0)}
    if config.validate == "combinations":
        return {"+".join(subset): with_only(extents, subset) for subset in subsets(extents)}
    if config.validate == "modality-rate":
        return {str(rate): at_modality_rate(extents, rate) for rate in config.validation_rates}
    if config.validate == "blocks":
        return {str(rate): with_gap(extents, rate) for rate in config.validation_rates}
    if config.schedule == "random-rate":
        return {str(rate): at_rate(extents, rate, config.seeds) for rate in config.validation_rates}
    rates = {m: config.rate_of(m) for m in extents}
    return {str(config.rate): fixed(extents, rates, config.seeds)}


def described_validation(config: MissingConfig) -> str:
    """What `for_validation` gives, as words that follow "mean over"."""
    rates = ", ".join(map(str, config.validation_rates))
    if config.schedule != "none" and config.validate != "rates":
        return {
            "combinations": "all combinations of available modalities",
            "modality-rate": f"rates of absent modalities {rates} (seed {MODALITY_SEED})",
            "blocks": f"gaps in all modalities at once, of a share {rates} of the steps (seed {BLOCK_SEED})",
        }[config.validate]
    if config.schedule != "random-rate":
        by_modality = {m: config.rate_of(m) for m in MODALITIES}
        rates = str(config.rate) if len(set(by_modality.values())) == 1 else str(by_modality)
    if config.schedule == "none":
        rates = "0.0"
    return f"missing rates {rates} (masks of seeds {', '.join(map(str, config.seeds))})"
