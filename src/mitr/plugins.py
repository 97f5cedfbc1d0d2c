"""Finding things by name: those of the package, those of other installed packages (entry points), and `module:Name`.

Another package offers, say, a model by an entry point in the group `mitr.models`; whatever can be imported is found as
`module:Name` without one. Nothing is imported before it is asked for.
"""

import difflib
import re
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mitr.errors import MitrError

PLACE = re.compile(r"[\w.]+:[\w.]+")  # module:attribute, unlike C:\\folder


class Registry:
    """Names of one kind of thing and where each is.

    Args:
        kind: what the things are called in messages, such as `model`.
        group: the group of entry points in which other packages name theirs.
        built_in: name -> `module:attribute`, of the package itself. More may be added while a process runs.
    """

    def __init__(self, kind: str, group: str, built_in: Mapping[str, str]):
        self.kind, self.group = kind, group
        self.places = dict(built_in)

    @cached_property
    def plugins(self) -> dict[str, EntryPoint]:
        """Name -> entry point of the installed packages that offer something of this kind."""
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """All names: those of the package first, in its order."""
        return [*self.places, *sorted(self.plugins.keys() - self.places.keys())]

    def __contains__(self, name: str) -> bool:
        return name in self.places or name in self.plugins or PLACE.fullmatch(name) is not None

    def place(self, name: str) -> str:
        """The `module:attribute` that a name stands for.

        Raises:
            MitrError: there is no such name; the message has the closest.
        """
        if name in self.places:
            return self.places[name]
        if name in self.plugins:
            return self.plugins[name].value
        if ":" not in name:
            raise MitrError(self.unknown(name))
        return name

    def find(self, name: str) -> Any:
        """What a name stands for.

        Raises:
            MitrError: there is no such name (the message has the closest), or its module cannot be imported.
        """
        place = self.place(name)
        module, _, attribute = place.partition(":")
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise MitrError(
                f"the {self.kind} {name!r} is {place}, which cannot be imported ({error}): is its package installed, "
                "or its folder on PYTHONPATH?"
            ) from None
        return found

    def unknown(self, name: str) -> str:
        """What to say of a name that nothing has."""
        close = difflib.get_close_matches(name, self.names(), 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"there is no {self.kind} {name!r}{hint}; the {self.kind}s are {', '.join(sorted(self.names()))}"
