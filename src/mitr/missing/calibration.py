"""How the validation split is made incomplete to calibrate prediction intervals on it."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np

from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.missing import masks, schedules
from mitr.missing.protocols import Condition, at_rates
from mitr.missing.schedules import Extent, Masks

DRAWS = 12
CALIBRATION_SEED = 20303  # of the masks that the validation split is calibrated under


def calibration_conditions(
    modalities: Collection[str], draws: int = DRAWS, seed: int = CALIBRATION_SEED
) -> tuple[Condition, ...]:
    """How the validation split is made incomplete to calibrate on it.

    Complete and all missing; `draws` times with each step hidden independently at a rate that each sample draws from
    [0, 1], in every other draw one rate for all its modalities, else one for each; and, of two or more modalities, each
    proper subset alone, once complete and once at a rate for each modality.

    Args:
        modalities: those of the run.
        draws: how many with random rates; at least 1.
        seed: of the masks; each condition has its own stream.

    Raises:
        MitrError: fewer than one draw, or no modality.
    """
    names = [m for m in MODALITIES if m in modalities]
    if draws < 1 or not names:
        raise MitrError(f"calibration needs at least one draw and one modality, not {draws} and {len(names)}")
    axis = "calibration"
    complete, nothing = at_rates((0.0, 1.0))
    drawn = []
    for i in range(draws):
        kind, shared = ("random-rates", False) if i % 2 else ("random-rate", True)
        random = partial(at_random_rates, seed=(seed, i), shared=shared)
        drawn.append(Condition(f"{kind} draw={i}", axis, None, random))
    for i, subset in enumerate(schedules.subsets(names)[:-1], start=draws):
        name = "+".join(subset)
        drawn.append(Condition(f"available={name}", axis, None, partial(schedules.with_only, available=subset)))
        random = partial(at_random_rates, seed=(seed, i), shared=False, available=subset)
        drawn.append(Condition(f"random-rates available={name}", axis, None, random))
    return (complete, *drawn, nothing)


def at_random_rates(
    extents: Mapping[str, Extent], seed: Sequence[int], *, shared: bool, available: Collection[str] = MODALITIES
) -> Masks:
    """Hide steps at rates that each sample draws from [0, 1]; modalities that are not available are absent.

    Args:
        extents: modality -> Extent of the N samples.
        seed: of the rates (N,) and of the steps; the same lengths get the same masks.
        shared: one rate for all modalities of a sample, else one for each.
        available: the modalities that are not taken away.
    """
    samples = len(next(iter(extents.values())).lengths)
    rates = np.random.default_rng([*seed, 0]).uniform(0.0, 1.0, samples)
    kept = schedules.with_only(extents, available)
    drawn: Masks = {}
    for m, extent in extents.items():
        generator = np.random.default_rng([*seed, 1 + MODALITIES.index(m)])
        rate = rates if shared else generator.uniform(0.0, 1.0, samples)
        mask = masks.random_steps(extent.lengths, rate, generator, extent.steps)
        if extent.special_tokens:
            mask = masks.keep_special_tokens(mask, extent.lengths)
        drawn[m] = masks.compose(mask, kept[m])
    return drawn
