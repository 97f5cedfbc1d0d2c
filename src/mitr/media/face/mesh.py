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

# Numbers of landmarks; "right" and "left" are the subject's.
RIGHT_EYE = (33, 133)  # outer and inner corner
LEFT_EYE = (263, 362)
# The eye's outline, from the outer corner along the lower lid to the inner one, then back along the upper lid.
RIGHT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)

_PRESENT = 0.5  # lowest presence of a face


class FaceMesh(NamedTuple):
    """The landmarks of a face, as the landmark model gives them for a region.

    Attributes:
        landmarks: (468, 3) float32, pixels; depth in pixels too, smaller is nearer.
        irises: (2, 5, 2) float32, pixels: the right then the left iris, each its middle and four points of its rim.
        presence: probability of a face in the region, 0 to 1.
    """

    landmarks: np.ndarray
    irises: np.ndarray
    presence: float

    def region(self) -> Region:
        """The region in which to look for the same face in the next picture."""
        flat = self.landmarks[:, :2].astype(np.float64)
        angle = angle_of(flat[RIGHT_EYE[0]], flat[LEFT_EYE[0]])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        level = flat @ turn
        low, high = level.min(axis=0), level.max(axis=0)
        x, y = turn @ ((low + high) / 2)
        return Region(float(x), float(y), 1.5 * float((high - low).max()), angle)


class FaceModels(Protocol):
    """The models that following a face needs."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """The faces of a picture (H, W, 3) uint8 RGB, highest score first."""

    def landmarks(self, image: np.ndarray, region: Region) -> FaceMesh:
        """The face in a region of a picture."""


class StandardModels:
    """The models of `mitr assets fetch`."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        return self._detector.detect(image)

    def landmarks(self, image: np.ndarray, region: Region) -> FaceMesh:
        """The face in a region of a picture; the outlines of the eyes are those of the iris model."""
        picture = as_picture(image)
        mesh = settled(lambda where: self._look(picture, where), region)
        if mesh.presence >= _PRESENT:
            mesh.irises[0] = self._eye(picture, mesh.landmarks, RIGHT_EYE, RIGHT_LIDS, mirrored=False)
            mesh.irises[1] = self._eye(picture, mesh.landmarks, LEFT_EYE, LEFT_LIDS, mirrored=True)
        return mesh

    def _look(self, picture: "Image.Image", region: Region) -> FaceMesh:
        points, logit = self._mesh.run(crop(picture, region, 192))
        landmarks = region.into_picture(points.reshape(468, 3) / 192)
        return FaceMesh(landmarks, np.zeros((2, 5, 2), np.float32), float(sigmoid(logit.item())))

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


def settled(look: Callable[[Region], FaceMesh], region: Region) -> FaceMesh:
    """The face in a region; where it lies off the middle or is turned, the face in the region around its landmarks.

    The landmark model is accurate for faces that are upright in the middle of their region.
    """
    mesh = look(region)
    if mesh.presence < _PRESENT or not _moved(region, mesh.region()):
        return mesh
    again = look(mesh.region())
    return again if again.presence >= _PRESENT else mesh


def _moved(expected: Region, actual: Region) -> bool:
    turn = abs((actual.angle - expected.angle + np.pi) % (2 * np.pi) - np.pi)
    shift = np.hypot(actual.x - expected.x, actual.y - expected.y) / expected.side
    return bool(turn > 0.07 or shift > 0.05 or abs(actual.side / expected.side - 1) > 0.07)
