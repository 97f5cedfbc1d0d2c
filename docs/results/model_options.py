"""Render docs/model_options.md from the models' option classes; `make results` runs it."""

from dataclasses import MISSING, fields
from pathlib import Path

from mitr.models.options import allowed, hints, sentences, source_of, written
from mitr.models.registry import MODELS, model_class

HEAD = """# Options of the models

Every option of every model, rendered from the models' files by `make results`. The command
`mitr train --help --model.name NAME` prints the same. An option is written on the command line as here, with two dashes
in front; in YAML the word before the dot is the section. An option that a model does not have is refused. What the
models are: [models.md](models.md).
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *(_of_model(name) for name in MODELS.places)])


def _of_model(name: str) -> str:
    kind = model_class(name).options_class
    if not fields(kind):
        return f"## {name}\n\nIt has none.\n"
    lines = [f"## {name}\n", "| option | default | allowed | what it is | default from |", "|---|---|---|---|---|"]
    texts = sentences(kind)
    for option in fields(kind):
        assert option.default is not MISSING
        default = {True: "yes", False: "no", None: "none"}.get(option.default, option.default)
        if isinstance(option.default, int | float) and not isinstance(option.default, bool):
            default = f"{option.default:g}"
        cells = (allowed(option, hints(kind)[option.name]), texts[option.name], source_of(option, kind))
        lines.append(f"| `{written(option.name)}` | {default} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[1] / "model_options.md").write_text(page(), encoding="utf-8")
