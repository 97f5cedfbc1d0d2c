"""Landmarks and irises on drawn faces, and when a face is looked at again."""

import subprocess
import sys

import numpy as np
import pytest

from made_faces import Drawn, drawn_eyes, picture
from mitr.errors import MitrError
from mitr.media.face.geometry import pose
from mitr.media.face.mesh import LEFT_EYE, RIGHT_EYE, FaceMesh, StandardModels, settled
from mitr.media.face.regions import Region


@pytest.fixture(scope="module")
def models(assets: None) -> StandardModels:
    return StandardModels()


def eyes_of(landmarks: np.ndarray) -> np.ndarray:
    """(2, 2): the middle of the right and of the left eye."""
    return np.stack([landmarks[list(eye), :2].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)])


def square(x: float, presence: float = 0.9) -> FaceMesh:
    """Level landmarks whose own region is 90 pixels wide with its middle at (x, 50)."""
    points = np.full((468, 3), (x, 50, 0), np.float32)
    points[[33, 0], 0], points[[263, 1], 0] = x - 30, x + 30
    return FaceMesh(points, np.zeros((2, 5, 2), np.float32), presence)


@pytest.mark.parametrize(
    ("region", "answers", "looks", "result"),
    [
        (Region(50, 50, 90), [square(52)], 1, 52),  # where it was expected
        (Region(50, 50, 90), [square(56), square(57)], 2, 57),  # beside it
        (Region(50, 50, 80), [square(50), square(51)], 2, 51),  # larger
        (Region(50, 50, 90, 0.1), [square(50), square(51)], 2, 51),  # turned
        (Region(50, 50, 90), [square(80, 0.1)], 1, 80),  # no face: nothing to look at again
        (Region(50, 50, 90), [square(80), square(90, 0.1)], 2, 80),  # lost in the second look
    ],
)
def test_a_face_that_moved_is_looked_at_again(region: Region, answers: list, looks: int, result: float) -> None:
    asked = []

    def look(where: Region) -> FaceMesh:
        asked.append(where)
        return answers[len(asked) - 1]

    found = settled(look, region)
    assert found.landmarks[2, 0] == result
    assert len(asked) == looks
    assert looks == 1 or asked[1] == answers[0].region()


def test_the_next_region_is_level_with_the_eyes_and_half_as_large_again() -> None:
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = (100, 100)
    points[33, :2], points[263, :2] = (90, 90), (110, 110)  # outer corners on a line that falls by 45 degrees
    points[1, :2] = (90, 110)
    region = FaceMesh(points, np.zeros((2, 5, 2)), 1.0).region()
    assert region.angle == pytest.approx(np.pi / 4)
    assert region.side == pytest.approx(1.5 * np.hypot(20, 20))
    assert (region.x, region.y) == pytest.approx((95, 105))


@pytest.mark.parametrize(
    "face",
    [
        Drawn(),
        Drawn(x=150, y=110, size=130),
        Drawn(roll=25),
        Drawn(roll=-25, mouth=1),
        Drawn(size=300, y=190),
        Drawn(eyes=0),
    ],
)
def test_drawn_faces_are_found_with_their_eyes(models: StandardModels, face: Drawn) -> None:
    image = picture(face)
    (seen,) = models.detect(image)
    assert seen.score > 0.7
    assert np.abs(seen.eyes - drawn_eyes(face)).max() < 0.06 * face.size
    found = models.landmarks(image, seen.region())
    assert found.presence > 0.9
    assert np.abs(eyes_of(found.landmarks) - drawn_eyes(face)).max() < 0.04 * face.size
    assert np.abs(found.irises[:, 0] - drawn_eyes(face)).max() < 0.03 * face.size


def test_no_face_no_detection(models: StandardModels) -> None:
    assert models.detect(picture()) == []
    assert models.detect(np.zeros((90, 160, 3), np.uint8)) == []
    assert models.landmarks(picture(), Region(300, 150, 200)).presence < 0.5


def test_the_same_picture_gives_the_same_numbers(models: StandardModels) -> None:
    image = picture(Drawn(mouth=0.4))
    region = models.detect(image)[0].region()
    first, again = models.landmarks(image, region), StandardModels().landmarks(image, region)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    np.testing.assert_array_equal(first.irises, again.irises)


def test_a_head_that_turned_by_much_is_still_measured(models: StandardModels) -> None:
    upright, tilted = picture(Drawn()), picture(Drawn(roll=20))
    before = models.landmarks(upright, models.detect(upright)[0].region())
    after = models.landmarks(tilted, before.region())
    assert pose(after.landmarks).angles()[2] == pytest.approx(20, abs=1.5)


@pytest.mark.usefixtures("assets")
def test_the_models_say_nothing() -> None:
    code = "import numpy; from mitr.media.face.mesh import *; StandardModels().detect(numpy.zeros((9, 9, 3), 'uint8'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.usefixtures("assets")
def test_without_litert_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MitrError, match="pip install ai-edge-litert"):
        StandardModels().detect(picture())
