"""Files that are mapped into memory instead of being read, and give back what was read of them."""

import mmap
from pathlib import Path

KEPT = 64 << 20  # bytes brought in before they are given back; a smaller file stays
AROUND = 64 << 10  # the least that the system brings in around a stretch that is read


class MappedFile:
    """The bytes of a file, brought in when they are touched.

    Pages that were touched count as memory of the process until the system wants them back. Giving them back keeps a
    process that reads a large file once, or in every epoch, as small as one that reads a small file. They stay in the
    system's cache and arrays over them stay valid: to bring them in again costs microseconds.

    Attributes:
        data: the file's bytes, read-only.
    """

    def __init__(self, path: Path):
        """Map the file at `path`.

        Raises:
            ValueError: it is empty.
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data = memoryview(self._map)
        self._read = 0

    def reading(self, size: int) -> None:
        """Announce a read of `size` bytes; the pages read before go back to the system once they are many."""
        self._read += size + AROUND
        if self._read > KEPT and len(self.data) > KEPT:
            self.give_back()
            self._read = size + AROUND

    def give_back(self) -> None:
        """Let the system have all pages; those that are read again come back by themselves."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows, which takes them when it needs them
            self._map.madvise(mmap.MADV_DONTNEED)
