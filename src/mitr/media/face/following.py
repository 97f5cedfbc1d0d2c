"""One face, followed from picture to picture."""

from typing import NamedTuple

import numpy as np

from mitr.media.face.detection import Detection, overlap
from mitr.media.face.mesh import LEFT_EYE, RIGHT_EYE, FaceModels, Found, StandardModels

_PRESENT = 0.5  # the least presence of a face
_SURE = 0.7  # the score of a detection from which it is counted; less sure ones may be patterns on clothes
_APART = 0.2  # landmarks whose eyes lie further from the detected ones, in widths of the box, are wrong
_NEAR = 0.1  # a detection that overlaps the last box by this much may be the followed face


class Face(NamedTuple):
    """The followed face in one picture.

    Attributes:
        landmarks: (468, 3) float32, MediaPipe's face mesh: x, y in pixels from the upper left corner; z in pixels too,
            smaller is nearer, 0 in the middle of the head.
        irises: (2, 5, 2) float32, pixels: the subject's right, then left iris: its middle and four points of its rim.
        presence: how sure the model is of a face there, 0.5 to 1.
        box: (4,) float32: left, top, right, bottom of the landmarks, pixels.
        track: counts up each time that following begins anew, perhaps with somebody else.
    """

    landmarks: np.ndarray
    irises: np.ndarray
    presence: float
    box: np.ndarray
    track: int


class FaceFollower:
    """Finds a face and stays with it.

    It begins with the largest face. In the next picture it looks where the face was, and checks the landmarks against
    the face detected there: the landmark model alone may lock onto a wrong place and be sure of it. A face that is not
    found is waited for; after `patience` pictures without it, following begins anew with the largest.

    Args:
        models: what finds faces and landmarks.
        patience: how many pictures to wait.

    Attributes:
        pictures: how many were looked at.
        several: in how many of them there was more than one face.
        most: the most faces in one picture.
        tracks: how many times following began.
    """

    def __init__(self, models: FaceModels | None = None, patience: int = 10) -> None:
        self._models = models or StandardModels()
        self._patience = max(patience, 1)
        self._last: Found | None = None
        self._gone = 0
        self.pictures = self.several = self.most = self.tracks = 0

    def look(self, image: np.ndarray | None) -> Face | None:
        """The followed face in the next picture, (H, W, 3) uint8 RGB; None where it or the picture is missing."""
        seen = [] if image is None else self._models.detect(image)
        self.pictures += image is not None
        sure = sum(face.score >= _SURE for face in seen)
        self.several += sure > 1
        self.most = max(self.most, sure)
        found = None
        if self._last is not None:
            found = None if image is None else self._again(image, seen, self._last)
            self._gone = 0 if found else self._gone + 1
            if self._gone >= self._patience:
                self._last = None
        if self._last is None and image is not None:
            found = self._anew(image, seen)
        if found is None:
            return None
        self._last, self._gone = found, 0
        return Face(found.landmarks, found.irises, found.presence, _box(found), self.tracks)

    def _again(self, image: np.ndarray, seen: list[Detection], last: Found) -> Found | None:
        mine = _nearest(seen, _box(last))
        regions = [last.region()] if mine is None else [last.region(), mine.region()]
        looks = (self._models.landmarks(image, region) for region in regions)
        return next((found for found in looks if _believable(found, mine)), None)

    def _anew(self, image: np.ndarray, seen: list[Detection]) -> Found | None:
        for face in sorted(seen, key=_area, reverse=True):
            found = self._models.landmarks(image, face.region())
            if _believable(found, face):
                self.tracks += 1
                return found
        return None


def _believable(found: Found, seen: Detection | None) -> bool:
    if found.presence < _PRESENT:
        return False
    if seen is None:
        return True
    eyes = np.stack([found.landmarks[list(eye), :2].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)])
    apart = np.linalg.norm(eyes - seen.eyes, axis=1).mean()
    return bool(apart <= _APART * (seen.box[2] - seen.box[0]))


def _nearest(seen: list[Detection], box: np.ndarray) -> Detection | None:
    if not seen:
        return None
    shared = overlap(box.astype(np.float64), np.stack([face.box for face in seen]))
    return seen[int(shared.argmax())] if shared.max() >= _NEAR else None


def _box(found: Found) -> np.ndarray:
    flat = found.landmarks[:, :2]
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)])


def _area(face: Detection) -> float:
    return float(np.prod(face.box[2:] - face.box[:2]))
