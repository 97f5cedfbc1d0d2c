"""The protocols under which the field tests models on incomplete data, as a registry (docs/protocols.md).

A protocol says which conditions the test split is put in, how a model for them is trained, and, through
`MissingConfig.validate`, on what of the validation split it is selected. The test split selects nothing.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mitr.config import PUBLISHED_SEEDS, MissingConfig
from mitr.data.scale import SIMS_ENDS, Scale
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.missing import schedules
from mitr.missing.masks import Position
from mitr.missing.schedules import Extent, Masks
from mitr.plugins import Registry

MODALITY_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
GAPS = (0.1, 0.3, 0.5, 0.7, 0.9)  # shares of the steps
PLACES: tuple[Position, ...] = ("start", "middle", "end")
GAP_AT_A_PLACE = 0.5
MUCH, LITTLE = 0.8, 0.2  # unequal rates
VALIDATION_RATE = 0.5  # of protocol B
AREA, CHOSEN = "auilc", "rates"  # the area over published rates; rates that a user chooses
CHOSEN_ABOUT = "Single steps are hidden at random at chosen rates, alike in all modalities, with the published masks."


@dataclass(frozen=True)
class Condition:
    """One way in which test data are incomplete.

    Attributes:
        name: unique inside a protocol, safe in file names.
        axis: the family that is drawn as one curve, or one group of bars.
        level: its place on that axis; None for one that has no number.
        masks: modality -> Extent of a split in, its masks out; the same for the same lengths.
    """

    name: str
    axis: str
    level: float | None
    masks: Callable[[Mapping[str, Extent]], Masks] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Protocol:
    """A way of testing on incomplete data.

    Attributes:
        letter: its short name.
        name: its name.
        about: what is missing, in a sentence.
        source: who test so.
        conditions: (modalities of the data set, scale of its labels) -> the conditions.
        training: a run's options -> those of one model for all conditions; what the protocol fixes is replaced.
        modalities: how many with content it takes.
        steps: how many steps the longest sequence must have.
        rates: those that a user chose, of the protocol `rates`; empty for all others.
    """

    letter: str
    name: str
    about: str
    source: str
    conditions: Callable[[Collection[str], Scale], tuple[Condition, ...]] = field(compare=False)
    training: Callable[[MissingConfig], MissingConfig]
    modalities: int = 1
    steps: int = 1
    rates: tuple[float, ...] = ()

    @property
    def file_name(self) -> str:
        """Its name in names of files, which differs between chosen rates."""
        if not self.rates:
            return self.name.replace(":", "-")
        return f"{self.name}-{hashlib.sha256(repr(self.rates).encode()).hexdigest()[:8]}"

    def conditions_of(self, data: Dataset) -> tuple[Condition, ...]:
        """The conditions for the modalities and the scale of a data set."""
        return self.conditions(tuple(data.info.modalities), data.info.scale)

    def problems(self, data: Dataset, split: str = "test") -> list[str]:
        """Why a split of the data set cannot serve the protocol, in sentences; empty if it can."""
        longest = {m: steps for m, steps in _longest(data, split).items() if steps}
        if len(longest) < self.modalities:
            return [
                f"protocol {self.name} takes whole modalities away and needs {self.modalities} with content in the "
                f"{split} split, which has {', '.join(longest) or 'none'}; choose auilc, mean or blocks"
            ]
        if max(longest.values(), default=0) < self.steps:
            return [
                f"protocol {self.name} cuts gaps into sequences, but no sample of the {split} split has "
                f"{self.steps} steps; choose modality-rate or combinations"
            ]
        return []


def at_rates(rates: Sequence[float], seeds: tuple[int, int, int] = PUBLISHED_SEEDS) -> tuple[Condition, ...]:
    """The published masks at each of these rates, the same in all modalities."""
    return tuple(
        Condition(f"rate={rate}", "rate", rate, partial(schedules.at_rate, rate=rate, seeds=seeds)) for rate in rates
    )


def tenths(last: int) -> list[float]:
    """Rates 0.0, 0.1 … up to `last` tenths."""
    return [step / 10 for step in range(last + 1)]


def _complete(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return at_rates([0.0])


def _auilc(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return at_rates(tenths(5 if scale.ends == SIMS_ENDS else 10))


def _mean(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return at_rates(tenths(9))


def _chosen(rates: Sequence[float], modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return at_rates(rates)


def _modality_rates(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return tuple(
        Condition(f"modality-rate={rate}", "modality-rate", rate, partial(schedules.at_modality_rate, rate=rate))
        for rate in MODALITY_RATES
    )


def _combinations(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    return tuple(
        Condition(f"available={'+'.join(subset)}", "available", None, partial(schedules.with_only, available=subset))
        for subset in schedules.subsets(modalities)
    )


def _blocks(modalities: Collection[str], scale: Scale) -> tuple[Condition, ...]:
    names = [m for m in MODALITIES if m in modalities]
    where: dict[str, str | None] = {"all": None} | {m: m for m in names} if len(names) > 1 else {names[0]: names[0]}
    found = [_gap("random", rate, place, m) for place, m in where.items() for rate in GAPS]
    found += [_gap(position, GAP_AT_A_PLACE, place, m) for place, m in where.items() for position in PLACES]
    for most in names if len(names) > 1 else []:
        rates = dict.fromkeys(names, LITTLE) | {most: MUCH}
        draw = partial(schedules.fixed, rates=rates, seeds=PUBLISHED_SEEDS)
        found.append(Condition(f"unequal {most}={MUCH} others={LITTLE}", "unequal", None, draw))
    return tuple(found)


def _gap(position: Position, rate: float, place: str, modality: str | None) -> Condition:
    draw = partial(schedules.with_gap, rate=rate, position=position, modality=modality)
    name = f"block {position} {place}={rate}"
    if position == "random":
        return Condition(name, f"block-{place}", rate, draw)
    return Condition(name, "block-position", None, draw)


def _as_given(base: MissingConfig) -> MissingConfig:
    return base


def _half_complete(base: MissingConfig) -> MissingConfig:
    return MissingConfig(complete_share=0.5, seeds=base.seeds, validation_rates=(VALIDATION_RATE,))


def _whole_modalities(base: MissingConfig) -> MissingConfig:
    # at .5 every combination is about as likely as any other, which is also how the validation split is scored
    return MissingConfig("fresh", rate=0.0, modality_rate=0.5, seeds=base.seeds, validate="combinations")


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "0",
            "complete",
            "The test split as it is: nothing is removed.",
            "reported beside incomplete data by all of the below",
            _complete,
            _as_given,
        ),
        Protocol(
            "A",
            "auilc",
            "Single steps are hidden at random, at the same rate in all modalities, with the published masks.",
            "TFR-Net (Yuan et al., ACM MM 2021), EMT-DLFR (Sun et al., TAFFC 2024), "
            "MITR-DNet (Wang et al., ICASSP 2025)",
            _auilc,
            _as_given,
        ),
        Protocol(
            "B",
            "mean",
            "The same masks at rates 0.0 to 0.9; one model, trained half on complete samples, answers all of them.",
            "LNLN (Zhang et al., NeurIPS 2024)",
            _mean,
            _half_complete,
        ),
        Protocol(
            "C1",
            "modality-rate",
            "Each modality of each sample is absent as a whole at a rate; one that the sample has is always kept.",
            "GCNet (Lian et al., TPAMI 2023), IMDer (Wang et al., NeurIPS 2023)",
            _modality_rates,
            _whole_modalities,
            modalities=2,
        ),
        Protocol(
            "C2",
            "combinations",
            "The same modalities are absent from every sample, in all combinations that leave at least one.",
            "CorrKD (Li et al., CVPR 2024), HRLF (Li et al., NeurIPS 2024)",
            _combinations,
            _whole_modalities,
            modalities=2,
        ),
        Protocol(
            "D",
            "blocks",
            "What is missing has a structure: one contiguous gap, in one modality or in all at the same time, or one "
            "modality that misses far more than the others.",
            "NIAT (Yuan et al., TMM 2023), OpenVNA (Yuan et al., ACL 2024), CIDer (Zhong et al., 2025); "
            "unequal rates: MissBench (Pham et al., 2026)",
            _blocks,
            _as_given,
            steps=2,
        ),
    )
}


def at_chosen_rates(rates: Sequence[float]) -> Protocol:
    """The protocol `rates`: the published masks at the rates that a user chose.

    Raises:
        MitrError: no rate, one given twice, or one outside [0, 1].
    """
    rates = tuple(sorted(float(rate) for rate in rates))
    if not rates or len(set(rates)) != len(rates):
        raise MitrError(f"the rates {list(rates)} must be different from each other, and at least one")
    if not all(0 <= rate <= 1 for rate in rates):
        raise MitrError(f"the rates {list(rates)} must lie in [0, 1]")
    return Protocol("R", CHOSEN, CHOSEN_ABOUT, "your own choice", partial(_chosen, rates), _as_given, rates=rates)


PLUGINS = Registry("protocol", "mitr.protocols", {})  # those of other packages


def protocol_named(name: str, rates: Sequence[float] | None = None) -> Protocol:
    """The protocol of a name; `rates` is the one at the given rates.

    Args:
        name: one of `PROTOCOLS`, `rates`, the name of another package's protocol, or `module:NAME`, which is then the
            name of the protocol in results.
        rates: missing rates of the protocol `rates`.

    Raises:
        MitrError: there is no such protocol, what has the name is none, or `rates` and the given rates do not go
            together.
    """
    if name == CHOSEN and rates is not None:
        return at_chosen_rates(rates)
    if name == CHOSEN:
        raise MitrError("the protocol rates needs the missing rates, such as --rates [0.0,0.5]")
    if rates is not None:
        raise MitrError(f"--rates are for the protocol {CHOSEN}; the protocol {name} has rates of its own")
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name not in PLUGINS:
        names = ", ".join([*PROTOCOLS, CHOSEN, *PLUGINS.names()])
        raise MitrError(f"there is no protocol {name!r}; the protocols are {names}")
    protocol = PLUGINS.find(name)
    if not isinstance(protocol, Protocol):
        raise MitrError(f"the protocol {name!r} must be a mitr.missing.protocols.Protocol, not {protocol!r}")
    return replace(protocol, name=name)


def described(name: str) -> tuple[str, str]:
    """Letter and sentence of a protocol of this name."""
    if name == CHOSEN:
        return "R", CHOSEN_ABOUT
    protocol = protocol_named(name)
    return protocol.letter, protocol.about


def _longest(data: Dataset, split: str) -> dict[str, int]:
    """Modality -> most steps with content of a sample of the split; words, where text is not yet tokens."""
    rows = data.indices(split)
    longest = {}
    for m, about in data.info.modalities.items():
        if about.kind == "raw":
            longest[m] = max(len(data.raw_text[row].split()) for row in rows)
        else:
            longest[m] = max(int(data.lengths[m][rows].max()) - 2 * about.special_tokens, 0)
    return longest
