"""YAML files of plain values, read within bounds."""

from pathlib import Path
from typing import Any

import yaml

from mitr.errors import MitrError

LARGEST = 64 << 10  # bytes of a file


class _Loader(yaml.SafeLoader):
    """YAML without aliases, by which a small file could stand for a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """The value that a YAML file holds: mappings, lists, text, numbers, true, false and null.

    Raises:
        MitrError: the file is missing, larger than 64 KiB, or not YAML.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise MitrError(f"{path} is larger than {LARGEST >> 10} KiB; no file of options is")
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist") from None
    except OSError as error:
        raise MitrError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise MitrError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
