"""Published rows as files: what a paper reports, and the settings that are meant to give it (docs/experiments.md)."""

import math
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from jsonargparse import ArgumentParser

from mitr.config import RunConfig
from mitr.errors import MitrError
from mitr.evaluation.metrics import metric

PUBLISHED = Path("experiments/published")
LARGEST = 64 << 10  # bytes of a file
Reported = Literal["auilc", "mean", "complete"]  # what a published row sums up
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
    protocol: Reported
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
    config = _config(value["config"])
    config.model.name = value["model"]
    parts = {"data": DataFile(**value["data"]), "seeds": tuple(value["seeds"]), "config": config}
    numbers = {key: {k: float(x) for k, x in value[key].items()} for key in ("published", "tolerance")}
    return Experiment(**{"name": path.stem} | value | parts | numbers)


def find_experiment(name: str, folder: Path = PUBLISHED) -> Path:
    """The file that a path, or the bare name of a file in `folder`, stands for.

    Raises:
        MitrError: neither exists; lists what is there.
    """
    for path in (Path(name), folder / f"{name.removesuffix('.yaml')}.yaml"):
        if path.is_file():
            return path
    shipped = "\n  ".join(path.stem for path in list_experiments(folder)) or "nothing"
    raise MitrError(f"there is no experiment {name!r}: name a YAML file, or one in {folder}:\n  {shipped}")


def list_experiments(folder: Path = PUBLISHED) -> list[Path]:
    """The experiment files of a folder, by name."""
    return sorted(folder.glob("*.yaml"))


def experiments_table(folder: Path = PUBLISHED) -> str:
    """The experiment files of a folder as a Markdown table, with links relative to `docs/`."""
    lines = [
        "| experiment | model | data | protocol | training | MAE ↓ | Corr ↑ | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in list_experiments(folder):
        row = read_experiment(path)
        numbers = (f"{row.published[key]:.3f}" if key in row.published else "–" for key in ("mae", "corr"))
        link = f"[`{row.name}`](../{PUBLISHED.as_posix()}/{path.name})"
        cells = (link, row.model, row.data.name, row.protocol, row.training, *numbers, f"[{row.source}]({row.url})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


class _Plain(yaml.SafeLoader):
    """YAML of plain values, without aliases, by which a small file could stand for a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise MitrError(f"{path} is larger than {LARGEST >> 10} KiB; no experiment is")
        value = yaml.load(path.read_text(encoding="utf-8"), _Plain)
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise MitrError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise MitrError(f"{path} is not an experiment: it holds no keys; docs/experiments.md says which there are")
    return value


def _problems(value: dict[str, Any]) -> Iterator[str]:
    yield from (f"{key}: missing" for key in CHECKS if key not in value)
    yield from (f"{key}: there is no such key" for key in value if key not in CHECKS)
    for key, check in CHECKS.items():
        if key in value:
            yield from (f"{key}: {problem}" for problem in check(value[key]))
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


def _options(value: Any) -> Iterator[str]:
    sections = [field.name for field in fields(RunConfig)]
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
    try:
        _config(value)
    except (ArgumentError, MitrError, TypeError) as error:
        yield " ".join(str(error).split())


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
    parser.add_argument("--config", type=RunConfig)
    return parser


def _config(value: dict[str, Any]) -> RunConfig:
    """Options checked for their types too, as on the command line."""
    config: RunConfig = _parser().instantiate(_parser().parse_object({"config": value})).config
    return config


CHECKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "title": _text,
    "source": _text,
    "url": _url,
    "data": _data,
    "protocol": _one_of(get_args(Reported)),
    "training": _one_of(get_args(Training)),
    "model": _text,
    "seeds": _seeds,
    "config": _options,
    "published": _numbers(-1.0),
    "tolerance": _numbers(0.0),
}
