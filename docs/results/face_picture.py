"""Render docs/images/face_landmarks.png: drawn faces, the landmarks found on them, and some of the columns."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from made_faces import Drawn, Frames, picture  # noqa: E402
from mitr.media.face.extractor import draw, landmarks_of  # noqa: E402
from mitr.media.face.following import Face  # noqa: E402
from mitr.media.face.geometry import COLUMNS, columns_of, measures_of  # noqa: E402

FACES = (
    Drawn(),
    Drawn(mouth=0.8),
    Drawn(smile=1, gaze_side=0.8),
    Drawn(brows=1, mouth=0.25, roll=10),
    Drawn(eyes=0, roll=-12),
    Drawn(brows=-1, gaze_side=-0.8),
)
SHOWN = ("mouth_open", "mouth_width", "brow_left_inner", "eye_left_open", "gaze_side", "head_roll")
ENLARGED = 3


def render(path: Path) -> None:
    """Write the picture."""
    frames = Frames([picture(face) for face in FACES])
    faces = landmarks_of(frames)
    values = columns_of([None if face is None else measures_of(face) for face in faces], frames.fps)
    names = [column.name for column in COLUMNS]
    figure = Figure(figsize=(13.5, 3.9), dpi=120)
    FigureCanvasAgg(figure)
    grid = {"left": 0, "right": 1, "top": 1, "bottom": 0.29, "wspace": 0.03}
    for axes, frame, face, row in zip(
        figure.subplots(1, len(FACES), gridspec_kw=grid), frames, faces, values, strict=True
    ):
        assert face is not None
        assert frame.image is not None
        axes.imshow(_around(frame.image, face))
        axes.set_axis_off()
        axes.set_anchor("N")
        lines = [f"{name} {row[names.index(name)]:.{1 if name == 'head_roll' else 2}f}" for name in SHOWN]
        axes.text(
            0.5,
            -0.03,
            "\n".join(lines),
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=9,
            family="monospace",
        )
    figure.savefig(path)


def _around(image: np.ndarray, face: Face) -> np.ndarray:
    left, top, right, bottom = (face.box * ENLARGED).tolist()
    x, y, half = (left + right) / 2, (top + bottom) / 2 - 20, 0.68 * (bottom - top)
    rows, columns = slice(max(int(y - half), 0), int(y + half)), slice(int(x - half * 0.8), int(x + half * 0.8))
    return draw(image, face, ENLARGED)[rows, columns]


if __name__ == "__main__":
    render(ROOT / "docs" / "images" / "face_landmarks.png")
