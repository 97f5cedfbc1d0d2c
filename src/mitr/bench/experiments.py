"""Published rows as files: what a paper reports, and the settings that are meant to give it (docs/experiments.md)."""

import math
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from jsonargparse import ArgumentParser

from mitr.errors import MitrError
from mitr.evaluation.metrics import metric
from mitr.plain_yaml import read_yaml
from mitr.runs.config import SECTIONS, ModelConfig, RunConfig

PublishedProtocol = Literal["auilc", "mean", "complete"]
Training = Literal["per-rate", "one-model"]


@dataclass(frozen=True)
class DataFile:
    """The data of a row: the set's name, the feature file that MMSA distributes, its SHA-256 (None: not known)."""

    name: str
    file: str
    sha256: str | None


@dataclass(frozen=True)
class Experiment:
    """One row of a published table.

    Attributes:
        name: the file's name without its ending.
        title: a line for headings.
        source: paper, table and row.
        url: where the paper is.
        data: what it was measured on.
        protocol: `auilc` (area over the missing rates, not divided by their range), `mean` over rates 0.0 to 0.9, or
            `complete`, rate 0 alone.
        training: a model for each rate, or one for all.
        model: a model's name.
        seeds: of the training runs that are averaged.
        config: the options of a run; its seed is replaced.
        published: metric key -> number, in the units of `mitr.evaluation.metrics`.
        tolerance: metric key -> difference that still counts as the same.
    """

    name: str
    title: str
    source: str
    url: str
    data: DataFile
    protocol: PublishedProtocol
    training: Training
    model: str
    seeds: tuple[int, ...]
    config: RunConfig
    published: dict[str, float]
    tolerance: dict[str, float]


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    Raises:
        MitrError: it cannot be read, or with everything that is wrong in it.
    """
    value = _mapping(path)
    problems = list(_problems(value))
    if problems:
        raise MitrError(
            "\n  ".join([f"{path} is not an experiment (docs/experiments.md says what one is):", *problems])
        )
    config = _config(value["model"], value["config"])
    parts = {"data": DataFile(**value["data"]), "seeds": tuple(value["seeds"]), "config": config}
    numbers = {key: {k: float(x) for k, x in value[key].items()} for key in ("published", "tolerance")}
    return Experiment(**{"name": path.stem} | value | parts | numbers)


def _mapping(path: Path) -> dict[str, Any]:
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise MitrError(f"{path} is not an experiment: it holds no keys; docs/experiments.md says which there are")
    return value


def _problems(value: dict[str, Any]) -> Iterator[str]:
    yield from (f"{key}: missing" for key in CHECKS if key not in value)
    yield from (f"{key}: there is no such key" for key in value if key not in CHECKS)
    for key, check in CHECKS.items():
        if key in value:
            yield from (f"{key}: {problem}" for problem in check(value[key]))
    if isinstance(value.get("model"), str) and not list(_sections(value.get("config"))):
        try:
            _config(value["model"], value["config"])
        except (ArgumentError, MitrError, TypeError) as error:
            yield f"config: {' '.join(str(error).split())}"
    published, tolerance = value.get("published"), value.get("tolerance")
    if isinstance(published, dict) and isinstance(tolerance, dict) and set(published) != set(tolerance):
        yield "tolerance: needs exactly the metrics of published"


def _text(value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield f"a line of text is needed, not {value!r}"


def _url(value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not value.startswith("https://"):
        yield f"an address that begins with https:// is needed, not {value!r}"


def _one_of(choices: Iterable[str]) -> Callable[[Any], Iterator[str]]:
    def check(value: Any) -> Iterator[str]:
        if value not in choices:
            yield f"one of {', '.join(choices)} is needed, not {value!r}"

    return check


def _data(value: Any) -> Iterator[str]:
    names = [field.name for field in fields(DataFile)]
    if not isinstance(value, dict) or set(value) != set(names):
        yield f"the keys {', '.join(names)} are needed"
        return
    yield from (f"{key}: {problem}" for key in ("name", "file") for problem in _text(value[key]))
    if value["sha256"] is not None and not re.fullmatch("[0-9a-f]{64}", str(value["sha256"])):
        yield f"sha256: 64 small hexadecimal digits or null are needed, not {value['sha256']!r}"


def _seeds(value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not value or not all(type(seed) is int and 0 <= seed < 2**32 for seed in value):
        yield f"a list of whole numbers from 0 to 2**32 - 1 is needed, not {value!r}"
    elif len(set(value)) != len(value):
        yield f"{value} repeats a seed"


def _sections(value: Any) -> Iterator[str]:
    sections = ["model", "loss", *SECTIONS]
    if not isinstance(value, dict):
        yield f"a mapping of the sections {', '.join(sections)} is needed"
        return
    unknown = [str(name) for name in value if name not in sections]
    flat = [name for name in value if name in sections and not isinstance(value[name], dict)]
    if unknown:
        yield f"there is no section {', '.join(unknown)}; there are {', '.join(sections)}"
    if flat:
        yield f"options are needed in {', '.join(flat)}"
    if unknown or flat:
        return
    if "name" in value.get("model", {}):
        yield "model.name: the key `model` names the model"


def _numbers(lowest: float) -> Callable[[Any], Iterator[str]]:
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, dict) or not value:
            yield "numbers by metric are needed"
            return
        for key, number in value.items():
            try:
                metric(str(key))
            except MitrError as error:
                yield str(error)
            if type(number) not in (int, float) or not math.isfinite(number) or number < lowest:
                yield f"{key}: a number of at least {lowest:g} is needed, not {number!r}"

    return check


@cache
def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    for name, kind in SECTIONS.items():
        parser.add_argument(f"--{name}", type=kind, default=kind())
    return parser


def _config(model: str, value: dict[str, Any]) -> RunConfig:
    """Options checked for their types too, as on the command line."""
    shared = {name: options for name, options in value.items() if name in SECTIONS}
    sections = vars(_parser().instantiate(_parser().parse_object(shared)))
    chosen = ModelConfig.from_json({"name": model} | value.get("model", {}), value.get("loss", {}))
    return RunConfig(chosen, **sections)


CHECKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "title": _text,
    "source": _text,
    "url": _url,
    "data": _data,
    "protocol": _one_of(get_args(PublishedProtocol)),
    "training": _one_of(get_args(Training)),
    "model": _text,
    "seeds": _seeds,
    "config": _sections,
    "published": _numbers(-1.0),
    "tolerance": _numbers(0.0),
}
