"""Labels that are classes: names or whole numbers in a source, indices into a sorted list of names in a store."""

from collections.abc import Iterable, Sequence
from typing import Literal

from mitr.errors import MitrError

TaskChoice = Literal["auto", "regression", "classification"]
MOST = 100


def number(value: str) -> float | None:
    """The number that a label's text is, or None."""
    try:
        return float(value)
    except ValueError:
        return None


def is_blank(value: str) -> bool:
    """The label is not known: nothing, or NaN."""
    return value.strip().lower() in ("", "nan")


def classes_of(values: Iterable[str], where: str) -> tuple[str, ...]:
    """The classes of a source: whole numbers in their order, or names in alphabetical order.

    Args:
        values: the labels as they stand; blank ones are not known.
        where: the field, for messages.

    Raises:
        MitrError: fewer than two classes, more than 100, or numbers with a fraction.
    """
    names = sorted({_name(value) for value in values if not is_blank(value)})
    numbers = [number(name) for name in names]
    broken = [x for x in numbers if x is not None and x % 1]
    if broken and None not in numbers:
        raise MitrError(f"{where} has {broken[0]:g}, which is no class; import it with --task regression")
    if not 2 <= len(names) <= MOST:
        few = ", ".join(repr(name[:40]) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        raise MitrError(f"{where} has {len(names)} classes ({few}); a classification needs 2 to {MOST}")
    return tuple(sorted(names, key=float) if None not in numbers else names)


def class_index(value: str, classes: Sequence[str], where: str) -> float | None:
    """The place of a label's class, or None where it is blank.

    Raises:
        MitrError: it is none of the classes.
    """
    if is_blank(value):
        return None
    name = _name(value)
    if name not in classes:
        raise MitrError(f"{where} is {name[:40]!r}, which is none of the classes {', '.join(classes)[:200]}")
    return float(classes.index(name))


def _name(value: str) -> str:
    """1 and 1.0 are the same class."""
    as_number = number(value)
    return f"{as_number:.0f}" if as_number is not None and as_number % 1 == 0 else value.strip()
