"""Options of the model that is named on a command line: help lists them, and options of other models are refused."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mitr.errors import MitrError
from mitr.models.options import LOSS, allowed, hints, sentences, source_of, written
from mitr.models.registry import MODELS, model_class
from mitr.plain_yaml import read_yaml
from mitr.runs.config import DEFAULT_MODEL, ModelConfig


def add_model_options(parser: ArgumentParser, words: Sequence[str]) -> None:
    """Give a parser `--model.name` and the options of the model that the words, or their `--config`, name.

    Args:
        parser: of a command that trains one model.
        words: the command line, options written with underscores.

    Raises:
        MitrError: no model has that name, or an option that is given is not one of its options.
    """
    name = named_model(words)
    kind = model_class(name).options_class
    types = hints(kind)
    for given in _given(words):
        if given not in types:
            raise MitrError(kind.unknown(given, name) + _models_with(given))
    models = ", ".join(MODELS.names())
    parser.add_argument(
        "--model.name", type=str, default=DEFAULT_MODEL, help=f"The model: {models}, or module:Class of your own."
    )
    texts = sentences(kind)
    for option in fields(kind):
        hint = types[option.name]
        note = "; ".join(filter(None, (allowed(option, hint), source_of(option, kind))))
        text = f"{texts.get(option.name, '')} ({note})"
        parser.add_argument(f"--{written(option.name)}", type=hint, default=option.default, help=text)


def _models_with(option: str) -> str:
    """The models of the package that have an option, as the end of a message."""
    having = [name for name in MODELS.places if option in hints(model_class(name).options_class)]
    return f". Models that have {written(option)}: {', '.join(having)}" if having else ""


def chosen_model(options: Namespace) -> ModelConfig:
    """The model of a parsed command line, which then no longer holds the sections `model` and `loss`."""
    model, loss = vars(options.pop("model")), options.pop("loss", None)
    return ModelConfig.from_json(model, vars(loss) if loss is not None else {})


def refuse_model_options(words: Sequence[str]) -> None:
    """For a command that compares models: options of a single one belong to a variant.

    Raises:
        MitrError: an option of a model is given.
    """
    for given in _given(words):
        raise MitrError(
            f"--{written(given)} is the option of a single model: write it into a file of variants, such as\n"
            f"  my variant: {{model: {{name: {DEFAULT_MODEL}, …}}, loss: {{…}}}}\nand name that with --variants"
        )


def switches_of(words: Sequence[str]) -> set[str]:
    """The yes/no options of the named model, such as `model.causal`; none where no model has that name."""
    try:
        kind = model_class(named_model(words)).options_class
    except MitrError:  # which is said where the options are read
        return set()
    return {written(option) for option, hint in hints(kind).items() if hint is bool}


def named_model(words: Sequence[str]) -> str:
    """The model that a command line or its `--config` files name; of several, the last one."""
    name = DEFAULT_MODEL
    for option, value in _values(words, "config", "model.name"):
        name = value if option == "model.name" else str(_sections(value)[0].get("name", name))
    return name


def _given(words: Sequence[str]) -> Iterator[str]:
    """Fields of model options that a command line and its `--config` files set."""
    for _, path in _values(words, "config"):
        model, loss = _sections(path)
        for option in model:
            if option == "options":
                raise MitrError(f"{path}: model.options is no option; write a model's options beside its name")
            if option != "name":
                yield str(option)
        for term in loss:
            yield f"{LOSS}{term}"
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--model.") and option != "--model.name":
            yield option.removeprefix("--model.")
        elif option.startswith("--loss."):
            yield LOSS + option.removeprefix("--loss.")


def _sections(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The sections `model` and `loss` of a file of options."""
    value = read_yaml(Path(path))
    sections = {name: value.get(name, {}) if isinstance(value, Mapping) else {} for name in ("model", "loss")}
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            example = f"{name}: {{OPTION: VALUE}}"
            raise MitrError(f"{path}: the section {name} is {section!r}; write options, such as `{example}`")
    return sections["model"], sections["loss"]


def _values(words: Sequence[str], *options: str) -> Iterator[tuple[str, str]]:
    """(option, value) each time that one of these options is given on the command line, in order."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name.removeprefix("--") in options and name.startswith("--"):
            yield name.removeprefix("--"), value if equals else following
