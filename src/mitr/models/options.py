"""Options of models: each model's file has a frozen dataclass of them, from which the command line, YAML files and the
tables of the documentation are made.

A field's sentence stands in the dataclass's docstring (`Args:`), its range and source in the call that declares it.
Weights of loss terms are the fields that begin with `loss_`; users write them in the section `loss`.
"""

import difflib
import math
import types
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mitr.errors import MitrError

OptionsT = TypeVar("OptionsT", bound="ModelOptions")
LOSS = "loss_"  # how the names of weights of loss terms begin


@dataclass(frozen=True)
class Limits:
    """What a number may be.

    Attributes:
        low: the smallest value.
        below: it must lie below this value.
        odd: it must be odd.
    """

    low: float | None = None
    below: float | None = None
    odd: bool = False

    def __str__(self) -> str:
        if self.odd:
            return f"odd, at least {self.low:g}"
        if self.low is not None and self.below is not None:
            return f"in [{self.low:g}, {self.below:g})"
        return "" if self.low is None else f"at least {self.low:g}"

    def problem(self, value: float) -> str | None:
        """Why a value is refused; None: it is allowed."""
        if not math.isfinite(value):
            return "it must be finite"
        if self.low is not None and self.below is not None:
            return None if self.low <= value < self.below else f"it must lie in [{self.low:g}, {self.below:g})"
        if self.low is not None and value < self.low:
            return "it must not be negative" if self.low == 0 else f"it must be at least {self.low:g}"
        return "it must be odd" if self.odd and value % 2 == 0 else None


def size(default: int, source: str | None = None) -> Any:
    """A whole number from 1 on: a width, a number of layers or heads."""
    return _declared(default, Limits(low=1), source)


def kernel(default: int, source: str | None = None) -> Any:
    """The steps that a convolution spans."""
    return _declared(default, Limits(low=1, odd=True), source)


def dropout_rate(default: float, source: str | None = None) -> Any:
    """The share of values that dropout sets to zero."""
    return _declared(default, Limits(low=0, below=1), source)


def weight(default: float, source: str | None = None) -> Any:
    """A factor of a loss term; 0 switches it off."""
    return _declared(default, Limits(low=0), source)


def choice(default: Any, source: str | None = None) -> Any:
    """One of the values that the field's type names, or yes and no."""
    return _declared(default, Limits(), source)


def _declared(default: Any, limits: Limits, source: str | None) -> Any:
    return field(default=default, metadata={"limits": limits, "source": source})


@dataclass(frozen=True)
class ModelOptions:
    """Base of every model's options.

    Attributes:
        source: where defaults come from, unless a field names another place.
        former: names that options had in earlier versions -> their names now.
    """

    source: ClassVar[str] = "chosen by us"
    former: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        """Refuse values outside a field's limits.

        Raises:
            MitrError: naming the option.
        """
        for option in fields(self):
            value, limits = getattr(self, option.name), option.metadata.get("limits", Limits())
            if isinstance(value, int | float) and not isinstance(value, bool) and (why := limits.problem(value)):
                raise MitrError(f"{written(option.name)} is {value}; {why}")

    @classmethod
    def read(cls: type[OptionsT], values: Mapping[str, object], model: str) -> OptionsT:
        """Options from plain values by field name, checked for their types.

        Args:
            values: field name -> value, as JSON or YAML has it; what is left out keeps its default.
            model: the model's name, for messages.

        Raises:
            MitrError: the model has no such option (the message names the closest that it has), or a value is not of
                the option's type or lies outside its limits.
        """
        known, given = hints(cls), {}
        for name, value in values.items():
            if name not in known:
                raise MitrError(cls.unknown(name, model))
            fits, given[name] = _fitted(value, known[name])
            if not fits:
                raise MitrError(f"{written(name)} is {value!r}; it must be {described(known[name])}")
        return cls(**given)

    @classmethod
    def unknown(cls, name: str, model: str) -> str:
        """What to say of an option that this model does not have."""
        names = list(hints(cls))
        message = f"the model {model} has no option {written(name)}"
        if not names:
            return f"{message}; it has no options"
        bare = {n.removeprefix(LOSS): n for n in names}
        close = difflib.get_close_matches(name.removeprefix(LOSS), bare, 1, 0.5)
        nearest = f"; the closest that it has is {written(bare[close[0]])}" if close else ""
        return f"{message}{nearest}. Its options: {', '.join(map(written, names))}"


@dataclass(frozen=True)
class TeacherOptions(ModelOptions):
    """Options of a model whose complete view can be read by another network than its incomplete one.

    Args:
        teacher: `shared` weights with the student, or `separate`: a teacher trained first on the complete views and
            then frozen.
    """

    teacher: Literal["shared", "separate"] = choice("shared", "shared as released; the paper leaves it open")


def check_heads(width: int, heads: int) -> None:
    """Refuse attention heads that do not divide a model's width.

    Raises:
        MitrError: naming both.
    """
    if width % heads:
        raise MitrError(f"{written('width')} is {width}; it must be a multiple of the {heads} heads")


def hints(kind: type[ModelOptions]) -> Mapping[str, Any]:
    """Field name -> type, in the order of declaration."""
    types_of = get_type_hints(kind)
    return {option.name: types_of[option.name] for option in fields(kind)}


def written(name: str) -> str:
    """How a user writes a field: with its section."""
    return f"loss.{name.removeprefix(LOSS)}" if name.startswith(LOSS) else f"model.{name}"


def sentences(kind: type[ModelOptions]) -> dict[str, str]:
    """Field name -> its sentence, from the docstrings of the class and of those that it extends."""
    from docstring_parser import parse

    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        for entry in parse(cls.__doc__ or "").params:
            found[entry.arg_name] = " ".join((entry.description or "").split())
    return {name: found[name] for name in hints(kind) if name in found}


def described(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(value) for value in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(described(part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return f"{len(get_args(hint))} numbers in brackets"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return words.get(hint, str(hint))


def allowed(option: "Field[Any]", hint: Any) -> str:
    """The values of a field in words: its limits, or its type where it has none."""
    return str(option.metadata.get("limits", "")) or described(hint)


def source_of(option: "Field[Any]", kind: type[ModelOptions]) -> str:
    """Where a field's default comes from."""
    return option.metadata.get("source") or kind.source


def _fitted(value: Any, hint: Any) -> tuple[bool, Any]:
    """Whether a plain value is of a type, and the value in that type."""
    if get_origin(hint) is Literal:
        return value in get_args(hint), value
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            fits, fitted = _fitted(value, part)
            if fits:
                return True, fitted
        return False, value
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            return False, value
        fitted = [_fitted(v, p) for v, p in zip(value, parts, strict=True)]
        return all(fits for fits, _ in fitted), tuple(v for _, v in fitted)
    if hint is float and type(value) is int:
        return True, float(value)
    return type(value) is hint or (hint is type(None) and value is None), value
