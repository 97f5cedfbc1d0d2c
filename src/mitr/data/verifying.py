"""Whether a feature file is the published one, by its SHA-256."""

from pathlib import Path

from mitr.errors import MitrError
from mitr.files import sha256

KNOWN_SHA256 = {
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": "MOSI unaligned_50",
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": "MOSI aligned_50",
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": "MOSEI unaligned_50",
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": "MOSEI aligned_50",
    "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f": "SIMS unaligned_39",
}
LABEL_RANGES = {"MOSI": (-3.0, 3.0), "MOSEI": (-3.0, 3.0), "SIMS": (-1.0, 1.0)}


def verify(path: Path) -> str:
    """Say which published file `path` is, in one sentence.

    Source: the SHA-256 that MMSA (thuiar) publishes for its feature files.

    Raises:
        MitrError: the file cannot be read, or is none of the known ones.
    """
    if not path.is_file():
        raise MitrError(f"{path} is not a file: pass one of the published feature pickles")
    try:
        digest = sha256(path)
    except OSError as error:
        raise MitrError(f"{path} cannot be read: {error.strerror}") from None
    if digest in KNOWN_SHA256:
        return f"{path} is {KNOWN_SHA256[digest]}, as published (SHA-256 {digest})"
    known = "\n".join(f"  {name:<20}{value}" for value, name in KNOWN_SHA256.items())
    advice = "Download it again, or import it as it is."
    raise MitrError(f"{path} is no published file: its SHA-256 is {digest}.\nKnown are:\n{known}\n{advice}")
