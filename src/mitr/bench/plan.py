"""What a benchmark will train and test, settled before the first run, with every fault of the plan found at once."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mitr.config import MissingConfig
from mitr.data.scale import Scale
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.missing.protocols import CHOSEN, PROTOCOLS, Protocol, protocol_named
from mitr.models.registry import MODELS
from mitr.plain_yaml import read_yaml
from mitr.runs.config import DEFAULT_MODEL, ModelConfig, RunConfig

PER_RATE = ("auilc", CHOSEN)  # protocols that can train one model per rate
REFUSED = "this benchmark cannot be run:\n"
LONGEST = 80  # characters of a name that becomes part of file names


class Check(NamedTuple):
    """A protocol under which a trained model is tested.

    Attributes:
        protocol: the protocol.
        conditions: names of its conditions; None: all of them.
    """

    protocol: Protocol
    conditions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Job:
    """One training run and what it is tested on.

    Attributes:
        key: its name in the folder; equal keys are equal runs.
        entry: the model's name in the tables.
        data: folder of the data set.
        data_name: its name in the tables.
        seed: of the run.
        training: `one-model` for all conditions, or `per-rate`.
        config: all options.
        checks: protocols that the trained model answers.
        split: the split that it is tested on.
    """

    key: str
    entry: str
    data: str
    data_name: str
    seed: int
    training: str
    config: RunConfig
    checks: tuple[Check, ...]
    split: str = "test"


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Attributes:
        datasets: the data sets, or folds of one.
        entries: name in the tables -> options, the seed not yet set.
        protocols: the protocols.
        seeds: of the training runs.
        per_rate: protocols `auilc` and `rates` train one model per rate.
        jobs: in the order in which they are to run: those that see the same masks stand together.
        family: of the metrics; None: that of each data set's scale.
    """

    datasets: tuple[Dataset, ...]
    entries: dict[str, RunConfig]
    protocols: tuple[Protocol, ...]
    seeds: tuple[int, ...]
    per_rate: bool
    jobs: tuple[Job, ...]
    family: str | None = None

    def scale_of(self, data: Dataset) -> Scale:
        """The scale that predictions for a data set are measured with."""
        return data.info.scale.measured_as(self.family)

    def to_json(self) -> dict[str, Any]:
        """The plan in a plain dictionary."""
        return {
            "data": [
                {"folder": str(d.folder), "name": d.info.name, "sha256": d.info.content_sha256} for d in self.datasets
            ],
            "entries": {name: config.to_json() for name, config in self.entries.items()},
            "protocols": [protocol.name for protocol in self.protocols],
            "rates": [rate for protocol in self.protocols for rate in protocol.rates] or None,
            "seeds": list(self.seeds),
            "per_rate": self.per_rate,
            "jobs": [job.key for job in self.jobs],
        }


def make_plan(
    datasets: Sequence[Dataset],
    entries: Mapping[str, RunConfig],
    protocols: Sequence[str],
    seeds: Sequence[int],
    per_rate: bool = False,
    rates: Sequence[float] | None = None,
) -> Plan:
    """Settle all runs.

    Args:
        datasets: the data sets, or folds of one.
        entries: name in the tables -> options.
        protocols: names of `mitr.missing.protocols`, or `rates`.
        seeds: of the training runs.
        per_rate: protocols `auilc` and `rates` train one model per rate.
        rates: missing rates of the protocol `rates`.

    Raises:
        MitrError: the plan has faults; the message lists all of them.
    """
    if problems := list(_problems(datasets, entries, protocols, seeds, per_rate, rates)):
        raise MitrError(REFUSED + "\n".join(f"- {problem}" for problem in problems))
    chosen = tuple(_protocol_named(name, rates) for name in protocols)
    jobs = [
        job
        for data in datasets
        for seed in seeds
        for training in trainings(data, chosen, per_rate)
        for name, config in entries.items()
        for job in [_job(data, name, config, seed, training)]
    ]
    return Plan(tuple(datasets), dict(entries), chosen, tuple(seeds), per_rate, _merged(jobs))


class ProtocolTraining(NamedTuple):
    """How a protocol trains: from an entry's own missing data to those of the protocol, and what it then tests."""

    training: str
    protocol: Protocol
    rate: float | None
    check: Check

    def missing(self, base: MissingConfig) -> MissingConfig:
        """What the student does not see."""
        if self.rate is None:
            return self.protocol.training(base)
        return MissingConfig("fixed", self.rate, seeds=base.seeds)


def trainings(data: Dataset, protocols: Sequence[Protocol], per_rate: bool) -> Iterator[ProtocolTraining]:
    """The trainings of protocols on a data set: one for all conditions, or one a rate."""
    for protocol in protocols:
        if per_rate and protocol.name in PER_RATE:
            for condition in protocol.conditions_of(data):
                yield ProtocolTraining("per-rate", protocol, condition.level, Check(protocol, (condition.name,)))
        else:
            yield ProtocolTraining("one-model", protocol, None, Check(protocol))


def _job(data: Dataset, name: str, config: RunConfig, seed: int, training: ProtocolTraining) -> Job:
    config = replace(config, train=replace(config.train, seed=seed), missing=training.missing(config.missing))
    key = f"{slug(data.info.name)}-{slug(name)}-seed{seed}-{_digest(data, config)}"
    if training.rate is not None:
        key += f"-rate{training.rate:g}"  # tested at its own rate alone, unlike an equal run for all conditions
    return Job(key, name, str(data.folder), data.info.name, seed, training.training, config, (training.check,))


def _merged(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Equal runs become one that answers all of their checks."""
    found: dict[str, Job] = {}
    for job in jobs:
        known = found.get(job.key)
        found[job.key] = job if known is None else replace(known, checks=known.checks + job.checks)
    return tuple(found.values())


def _digest(data: Dataset, config: RunConfig) -> str:
    """Of everything that a run's numbers depend on, which the machine's threads, device and memory are not.

    Options at their defaults are left out, so that a run keeps its key when another option comes into being.
    """
    plain, given = RunConfig(ModelConfig(config.model.name)).to_json(), config.to_json()
    plain["model"]["name"] = DEFAULT_MODEL
    for section, name in (("train", "threads"), ("train", "device"), ("text", "memory_mb")):
        del given[section][name]
    changed = {
        section: {name: value for name, value in options.items() if value != plain[section][name]}
        for section, options in given.items()
    }
    used = {section: options for section, options in changed.items() if options}
    text = json.dumps([data.info.content_sha256, used], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def _problems(
    datasets: Sequence[Dataset],
    entries: Mapping[str, RunConfig],
    protocols: Sequence[str],
    seeds: Sequence[int],
    per_rate: bool,
    rates: Sequence[float] | None,
) -> Iterator[str]:
    if not entries:
        yield f"no model is named; the models are {', '.join(MODELS.names())}"
    if not protocols:
        yield f"no protocol is named; the protocols are {', '.join(PROTOCOLS)}"
    for name in protocols:
        try:
            _protocol_named(name, rates)
        except MitrError as error:
            yield str(error)
    if rates is not None and CHOSEN not in protocols:
        yield "--rates are those of the protocol rates, which is not among the protocols"
    for what, values in (("seed", seeds), ("protocol", protocols)):
        for value in sorted({v for v in values if list(values).count(v) > 1}):
            yield f"{what} {value} is named more than once"
    if not seeds:
        yield "no seed is named"
    for seed in seeds:
        if not 0 <= seed < 2**32:
            yield f"seed {seed} does not lie in [0, 2**32)"
    if per_rate and not set(PER_RATE) & set(protocols):
        yield f"--per-rate is for the protocols {' and '.join(PER_RATE)}, which are not among the protocols"
    names = [data.info.name for data in datasets]
    if not datasets:
        yield "no data set is named"
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"two data sets are called {name!r}: give one another name when it is imported (--name)"
    yield from _alike("data sets", names)
    yield from _alike("entries", list(entries))
    for what, kinds in (
        ("label range", {data.info.label_range for data in datasets}),
        ("modalities", {"+".join(data.info.modalities) for data in datasets}),
    ):
        if len(kinds) > 1:
            told = " and ".join(sorted(map(str, kinds)))
            yield f"folds of one benchmark need the same {what}; these have {told}: run a benchmark for each"
    for data in datasets:
        if data.info.classes is not None:
            yield f"{data.folder}: its labels are classes; a benchmark compares models on a scale"
            continue
        for split in ("train", "valid", "test"):
            if not np.isfinite(data.labels[data.indices(split)]).any():
                yield f"{data.folder}: its {split} split has no labelled sample"
        for name in protocols:
            with suppress(MitrError):  # told above
                yield from (f"{data.folder}: {problem}" for problem in _protocol_named(name, rates).problems(data))


def _alike(what: str, names: Sequence[str]) -> Iterator[str]:
    """Names that would be one in the names of files, or too long for that."""
    for name in sorted(set(names)):
        if len(name) > LONGEST:
            yield f"the name {name[:20]!r}… of one of the {what} has more than {LONGEST} characters"
        others = sorted(other for other in set(names) if other > name and slug(other) == slug(name))
        if others:
            yield f"the {what} {name!r} and {others[0]!r} are the same in file names; call one of them something else"


def _protocol_named(name: str, rates: Sequence[float] | None) -> Protocol:
    """A protocol of a benchmark, whose rates are for the one that takes them."""
    return protocol_named(name, rates if name == CHOSEN else None)


def entries_of(
    models: Sequence[str], config: RunConfig, variants: Mapping[str, Any] | None = None
) -> dict[str, RunConfig]:
    """Models by name, and variants: name -> sections of options that differ from `config`.

    Raises:
        MitrError: with all faults: a name given twice, no model of that name, or a variant with an unknown section or
            option.
    """
    entries, faults = _read_entries(models, config, variants)
    if len(faults) > 1:
        raise MitrError(REFUSED + "\n".join(f"- {fault}" for fault in faults))
    if faults:
        raise MitrError(faults[0])
    return entries


def plan_of(
    datasets: Sequence[Dataset],
    models: Sequence[str],
    config: RunConfig,
    variants: Mapping[str, Any] | None,
    protocols: Sequence[str],
    seeds: Sequence[int],
    per_rate: bool = False,
    rates: Sequence[float] | None = None,
) -> Plan:
    """`make_plan` of `entries_of`.

    Raises:
        MitrError: the entries or the plan have faults; the message lists all of them together.
    """
    entries, faults = _read_entries(models, config, variants)
    if faults:
        faults += _problems(datasets, entries or {"": config}, protocols, seeds, per_rate, rates)
        raise MitrError(REFUSED + "\n".join(f"- {fault}" for fault in faults))
    return make_plan(datasets, entries, protocols, seeds, per_rate, rates)


def _read_entries(
    models: Sequence[str], config: RunConfig, variants: Mapping[str, Any] | None
) -> tuple[dict[str, RunConfig], list[str]]:
    """The entries that can be read, and the faults of all others."""
    repeated = sorted({name for name in models if list(models).count(name) > 1})
    faults = [f"--models: {', '.join(repeated)} is named more than once"] if repeated else []
    entries: dict[str, RunConfig] = {}
    for name, sections in [*((name, None) for name in models), *(variants or {}).items()]:
        try:
            entries[name] = (
                replace(config, model=_model_of(name, config))
                if sections is None
                else (_variant(name, sections, config, taken=models))
            )
        except MitrError as error:
            faults.append(str(error))
    return entries, faults


def _variant(name: Any, sections: Any, config: RunConfig, taken: Sequence[str]) -> RunConfig:
    if not isinstance(name, str):
        raise MitrError(f"the variant {name!r} needs a name in letters; write it in quotation marks")
    if name in taken:
        raise MitrError(f"the variant {name!r} has the name of a model; call it something else")
    if not isinstance(sections, dict) or not all(isinstance(options, dict) for options in sections.values()):
        raise MitrError(f"variant {name!r}: write sections of options, such as `model: {{name: mitr-dnet}}`")
    options = config.to_json()
    if sections.get("model", {}).get("name", config.model.name) != config.model.name:
        options |= {"model": {}, "loss": {}}  # the options of another model
    for section, changed in sections.items():
        options[section] = options.get(section, {}) | changed
    return RunConfig.from_json(options, f"variant {name!r}")


def _model_of(name: str, config: RunConfig) -> ModelConfig:
    """A model with the options that the configuration has for it, or with its defaults."""
    return config.model if name == config.model.name else ModelConfig(name)


def read_variants(path: Path) -> dict[str, Any]:
    """Variants from a YAML file: name -> section -> option -> value.

    Raises:
        MitrError: the file is missing or is not such a mapping.
    """
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise MitrError(f"{path} must map names of variants to sections of options")
    return found
