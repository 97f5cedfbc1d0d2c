"""Features of clips that were read before, by the SHA-256 of the file and the extractor with its options."""

import hashlib
import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from mitr.errors import MitrError
from mitr.files import replacing, user_cache
from mitr.media.features import Span
from mitr.media.track import Track

GIGABYTE = 1 << 30
KEPT = (".safetensors", ".json")  # features, and transcripts of speech recognition
STALE = 3600.0  # seconds after which a half-written file is abandoned


def cache_folder() -> Path:
    """The user's cache of mitr: `MITR_CACHE`, or `mitr` in the platform's usual place."""
    if chosen := os.environ.get("MITR_CACHE"):
        return Path(chosen).expanduser()
    return user_cache() / "mitr"


class Cache:
    """A folder of tracks, one safetensors file each; a file that cannot be read counts as none.

    Args:
        folder: the folder; None: `features` in the user's cache.
        gigabytes: the largest size after `trim`.
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
        """The cache file of a track: `digest` names the clip, `key` the extractor and its options."""
        named = key.split()[0].replace(":", "-")  # of an extractor module:NAME; Windows has no colon in file names
        name = f"{named}-{hashlib.blake2s(key.encode()).hexdigest()[:16]}.safetensors"
        return self.folder / digest[:2] / digest / name

    def get(self, digest: str, key: str) -> Track | None:
        """The track; None if the cache lacks it or its file is damaged."""
        from safetensors import SafetensorError, safe_open

        path = self.path(digest, key)
        try:
            with safe_open(path, framework="np") as file:
                header = json.loads((file.metadata() or {})["about"])
                if header["key"] != key:
                    return None
                values, available = file.get_tensor("values"), file.get_tensor("available")
            missing = tuple(Span(*span) for span in header["missing"])
            rate, seconds, notes = float(header["rate"]), float(header["seconds"]), tuple(header["notes"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        self.used(path)
        return Track(values, available.astype(bool), rate, missing, notes, seconds)

    def put(self, digest: str, key: str, track: Track) -> None:
        """Keep a track."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        header = {"key": key} | {name: getattr(track, name) for name in ("rate", "missing", "notes", "seconds")}
        arrays = {"values": np.ascontiguousarray(track.values, np.float32), "available": track.available.astype(bool)}
        try:
            with replacing(self.path(digest, key)) as partial:
                save_file(arrays, partial, {"about": json.dumps(header)})
        except (OSError, SafetensorError) as error:
            self.unwritable(error)

    def used(self, path: Path) -> None:
        """Mark a file of the cache as used now, so that `trim` keeps it."""
        with suppress(OSError):  # others may be allowed to read it only
            os.utime(path)

    def unwritable(self, error: Exception) -> None:
        """Warn, once, that nothing can be kept."""
        if not self._told:
            message = f"the cache {self.folder} cannot be written to ({error}); nothing is remembered"
            warnings.warn(message, stacklevel=3)
        self._told = True

    def trim(self) -> None:
        """Delete abandoned half-written files, and the files that were not used for longest beyond the largest size."""
        kept: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*/*"):
            with suppress(OSError):  # another process may forget it, too
                facts = path.stat()
                if path.name.endswith(".partial") and time.time() - facts.st_mtime > STALE:
                    path.unlink()
                elif path.suffix in KEPT:
                    kept.append((facts.st_mtime, facts.st_size, path))
        held = 0
        for _, size, path in sorted(kept, reverse=True):
            held += size
            if held > self.gigabytes * GIGABYTE:
                with suppress(OSError):
                    path.unlink()
