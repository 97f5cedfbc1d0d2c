"""From landmarks to numbers that describe a face: the pose of its head, eyes, brows, mouth, and their speeds.

Lengths are in faces: one face is the root mean square distance of 30 landmarks on bone (forehead, temples, corners of
the eyes, nose) from their middle, about 0.63 times the distance between the outer corners of the eyes. They are taken
in the frame of the head, so neither its distance nor its pose changes them, as far as the landmarks are right. Left and
right are the subject's. Landmarks are numbered as in MediaPipe's face mesh; the measures are ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mitr.media.face.following import Face
from mitr.media.face.mesh import LEFT_EYE, RIGHT_EYE
from mitr.media.features import Column

_FIRM = (  # landmarks that hardly move with the face's expression
    *(33, 263, 133, 362, 127, 356, 234, 454, 21, 251, 54, 284, 103, 332, 67, 297),
    *(10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327),
)
_RIGHT = (33, 133, 127, 234, 21, 54, 103, 67, 162, 193)  # of the subject, and their mirror images
_LEFT = (263, 362, 356, 454, 251, 284, 332, 297, 389, 417)
_FOREHEAD, _NOSE_BASE = (10, 151, 9, 109, 338), (2, 94, 98, 327)
_TEMPLES, _JAW_SIDES = (21, 251, 54, 284), (132, 361, 58, 288)
_RIGHT_LID_PAIRS = ((160, 144), (159, 145), (158, 153))  # upper and lower lid
_LEFT_LID_PAIRS = ((387, 373), (386, 374), (385, 380))
_LIPS = (0, 13, 14, 17)  # the middle of the mouth: upper lip outside and inside, lower lip inside and outside


class Pose(NamedTuple):
    """The pose of a head: its frame of three axes in the picture.

    Attributes:
        axes: (3, 3), columns of length 1: towards the subject's left, towards the chin, into the head.
        centre: (3,), pixels.
        size: pixels to the face.
    """

    axes: np.ndarray
    centre: np.ndarray
    size: float

    def angles(self) -> tuple[float, float, float]:
        """Yaw (to the left), pitch (up) and roll (to the left shoulder) in degrees.

        Roll is applied last, so that turning the picture changes only it.
        """
        axes = self.axes
        yaw = np.arcsin(np.clip(axes[2, 0], -1, 1))
        pitch, roll = np.arctan2(-axes[2, 1], axes[2, 2]), np.arctan2(axes[1, 0], axes[0, 0])
        return tuple(np.degrees([yaw, pitch, roll]).tolist())


def pose(landmarks: np.ndarray) -> Pose:
    """The pose of a face with landmarks (468, 3)."""
    points = landmarks.astype(np.float64)
    left = _unit((points[list(_LEFT)] - points[list(_RIGHT)]).sum(axis=0))
    down = _between(points, _FOREHEAD, _NOSE_BASE) + _between(points, _TEMPLES, _JAW_SIDES)
    down = _unit(down - (down @ left) * left)
    firm = points[list(_FIRM)]
    centre = firm.mean(axis=0)
    size = float(np.sqrt(((firm - centre) ** 2).sum(axis=1).mean()))
    return Pose(np.stack([left, down, np.cross(left, down)], axis=1), centre, max(size, 1e-6))


class HeadView:
    """A face in the frame of its head (see `Pose`), from which its measures are taken; lengths in faces."""

    def __init__(self, landmarks: np.ndarray, irises: np.ndarray) -> None:
        self.pose = pose(landmarks)
        self.points = (landmarks.astype(np.float64) - self.pose.centre) @ self.pose.axes / self.pose.size
        self._flat = landmarks[:, :2].astype(np.float64)
        self._irises = irises.astype(np.float64)

    @cached_property
    def angles(self) -> tuple[float, float, float]:
        return self.pose.angles()

    @cached_property
    def gaze(self) -> np.ndarray:
        """(2,): how far left and how far up the irises are between the corners of their eyes, mean of both."""
        right = _within(self._flat, self._irises[0, 0], RIGHT_EYE)
        left = _within(self._flat, self._irises[1, 0], LEFT_EYE[::-1])
        return (right + left) / 2

    def height(self, *landmarks: int) -> float:
        """Mean height, upwards."""
        return -float(self.points[list(landmarks), 1].mean())

    def side(self, *landmarks: int) -> float:
        """Mean place to the left."""
        return float(self.points[list(landmarks), 0].mean())

    def front(self, *landmarks: int) -> float:
        """Mean place to the front."""
        return -float(self.points[list(landmarks), 2].mean())

    def gap(self, *pairs: tuple[int, int]) -> float:
        """Mean distance of pairs."""
        ends = self.points[np.array(pairs)]
        return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).mean())

    def eye(self, lids: Sequence[tuple[int, int]], corners: tuple[int, int]) -> float:
        return self.gap(*lids) / max(self.gap(corners), 1e-6)


@dataclass(frozen=True)
class _Measure:
    name: str
    unit: str
    about: str
    of: Callable[[HeadView], float]


_MEASURES = (
    _Measure("head_yaw", "degree", "turn of the head; positive: to the left", lambda s: s.angles[0]),
    _Measure("head_pitch", "degree", "nod of the head; positive: looking up", lambda s: s.angles[1]),
    _Measure("head_roll", "degree", "tilt of the head; positive: to the left shoulder", lambda s: s.angles[2]),
    _Measure(
        "eye_left_open",
        "eye width",
        "distance of the left eye's lids by its width",
        lambda s: s.eye(_LEFT_LID_PAIRS, LEFT_EYE),
    ),
    _Measure(
        "eye_right_open",
        "eye width",
        "distance of the right eye's lids by its width",
        lambda s: s.eye(_RIGHT_LID_PAIRS, RIGHT_EYE),
    ),
    _Measure(
        "gaze_side",
        "half eye width",
        "irises from the middle between the corners of their eyes, mean of both; positive: to the left; coarse where "
        "eyes are under 25 pixels wide",
        lambda s: float(s.gaze[0]),
    ),
    _Measure(
        "gaze_up",
        "half eye width",
        "irises above the line between the corners of their eyes, mean of both; positive: up; coarse too",
        lambda s: float(s.gaze[1]),
    ),
    _Measure(
        "brow_left_inner",
        "face",
        "height of the inner end of the left brow above the corners of its eye",
        lambda s: s.height(285, 336) - s.height(*LEFT_EYE),
    ),
    _Measure(
        "brow_right_inner",
        "face",
        "height of the inner end of the right brow above the corners of its eye",
        lambda s: s.height(55, 107) - s.height(*RIGHT_EYE),
    ),
    _Measure(
        "brow_left_outer",
        "face",
        "height of the outer end of the left brow above the corners of its eye",
        lambda s: s.height(276, 300, 283, 293) - s.height(*LEFT_EYE),
    ),
    _Measure(
        "brow_right_outer",
        "face",
        "height of the outer end of the right brow above the corners of its eye",
        lambda s: s.height(46, 70, 53, 63) - s.height(*RIGHT_EYE),
    ),
    _Measure("brow_gap", "face", "distance between the brows; small: a frown", lambda s: s.gap((55, 285), (107, 336))),
    _Measure(
        "cheek_raise",
        "face",
        "height of the cheeks, measured from the corners of the eyes; rises towards 0",
        lambda s: s.height(117, 118, 50, 205, 346, 347, 280, 425) - s.height(*RIGHT_EYE, *LEFT_EYE),
    ),
    _Measure("nose_width", "face", "distance between the wings of the nose", lambda s: s.gap((129, 358))),
    _Measure(
        "mouth_open",
        "face",
        "distance between the lips, inside",
        lambda s: s.gap((13, 14), (82, 87), (312, 317)),
    ),
    _Measure("mouth_width", "face", "distance between the corners of the mouth", lambda s: s.gap((61, 291))),
    _Measure(
        "mouth_left_corner",
        "face",
        "height of the left corner of the mouth above its middle; positive: a smile",
        lambda s: s.height(291) - s.height(*_LIPS),
    ),
    _Measure(
        "mouth_right_corner",
        "face",
        "height of the right corner of the mouth above its middle; positive: a smile",
        lambda s: s.height(61) - s.height(*_LIPS),
    ),
    _Measure(
        "mouth_shift",
        "face",
        "middle of the mouth beside the base of the nose; positive: to the left",
        lambda s: s.side(*_LIPS) - s.side(2, 98, 327),
    ),
    _Measure(
        "lips_thick",
        "face",
        "thickness of both lips together; small: lips pressed",
        lambda s: s.gap((0, 13), (37, 82), (267, 312)) + s.gap((14, 17), (87, 84), (317, 314)),
    ),
    _Measure(
        "lips_forward",
        "face",
        "how far the lips stand out before the cheeks; large: lips pursed",
        lambda s: s.front(*_LIPS) - s.front(50, 280, 205, 425),
    ),
    _Measure(
        "upper_lip_raise",
        "face",
        "height of the upper lip, measured from the base of the nose; rises towards 0",
        lambda s: s.height(0) - s.height(2),
    ),
    _Measure(
        "jaw_drop",
        "face",
        "distance of the chin below the base of the nose",
        lambda s: s.height(2) - s.height(152),
    ),
)
_ROLL = 2  # the measure that is an angle modulo 360
_MOVES = (
    Column(
        "head_move_side", "face/s", "speed of the head across the picture, along its eye line; positive: to the left"
    ),
    Column(
        "head_move_up", "face/s", "speed of the head across the picture, at right angles to its eye line; positive: up"
    ),
    Column("head_move_near", "1/s", "growth of the face's size in the picture; positive: coming nearer"),
)
COLUMNS = (
    *(Column(one.name, one.unit, one.about) for one in _MEASURES),
    *(Column(f"{one.name}_speed", f"{one.unit}/s", f"change of {one.name} since the step before") for one in _MEASURES),
    *_MOVES,
)


class FaceMeasures(NamedTuple):
    """One face in one picture: the measures (23,), the centre (2,) and size in pixels, the number of its track."""

    measures: np.ndarray
    centre: np.ndarray
    size: float
    track: int


def measures_of(face: Face) -> FaceMeasures:
    """Measure a face."""
    view = HeadView(face.landmarks, face.irises)
    measures = np.array([one.of(view) for one in _MEASURES])
    return FaceMeasures(measures, view.pose.centre[:2], view.pose.size, face.track)


def columns_of(steps: Sequence[FaceMeasures | None], fps: float) -> np.ndarray:
    """The columns `COLUMNS` of a face over time.

    Args:
        steps: T of them; None where there is no face.
        fps: steps a second.

    Returns:
        (T, D) float32; rows of NaN where there is no face. Speeds are 0 at the beginning and where the step before
        has no face or a face of another track, since no movement is known.
    """
    values = np.full((len(steps), len(COLUMNS)), np.nan, np.float32)
    before = None
    for row, step in zip(values, steps, strict=True):
        if step is not None:
            same = before is not None and before.track == step.track
            row[:] = np.concatenate([step.measures, _speeds(before if same and before else step, step) * fps])
        before = step
    return values


def _speeds(before: FaceMeasures, now: FaceMeasures) -> np.ndarray:
    """(23 + 3,): the changes from one step to the next, in the order of `COLUMNS`."""
    change = now.measures - before.measures
    change[_ROLL] = (change[_ROLL] + 180) % 360 - 180
    roll = np.radians(now.measures[_ROLL])
    right, down = (now.centre - before.centre) / now.size
    side, up = right * np.cos(roll) + down * np.sin(roll), right * np.sin(roll) - down * np.cos(roll)
    return np.concatenate([change, [side, up, np.log(now.size / before.size)]])


def _within(flat: np.ndarray, iris: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    start, stop = flat[ends[0]], flat[ends[1]]
    along = stop - start
    upward = np.array([along[1], -along[0]])
    offset = iris - (start + stop) / 2
    return 2 * np.array([offset @ along, offset @ upward]) / max(float(along @ along), 1e-9)


def _between(points: np.ndarray, start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray:
    return points[list(stop)].mean(axis=0) - points[list(start)].mean(axis=0)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
