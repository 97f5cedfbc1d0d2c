"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

from made import emotions, minilm, small, small_text
from made_counts import decodings
from made_faces import assets
from made_talks import clips, talks_cache, talks_data, talks_run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden arrays and real data; without it a test is skipped, in CI it fails."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MITR_SHARED", default))
    if not folder.is_dir():
        reason = f"the shared material is not at {folder}; set MITR_SHARED to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


__all__ = ["assets", "clips", "decodings", "emotions", "minilm", "shared", "small", "small_text"]
__all__ += ["talks_cache", "talks_data", "talks_run"]
