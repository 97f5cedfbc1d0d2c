"""Detection of faces in a picture: MediaPipe's BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047)."""

from typing import NamedTuple

import numpy as np

from mitr.media.face.litert import Model, sigmoid
from mitr.media.face.regions import Region, angle_of, as_picture, crop

Box = tuple[int, int, int, int]  # left, top, right, bottom
_SURE = 0.5  # lowest score of a detected face
_SAME = 0.3  # overlap from which two boxes are one face
_INPUT = 128  # pixels of the model's square input
_DARK = 24  # highest brightness of the black bars beside a picture
_GRID = 4  # distance in pixels of the samples that find the bars


class Detection(NamedTuple):
    """A detected face: its box (left, top, right, bottom), its eyes (2, 2), right one first, in pixels; its score."""

    box: np.ndarray
    eyes: np.ndarray
    score: float

    def region(self) -> Region:
        """The region in which to look for landmarks."""
        left, top, right, bottom = self.box.tolist()
        side = 1.5 * max(right - left, bottom - top)
        return Region((left + right) / 2, (top + bottom) / 2, side, angle_of(*self.eyes))


class Detector:
    """BlazeFace for short range: 896 anchors over the picture, shrunk to 128 x 128.

    It misses faces lower than a quarter of the picture, so where it detects none it looks at overlapping crops.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._anchors = _anchors()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """The faces of a picture (H, W, 3) uint8 RGB without its black bars, highest score first."""
        whole = without_bars(image)
        faces = merged(*self._look(image, whole))
        if faces:
            return faces
        looks = [self._look(image, box) for box in crops_of(*whole)]
        return merged(*map(np.concatenate, zip(*looks, strict=True))) if looks else []

    def _look(self, image: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Points and scores, as `merged` takes them, of the detections in a box of a picture."""
        left, top, right, bottom = box
        square = Region((right - left) / 2, (bottom - top) / 2, max(right - left, bottom - top))
        picture = crop(as_picture(image[top:bottom, left:right]), square, _INPUT, black=True)
        raw, logits = self._model.run(2 * picture - 1)
        scores = sigmoid(logits.reshape(-1))
        sure = scores >= _SURE
        places = raw.reshape(896, 8, 2)[sure].astype(np.float64) / _INPUT
        centres, sizes, keys = places[:, 0] + self._anchors[sure], places[:, 1], places[:, 2:4]
        corners = np.stack([centres - sizes / 2, centres + sizes / 2], axis=1)
        points = np.concatenate([corners, keys + self._anchors[sure][:, None]], axis=1)
        return (points - 0.5) * square.side + (square.x + left, square.y + top), scores[sure]


def merged(points: np.ndarray, scores: np.ndarray) -> list[Detection]:
    """Detections that overlap become one, their mean weighted by score; highest score first.

    Args:
        points: (N, 4, 2): upper left and lower right corner of the box, right and left eye.
        scores: (N,), 0 to 1.
    """
    boxes = points[:, :2].reshape(-1, 4)
    left = np.argsort(-scores, kind="stable")
    faces = []
    while left.size:
        same = overlap(boxes[left[0]], boxes[left]) > _SAME
        same[0] = True
        group = left[same]
        mean = np.average(points[group], axis=0, weights=scores[group])
        faces.append(Detection(mean[:2].reshape(4), mean[2:], float(scores[group[0]])))
        left = left[~same]
    return faces


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with each of (N, 4), all as left, top, right, bottom: (N,), 0 to 1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    total = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    return shared / np.maximum(total, 1e-9)


def without_bars(image: np.ndarray) -> Box:
    """The box of a picture without the black bars beside it; the whole picture where it is mostly dark."""
    height, width = image.shape[:2]
    sample = image[::_GRID, ::_GRID]
    bright = (sample[..., 0] > _DARK) | (sample[..., 1] > _DARK) | (sample[..., 2] > _DARK)
    rows = np.flatnonzero(bright.mean(axis=1) > 0.02) * _GRID
    columns = np.flatnonzero(bright.mean(axis=0) > 0.02) * _GRID
    if rows.size * columns.size < 0.1 * bright.size:
        return 0, 0, width, height
    return int(columns[0]), int(rows[0]), min(int(columns[-1]) + _GRID, width), min(int(rows[-1]) + _GRID, height)


def crops_of(left: int, top: int, right: int, bottom: int) -> list[Box]:
    """Overlapping crops of a box, 0.6 of its longer side wide and high; none where they would have too few pixels."""
    longest = max(right - left, bottom - top)
    side = round(0.6 * longest)
    if side < 2 * _INPUT:
        return []
    across, down = (
        np.linspace(low, max(high - side, low), 3 if high - low == longest else 1 + (high - low > side))
        for low, high in ((left, right), (top, bottom))
    )
    return [
        (int(x), int(y), min(int(x) + side, right), min(int(y) + side, bottom))
        for y in down.tolist()
        for x in across.tolist()
    ]


def _anchors() -> np.ndarray:
    """(896, 2): the middles of the cells of a 16 x 16 grid, each twice, then of an 8 x 8 grid, each six times."""
    grids = []
    for cells, times in ((16, 2), (8, 6)):
        middles = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, times, axis=0))
    return np.concatenate(grids)
