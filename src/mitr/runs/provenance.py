"""With which code a run was trained: versions of packages, and the commit of the source tree."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from mitr.runs.info import GitState
from mitr.version import VERSION

PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "numpy", "pandas", "pyarrow")


def installed_versions() -> dict[str, str]:
    """Package -> version, of mitr, Python and the packages whose versions may change a run's numbers."""
    return {"mitr": VERSION, "python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def git_state() -> GitState | None:
    """Commit of the source tree that mitr runs from; None for an installed copy."""
    place = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(place), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return GitState(commit, bool(changes))
