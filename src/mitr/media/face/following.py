"""One face, followed from picture to picture."""

from typing import NamedTuple

import numpy as np

from mitr.media.face.detection import Detection, overlap
from mitr.media.face.mesh import LEFT_EYE, RIGHT_EYE, FaceMesh, FaceModels, StandardModels

_PRESENT = 0.5  # lowest presence of a face
_SURE = 0.7  # lowest score of a detection that is counted; lower ones may be patterns on clothes
_APART = 0.2  # largest distance of the landmarks' eyes from the detected eyes, in widths of the box
_NEAR = 0.1  # lowest overlap with the last box of a detection that may be the followed face
_PATIENCE = 1.0  # seconds that the face may be missing before another is followed


class Face(NamedTuple):
    """The followed face in one picture.

    Attributes:
        landmarks: (468, 3) float32, MediaPipe's face mesh: x, y in pixels from the upper left corner; z in pixels too,
            smaller is nearer, 0 in the middle of the head.
        irises: (2, 5, 2) float32, pixels: the subject's right, then left iris: its middle and four points of its rim.
        presence: probability of a face, 0.5 to 1.
        box: (4,) float32: left, top, right, bottom of the landmarks, pixels.
        track: number of times that following began, each time perhaps with another person.
    """

    landmarks: np.ndarray
    irises: np.ndarray
    presence: float
    box: np.ndarray
    track: int


class FaceFollower:
    """Finds a face and stays with it.

    Following begins with the largest face. In the next picture the landmark model looks at the face's last region, and
    its landmarks are compared with the detection that overlaps it: the landmark model alone may settle on a wrong place
    with high presence. After `patience` pictures without the face, following begins again with the largest.

    Args:
        models: the detector and the landmark model; None: the standard ones.
        patience: number of pictures to wait.

    Attributes:
        pictures: number of pictures so far.
        several: number of pictures with more than one face.
        most: largest number of faces in one picture.
        tracks: number of times that following began.
    """

    def __init__(self, models: FaceModels | None = None, patience: int = 10) -> None:
        self._models = models or StandardModels()
        self._patience = max(patience, 1)
        self._last: FaceMesh | None = None
        self._lost = 0
        self.pictures = self.several = self.most = self.tracks = 0

    def look(self, image: np.ndarray | None) -> Face | None:
        """The followed face in the next picture, (H, W, 3) uint8 RGB; None where it or the picture is missing."""
        detections = [] if image is None else self._models.detect(image)
        self.pictures += image is not None
        sure = sum(face.score >= _SURE for face in detections)
        self.several += sure > 1
        self.most = max(self.most, sure)
        mesh = None
        if self._last is not None:
            mesh = None if image is None else self._follow(image, detections, self._last)
            self._lost = 0 if mesh else self._lost + 1
            if self._lost >= self._patience:
                self._last = None
        if self._last is None and image is not None:
            mesh = self._begin(image, detections)
        if mesh is None:
            return None
        self._last, self._lost = mesh, 0
        return Face(mesh.landmarks, mesh.irises, mesh.presence, _box(mesh), self.tracks)

    def _follow(self, image: np.ndarray, detections: list[Detection], last: FaceMesh) -> FaceMesh | None:
        nearest = _nearest(detections, _box(last))
        regions = [last.region()] if nearest is None else [last.region(), nearest.region()]
        looks = (self._models.landmarks(image, region) for region in regions)
        return next((mesh for mesh in looks if _believable(mesh, nearest)), None)

    def _begin(self, image: np.ndarray, detections: list[Detection]) -> FaceMesh | None:
        for face in sorted(detections, key=_area, reverse=True):
            mesh = self._models.landmarks(image, face.region())
            if _believable(mesh, face):
                self.tracks += 1
                return mesh
        return None


def _believable(mesh: FaceMesh, detection: Detection | None) -> bool:
    if mesh.presence < _PRESENT:
        return False
    if detection is None:
        return True
    eyes = np.stack([mesh.landmarks[list(eye), :2].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)])
    apart = np.linalg.norm(eyes - detection.eyes, axis=1).mean()
    return bool(apart <= _APART * (detection.box[2] - detection.box[0]))


def _nearest(detections: list[Detection], box: np.ndarray) -> Detection | None:
    if not detections:
        return None
    shared = overlap(box.astype(np.float64), np.stack([face.box for face in detections]))
    return detections[int(shared.argmax())] if shared.max() >= _NEAR else None


def _box(mesh: FaceMesh) -> np.ndarray:
    flat = mesh.landmarks[:, :2]
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)])


def _area(face: Detection) -> float:
    return float(np.prod(face.box[2:] - face.box[:2]))


def follower_for(fps: float, models: FaceModels | None = None) -> FaceFollower:
    """A follower that waits one second for a face that disappeared."""
    return FaceFollower(models, patience=round(_PATIENCE * fps))


def notes_of(follower: FaceFollower) -> tuple[str, ...]:
    """What a user should know: several faces at a time, and a face that was lost."""
    notes = []
    if follower.several:
        share = follower.several / follower.pictures
        percent = f"{share:.0%}" if share >= 0.01 else "under 1%"
        notes.append(
            f"up to {follower.most} faces at the same time, in {percent} of the frames; the largest was followed"
        )
    if follower.tracks > 1:
        notes.append(f"the followed face was lost; following began {follower.tracks} times, each time with the largest")
    return tuple(notes)
