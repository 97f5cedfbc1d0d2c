"""The command line: a table of functions."""

import sys
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from io import TextIOWrapper

from jsonargparse import ArgumentParser, Namespace

import mitr
from mitr.commands import benchmarks, clips, data, exporting, runs
from mitr.errors import MitrError

GROUPS = {
    "data": "Import, look at, verify or make data sets.",
    "masks": "Write the masks of test protocols for other programs.",
    "assets": "Fetch the models that find faces.",
}
COMMANDS: dict[str, Callable[..., None]] = {
    "data import": data.data_import,
    "data inspect": data.data_inspect,
    "data verify": data.data_verify,
    "data synth": data.data_synth,
    "masks export": data.masks_export,
    "assets fetch": clips.assets_fetch,
    "assets add": clips.assets_add,
    "features": clips.features_list,
    "extract": clips.extract,
    "predict": clips.predict,
    "train": runs.train_run,
    "evaluate": runs.evaluate,
    "robustness": runs.robustness,
    "export": exporting.export,
    "bench": benchmarks.bench,
    "reproduce": benchmarks.reproduce,
}

YES_NO = {"overwrite", "quiet", "per_rate", "shapley", "text.finetune", "text.allow_download", "own_labels", "force"}
YES_NO |= {"strict", "explain", "json", "speech.allow_download", "int8_text", "list"}


def parser(words: Sequence[str] = ()) -> ArgumentParser:
    """The command line as a parser; only commands among `words` get their options, since those take time to read."""
    top = ArgumentParser(prog="mitr", description=mitr.__doc__, version=mitr.__version__)
    subcommands = top.add_subcommands(dest="command")
    places = {"": subcommands}
    for group, about in GROUPS.items():
        own = ArgumentParser(description=about)
        subcommands.add_subcommand(group, own, help=about)
        places[group] = own.add_subcommands(dest="subcommand")
    for command, function in COMMANDS.items():
        group, _, name = command.rpartition(" ")
        own = _parser_of(function, words) if name in words else ArgumentParser()
        places[group].add_subcommand(name, own, help=first_line(function))
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it succeeded, 2 if the input was at fault."""
    warnings.showwarning = lambda message, *_args, **_more: print(f"mitr: warning: {message}", file=sys.stderr)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="backslashreplace")  # a terminal may lack letters that a text or a name has
    arguments = places_first(spelled_out(sys.argv[1:] if arguments is None else arguments)) or ["--help"]
    try:
        reader = parser(arguments)
        options = reader.instantiate(reader.parse_args(arguments))
        command, chosen = options.command, options[options.command]
        if command in GROUPS:
            command, chosen = f"{command} {chosen.subcommand}", chosen[chosen.subcommand]
        function = COMMANDS[command]
        if "model" in signature(function).parameters:
            from mitr.commands.model_options import chosen_model  # which needs torch

            chosen.model = chosen_model(chosen)
        function(**_plain(chosen))
    except MitrError as error:
        print(f"mitr: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"mitr: error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mitr: interrupted", file=sys.stderr)
        return 130
    return 0


def spelled_out(arguments: list[str]) -> list[str]:
    """Options may be written with dashes, and yes/no options without their `true`."""
    switches = YES_NO
    if any(word.startswith("--model.") for word in arguments):
        from mitr.commands.model_options import switches_of  # which needs torch

        switches = YES_NO | switches_of(arguments)
    words: list[str] = []
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            word = "--" + name[2:].replace("-", "_") + equals + value
            if not equals and name[2:].replace("-", "_") in switches and following.lower() not in ("true", "false"):
                word += "=true"
        words.append(word)
    return words


def places_first(words: list[str]) -> list[str]:
    """`predict`'s files, `bench`'s folders and `reproduce`'s row before the options, between which they may stand.

    Args:
        words: as `spelled_out` gives them: an option that is no yes/no one has one value, behind = or as the next word.
    """
    if words[:1] not in (["predict"], ["bench"], ["reproduce"]) or "--" in words:
        return words
    places, options, rest = [], [], iter(words[1:])
    for word in rest:
        if not word.startswith("-") or word == "-":
            places.append(word)
            continue
        options.append(word)
        if word.startswith("--") and "=" not in word and word not in ("--help", "--print_config"):
            options += [value for value in [next(rest, None)] if value is not None]
    return [words[0], *places, *options]


def _parser_of(function: Callable[..., None], words: Sequence[str]) -> ArgumentParser:
    own = ArgumentParser(description=first_line(function))
    own.add_argument("--config", action="config", help="YAML or JSON file with any of these options.")
    if function is runs.train_run:  # DATA may be left out with --resume
        own.add_function_arguments(function, skip={"data", "model"})
        own.add_argument("data", nargs="?", type=str, help="the data set's folder; with --resume only if it has moved")
    elif function is benchmarks.bench:
        from mitr.commands.model_options import refuse_model_options

        refuse_model_options(words)
        own.add_function_arguments(function, skip={"data"})
        own.add_argument("data", nargs="+", type=str, help="folders of data sets, or of the folds of one")
    elif function is benchmarks.reproduce:
        own.add_argument("experiment", nargs="?", type=str, help="a published row or table, or a YAML file with a row")
        own.add_function_arguments(function, skip={"experiment"})
    elif function is clips.predict:
        own.add_argument("run", type=str, help="the run folder")
        own.add_argument("files", nargs="*", type=str, help="video or audio files; none with --text")
        own.add_function_arguments(function, skip={"run", "files"})
    elif function is clips.features_list:
        own.add_argument("extractor", nargs="?", type=str, help="its name; without it, all are listed")
    else:
        skip: set[str | int] = {name for name in signature(function).parameters if name == "model"}
        own.add_function_arguments(function, as_positional=True, skip=skip)
    if "model" in signature(function).parameters:
        from mitr.commands.model_options import add_model_options

        add_model_options(own, words)
    return own


def _plain(options: Namespace) -> dict:
    return {name: value for name, value in vars(options).items() if name != "config"}


def first_line(function: Callable[..., None]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
