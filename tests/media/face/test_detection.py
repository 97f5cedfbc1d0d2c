"""Where faces are: exact arithmetic on small arrays, and drawn faces."""

import numpy as np
import pytest

from made_faces import Drawn, drawn_eyes, picture
from mitr.media.face.detection import Detector, _anchors, crops_of, merged, overlap, without_bars
from mitr.media.face.mesh import StandardModels


@pytest.fixture(scope="module")
def models(assets: None) -> StandardModels:
    return StandardModels()


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 4, 4], [0, 0, 1, 1.0]])
    np.testing.assert_allclose(overlap(boxes[0], boxes), [1, 1 / 3, 0, 1 / 4])


def test_overlapping_detections_become_their_weighted_mean() -> None:
    one = np.array([[0, 0], [10, 10], [3, 4], [7, 4.0]])
    faces = merged(np.stack([one + 100, one, one + 1]), np.array([0.7, 0.6, 0.9]))
    assert [face.score for face in faces] == [0.9, 0.7]
    np.testing.assert_allclose(faces[0].box, np.array([0, 0, 10, 10]) + 0.6)  # (0.6 * 0 + 0.9 * 1) / 1.5
    np.testing.assert_allclose(faces[0].eyes, one[2:] + 0.6)
    np.testing.assert_allclose(faces[1].box, [100, 100, 110, 110])
    assert merged(np.zeros((0, 4, 2)), np.zeros(0)) == []


def test_detections_that_hardly_overlap_are_two_faces() -> None:
    one = np.array([[0, 0], [10, 10], [3, 4], [7, 4.0]])
    assert (
        len(merged(np.stack([one, one + np.array([6, 0])]), np.array([0.9, 0.8]))) == 2
    )  # a quarter of their union is shared
    assert len(merged(np.stack([one, one + np.array([5, 0])]), np.array([0.9, 0.8]))) == 1  # a third


class MadeModel:
    """Says that there is a face at two anchors, and keeps what it was shown."""

    def run(self, value: np.ndarray) -> list[np.ndarray]:
        self.shown = value
        raw, logits = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -200, np.float32)
        for anchor, logit in ((0, 0.1), (688, 3.0)):
            logits[0, anchor] = logit
            raw[0, anchor, :8] = (8, 4, 32, 16, -2, -1, 6, -1)
        logits[0, 1] = -0.1
        return [raw, logits]


def test_what_the_detector_says_is_placed_in_the_picture() -> None:
    model = MadeModel()
    image = np.zeros((100, 296, 3), np.uint8)
    image[:, 40:296] = 255  # 256 wide beside a black bar, shown at half size with black above and below
    first, second = Detector(model).detect(image)  # type: ignore[arg-type]
    assert model.shown.shape == (128, 128, 3)
    assert model.shown[40:88].min() == 1
    assert model.shown[:38].max() == model.shown[90:].max() == -1
    # Anchor 688 is at (88, 56) of 128, anchor 0 at (4, 4); the middle of a box is 8 right of it and 4 below.
    middle, half = np.array([40 + 2 * 96, 2 * 60 - 78]), np.array([32, 16])
    np.testing.assert_allclose(first.box, np.concatenate([middle - half, middle + half]))
    np.testing.assert_allclose(first.eyes, [[40 + 2 * 86, 2 * 55 - 78], [40 + 2 * 94, 2 * 55 - 78]])
    assert first.score == pytest.approx(1 / (1 + np.exp(-3)))
    np.testing.assert_allclose(second.box[:2], [40 + 2 * 12 - 32, 2 * 8 - 78 - 16])
    region = first.region()
    assert (region.x, region.y, region.side, region.angle) == (*middle, 1.5 * 64, 0)


def test_anchors_are_the_middles_of_two_grids() -> None:
    anchors = _anchors()
    assert anchors.shape == (896, 2)
    np.testing.assert_allclose(anchors[:3], [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]])
    np.testing.assert_allclose(anchors[511:513], [[31 / 32, 31 / 32], [1 / 16, 1 / 16]])
    np.testing.assert_allclose(anchors[-1], [15 / 16, 15 / 16])


def test_black_bars_are_left_out_but_not_a_dark_picture() -> None:
    image = np.zeros((80, 120, 3), np.uint8)
    assert without_bars(image) == (0, 0, 120, 80)
    image[8:72, 40:100] = 90
    assert without_bars(image) == (40, 8, 100, 72)
    image[8:72, 40:100] = 0
    image[8:12, 40:44] = 255  # one bright spot in the dark
    assert without_bars(image) == (0, 0, 120, 80)


def test_parts_overlap_and_cover_the_picture() -> None:
    assert crops_of(0, 0, 640, 360) == [(0, 0, 384, 360), (128, 0, 512, 360), (256, 0, 640, 360)]
    assert crops_of(100, 10, 500, 110) == []  # 240 pixels would be enlarged
    tall = crops_of(40, 0, 540, 1000)
    assert tall == [(40, 0, 540, 600), (40, 200, 540, 800), (40, 400, 540, 1000)]
    square = crops_of(0, 0, 1000, 1000)
    assert len(square) == 9
    assert square[-1] == (400, 400, 1000, 1000)


def test_each_of_two_faces_is_found(models: StandardModels) -> None:
    faces = (Drawn(x=180, size=180), Drawn(x=460, size=150))
    seen = sorted(models.detect(picture(*faces)), key=lambda face: face.box[0])
    assert len(seen) == 2
    for one, face in zip(seen, faces, strict=True):
        assert np.abs(one.eyes - drawn_eyes(face)).max() < 0.06 * face.size


def test_a_small_face_between_black_bars_is_found(models: StandardModels) -> None:
    inside = picture(Drawn(x=70, y=60, size=45), width=140, height=180)
    image = np.zeros((360, 640, 3), np.uint8)
    image[90:270, 248:388] = inside
    (seen,) = models.detect(image)
    assert np.abs(seen.eyes - drawn_eyes(Drawn(x=318, y=150, size=45))).max() < 4


@pytest.mark.parametrize(("x", "y"), [(560, 250), (310, 100), (60, 60)])
def test_a_face_too_small_for_the_first_look_is_found_in_a_part(models: StandardModels, x: float, y: float) -> None:
    face = Drawn(x=x, y=y, size=60)
    (seen,) = models.detect(picture(face))
    assert np.abs(seen.eyes.mean(axis=0) - (x, y)).max() < 6
    assert models.landmarks(picture(face), seen.region()).irises[:, 0] == pytest.approx(drawn_eyes(face), abs=2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 3), (37, 91)])
def test_odd_pictures_do_no_harm(models: StandardModels, shape: tuple[int, int]) -> None:
    assert models.detect(np.full((*shape, 3), 200, np.uint8)) == []
