"""Scales: their ends, the family that they are measured with, and what is refused."""

import numpy as np
import pytest

from mitr.data.scale import Scale, ends_of
from mitr.data.schema import DatasetInfo, Source
from mitr.errors import MitrError


def test_the_usual_family_of_labels() -> None:
    assert [Scale.of(ends).family for ends in ((-3, 3), [-1.0, 1.0], (-2, 2), (1, 5))] == [
        "mosi",
        "sims",
        "general",
        "general",
    ]
    assert Scale.of((0, 3), ("a", "b", "c", "d")).family == "classes"


def test_another_family_that_is_asked_for() -> None:
    assert Scale.of((-3, 3)).measured_as("general") == Scale.of((-3, 3), family="general")
    assert Scale.of((-3, 3)).measured_as(None) == Scale.of((-3, 3))
    with pytest.raises(MitrError, match="metrics 'mosi' are not for labels that are classes"):
        Scale.of((0, 1), ("a", "b"), "mosi")
    with pytest.raises(MitrError, match="metrics 'classes' are not for labels that are numbers"):
        Scale.of((-3, 3), family="classes")
    with pytest.raises(MitrError, match="family is called 'mosei'"):
        Scale.of((-3, 3), family="mosei")


def test_its_measures() -> None:
    scale = Scale.of((1, 5))
    assert (scale.ends, scale.width, scale.middle) == ((1.0, 5.0), 4.0, 3.0)
    assert hash(scale) == hash(Scale.of([1.0, 5.0]))


def test_a_data_set_has_one() -> None:
    info = DatasetInfo("x", (0.0, 1.0), {}, Source("x", "test"), classes=("no", "yes"))
    assert info.scale == Scale(0.0, 1.0, ("no", "yes"), "classes")


@pytest.mark.parametrize("ends", [(3, -3), (0, 0), (0, np.nan), (1,), ("a", "b")])
def test_ends_that_do_not_rise_are_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(MitrError, match="range"):
        ends_of(ends)
