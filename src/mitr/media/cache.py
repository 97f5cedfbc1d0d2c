"""Features of clips that were read before, by the SHA-256 of the file and by what made them."""

import hashlib
import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mitr.errors import MitrError
from mitr.files import replacing, user_cache
from mitr.media.features import Span

if TYPE_CHECKING:
    from mitr.media.reading import Track

GIGABYTE = 1 << 30
KEPT = (".safetensors", ".json")  # features, and what was heard
STALE = 3600.0  # seconds after which nobody writes to a file any more


def cache_folder() -> Path:
    """The user's cache of mitr: `MITR_CACHE`, or `mitr` in the platform's usual place."""
    if own := os.environ.get("MITR_CACHE"):
        return Path(own).expanduser()
    return user_cache() / "mitr"


class Cache:
    """A folder of tracks, one safetensors file each; a file that cannot be read counts as none.

    Args:
        folder: where; None: in the user's cache.
        gigabytes: the most that it may hold after `trim`.
    """

    def __init__(self, folder: str | Path | None = None, gigabytes: float = 5.0):
        self.folder = Path(folder) if folder else cache_folder() / "features"
        self.gigabytes = gigabytes
        self._told = False

    def check(self) -> None:
        """Make the folder.

        Raises:
            MitrError: it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / "writable") as partial:
                partial.touch()
        except OSError as error:
            raise MitrError(
                f"the cache {self.folder} cannot be written to ({error.strerror}): name another folder with --cache, "
                "or in the environment variable MITR_CACHE"
            ) from None

    def path(self, digest: str, key: str) -> Path:
        """Where the track of a file, made as `key` says, is kept."""
        name = f"{key.split()[0]}-{hashlib.blake2s(key.encode()).hexdigest()[:16]}.safetensors"
        return self.folder / digest[:2] / digest / name

    def get(self, digest: str, key: str) -> "Track | None":
        """The track, if it is there and whole."""
        from safetensors import SafetensorError, safe_open

        from mitr.media.reading import Track

        path = self.path(digest, key)
        try:
            with safe_open(path, framework="np") as file:
                about = json.loads((file.metadata() or {})["about"])
                if about["key"] != key:
                    return None
                values, available = file.get_tensor("values"), file.get_tensor("available")
            missing = tuple(Span(*span) for span in about["missing"])
            rate, seconds, notes = float(about["rate"]), float(about["seconds"]), tuple(about["notes"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        self.used(path)
        return Track(values, available.astype(bool), rate, missing, notes, seconds)

    def put(self, digest: str, key: str, track: "Track") -> None:
        """Keep a track."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        about = {"key": key} | {name: getattr(track, name) for name in ("rate", "missing", "notes", "seconds")}
        arrays = {"values": np.ascontiguousarray(track.values, np.float32), "available": track.available.astype(bool)}
        try:
            with replacing(self.path(digest, key)) as partial:
                save_file(arrays, partial, {"about": json.dumps(about)})
        except (OSError, SafetensorError) as error:
            self.unwritable(error)

    def used(self, path: Path) -> None:
        """Say that a file of the cache was of use just now."""
        with suppress(OSError):  # others may be allowed to read it only
            os.utime(path)

    def unwritable(self, error: Exception) -> None:
        """Warn, once, that nothing can be kept."""
        if not self._told:
            message = f"the cache {self.folder} cannot be written to ({error}); nothing is remembered"
            warnings.warn(message, stacklevel=3)
        self._told = True

    def trim(self) -> None:
        """Forget what was not used for longest until the folder is within its bound, and what was half-written."""
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*/*"):
            with suppress(OSError):  # another process may forget it, too
                about = path.stat()
                if path.name.endswith(".partial") and time.time() - about.st_mtime > STALE:
                    path.unlink()
                elif path.suffix in KEPT:
                    found.append((about.st_mtime, about.st_size, path))
        held = 0
        for _, size, path in sorted(found, reverse=True):
            held += size
            if held > self.gigabytes * GIGABYTE:
                with suppress(OSError):
                    path.unlink()
