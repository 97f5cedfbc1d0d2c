"""Intervals that older versions wrote still open and answer the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mitr.errors import MitrError
from mitr.evaluation.conformal import Conformal
from mitr.evaluation.curves import Curves, intervals_from_json

OLDER = Path(__file__).parent / "older" / "conformal_format1.json"  # 60 clips with text and audio, without vision


@pytest.fixture
def older() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(OLDER.read_text(encoding="utf-8"))
    return value


def test_the_half_widths_that_the_older_version_gave(older: dict[str, Any]) -> None:
    intervals = intervals_from_json(older)
    assert isinstance(intervals, Curves)
    assert (intervals.level, intervals.modalities, intervals.clips) == (0.9, ("text", "audio"), 60)
    observed = {"observed_text": np.array([1.0, 0.5, 0.3, 0.0, 0.8, 0.0])}
    observed |= {"observed_audio": np.array([1.0, 0.5, 0.9, 0.4, 0.0, 0.0]), "observed_vision": np.zeros(6)}
    # the fourth and fifth row have no group of their own, the last one observes nothing
    before = [0.21917726817232808, 0.7518255835670111, 0.7518255835670111]
    before += [1.8639837810917066, 0.7560152595880789, 2.702782177955612]
    np.testing.assert_allclose(intervals.half_width(observed), before, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"nothing": None},
        {"nothing": -1.0},
        {"shares": [0.0, 1.0]},
        {"half_widths": {"any": [1.0]}},
        {"weights": {"text": [1.0]}},
        {"weights": {"any": [], "text+audio": []}},
        {"half_widths": []},
        {"modalities": ["smell"]},
        {"modalities": []},
        {"level": 2.0},
    ],
    ids=str,
)
def test_something_else(older: dict[str, Any], change: Mapping[str, Any]) -> None:
    with pytest.raises(MitrError, match=r"here\.json does not describe prediction intervals"):
        intervals_from_json(older | change, "here.json")


def test_a_file_of_this_version_is_none_of_these(older: dict[str, Any]) -> None:
    with pytest.raises(MitrError, match=r"conformal\.json"):
        Conformal.from_json(older)
    with pytest.raises(MitrError, match=r"conformal\.json"):
        intervals_from_json([])
