"""The face models: 468 landmarks of a face, and its irises.

They are MediaPipe's (Kartynnik et al. 2019, Real-time Facial Surface Geometry, arXiv:1907.06724; Ablavatski et al.
2020, Real-time Pupil Tracking, arXiv:2006.11341). Positions are as in `mitr.media.face.regions`.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from mitr.media.assets import asset
from mitr.media.face.detection import Detection, Detector
from mitr.media.face.litert import Model, sigmoid
from mitr.media.face.regions import Region, angle_of, as_picture, crop

if TYPE_CHECKING:
    from PIL import Image

# Numbers of landmarks; "right" and "left" are the subject's own.
RIGHT_EYE = (33, 133)  # outer and inner corner
LEFT_EYE = (263, 362)
# The eye's outline, from the outer corner along the lower lid to the inner one, then back along the upper lid.
RIGHT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)

_PRESENT = 0.5  # the least presence of a face


class Found(NamedTuple):
    """What the landmark model sees in a region.

    Attributes:
        landmarks: (468, 3) float32, pixels; depth in pixels too, smaller is nearer.
        irises: (2, 5, 2) float32, pixels: the right then the left iris, each its middle and four points of its rim.
        presence: how probable it is that there is a face, 0 to 1.
    """

    landmarks: np.ndarray
    irises: np.ndarray
    presence: float

    def region(self) -> Region:
        """Where to look for the same face in the next picture."""
        flat = self.landmarks[:, :2].astype(np.float64)
        angle = angle_of(flat[RIGHT_EYE[0]], flat[LEFT_EYE[0]])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        level = flat @ turn
        low, high = level.min(axis=0), level.max(axis=0)
        x, y = turn @ ((low + high) / 2)
        return Region(float(x), float(y), 1.5 * float((high - low).max()), angle)


class FaceModels(Protocol):
    """What following a face needs of models."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """The faces of a picture (H, W, 3) uint8 RGB, the surest first."""

    def landmarks(self, image: np.ndarray, region: Region) -> Found:
        """The face in a region of a picture."""


class StandardModels:
    """The models that `mitr assets fetch` brings."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        return self._detector.detect(image)

    def landmarks(self, image: np.ndarray, region: Region) -> Found:
        """The face in a region of a picture; the outlines of the eyes are those of the iris model."""
        picture = as_picture(image)
        found = settled(lambda where: self._look(picture, where), region)
        if found.presence >= _PRESENT:
            found.irises[0] = self._eye(picture, found.landmarks, RIGHT_EYE, RIGHT_LIDS, mirrored=False)
            found.irises[1] = self._eye(picture, found.landmarks, LEFT_EYE, LEFT_LIDS, mirrored=True)
        return found

    def _look(self, picture: "Image.Image", region: Region) -> Found:
        points, logit = self._mesh.run(crop(picture, region, 192))
        landmarks = region.into_picture(points.reshape(468, 3) / 192)
        return Found(landmarks, np.zeros((2, 5, 2), np.float32), float(sigmoid(logit.item())))

    @cached_property
    def _detector(self) -> Detector:
        return Detector(Model(asset("face_detection_short_range.tflite"), "regressors", "classificators"))

    @cached_property
    def _mesh(self) -> Model:
        return Model(asset("face_landmark.tflite"), "conv2d_21", "conv2d_31")

    @cached_property
    def _iris(self) -> Model:
        return Model(asset("iris_landmark.tflite"), "output_eyes_contours_and_brows", "output_iris")

    def _eye(
        self,
        picture: "Image.Image",
        landmarks: np.ndarray,
        corners: tuple[int, int],
        lids: tuple[int, ...],
        mirrored: bool,
    ) -> np.ndarray:
        """The iris (5, 2) of an eye; writes the eye's outline into the landmarks. The model knows only right eyes."""
        ends = landmarks[list(corners), :2].astype(np.float64)
        x, y = ends.mean(axis=0)
        side = max(2.3 * float(np.linalg.norm(ends[0] - ends[1])), 1.0)
        region = Region(float(x), float(y), side, angle_of(*(ends[::-1] if mirrored else ends)))
        eye = crop(picture, region, 64)
        outline, iris = self._iris.run(eye[:, ::-1] if mirrored else eye)
        points = np.concatenate([outline.reshape(71, 3)[: len(lids), :2], iris.reshape(5, 3)[:, :2]]) / 64
        if mirrored:
            points[:, 0] = 1 - points[:, 0]
        placed = region.into_picture(points)
        landmarks[list(lids), :2] = placed[: len(lids)]
        return placed[len(lids) :]


def settled(look: Callable[[Region], Found], region: Region) -> Found:
    """Look into a region; where the face lies or turns otherwise in it than expected, look again there.

    Landmarks are right for faces that are upright in the middle of their region; a head that moved is not.
    """
    found = look(region)
    if found.presence < _PRESENT or not _moved(region, found.region()):
        return found
    again = look(found.region())
    return again if again.presence >= _PRESENT else found


def _moved(expected: Region, seen: Region) -> bool:
    turn = abs((seen.angle - expected.angle + np.pi) % (2 * np.pi) - np.pi)
    shift = np.hypot(seen.x - expected.x, seen.y - expected.y) / expected.side
    return bool(turn > 0.07 or shift > 0.05 or abs(seen.side / expected.side - 1) > 0.07)
