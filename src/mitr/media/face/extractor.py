"""The face extractor: from pictures to columns that describe the face of one person."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mitr.media.assets import ASSETS, asset
from mitr.media.face.following import Face, follower_for, notes_of
from mitr.media.face.geometry import COLUMNS, columns_of, measures_of
from mitr.media.face.mesh import LEFT_LIDS, RIGHT_LIDS, FaceModels
from mitr.media.features import Extracted, Extractor, importable

_OUTLINES = (  # closed lines of landmarks, for pictures
    RIGHT_LIDS[:9] + RIGHT_LIDS[:8:-1],
    LEFT_LIDS[:9] + LEFT_LIDS[:8:-1],
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)


def extract(frames: Any, models: FaceModels | None = None) -> Extracted:
    """The face of one person over time.

    Args:
        frames: a `mitr.media.video.pictures.FrameStream`: an iterable of frames with a `fps`.
        models: the detector and the landmark model; None: the files of `mitr assets fetch`.

    Returns:
        (T, D) float32 with the columns of `mitr.media.face.geometry.COLUMNS`; a row of NaN where there is no picture
        or no face; notes say when several faces were seen.
    """
    follower = follower_for(frames.fps, models)
    faces = (follower.look(frame.image) for frame in frames)
    steps = [None if face is None else measures_of(face) for face in faces]
    return Extracted(columns_of(steps, frames.fps), notes_of(follower))


def _ready() -> None:
    importable("ai_edge_litert", "PIL", extra="media")
    for name in ASSETS:
        asset(name)


FACE = Extractor(
    name="face",
    version=1,
    modality="vision",
    about="Pose of the head, eyes, gaze, brows, mouth and their speeds, from 468 landmarks of the largest face",
    rate=None,
    columns=COLUMNS,
    extract=extract,
    blank="no face",
    ready=_ready,
)


def landmarks_of(frames: Iterable[Any], fps: float = 10.0, models: FaceModels | None = None) -> list[Face | None]:
    """The followed face in each frame, some 6 kB a frame."""
    follower = follower_for(getattr(frames, "fps", fps), models)
    return [follower.look(frame.image) for frame in frames]


def draw(image: np.ndarray, face: Face, scale: int = 1) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB, `scale` times enlarged, with a face's landmarks, outlines and irises on it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image)
    if scale != 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    flat, dot, width = face.landmarks[:, :2] * scale, scale / 2, max(scale // 2, 1)
    for x, y in flat.tolist():
        pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=(0, 200, 120))
    for line in _OUTLINES:
        pen.line([tuple(point) for point in flat[[*line, line[0]]].tolist()], fill=(255, 220, 0), width=width)
    for iris in face.irises * scale:
        x, y = iris[0].tolist()
        radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(255, 60, 60), width=width)
    return np.asarray(picture)
