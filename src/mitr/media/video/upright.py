"""Decoded pictures turned into small upright RGB arrays."""

from typing import Any

import numpy as np

CELLS = (32, 24)  # width and height of the grey picture by which pictures are compared


class Scaler:
    """Scales pictures so that neither side exceeds a length, turns them upright, and makes their pixels square.

    Args:
        longest_side: in pixels; smaller pictures keep their size.
        aspect: width of a pixel over its height, as stored.
    """

    def __init__(self, longest_side: int, aspect: float) -> None:
        from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

        self._longest, self._aspect = longest_side, min(max(aspect, 0.1), 10.0)
        self._scale, self._shrink = VideoReformatter(), VideoReformatter()
        exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT  # the same on every processor
        self._how = {"interpolation": Interpolation.AREA | exact, "threads": 1, "dst_color_range": ColorRange.JPEG}

    def image(self, frame: Any) -> tuple[np.ndarray, np.ndarray]:
        """An (H, W, 3) uint8 RGB picture, and its 24 x 32 cells of grey for comparisons, as int16.

        Raises:
            FFmpegError, ValueError: its format cannot be converted.
        """
        width = frame.width * self._aspect
        factor = min(1.0, self._longest / max(width, frame.height))
        size = max(1, round(width * factor)), max(1, round(frame.height * factor))
        scaled = self._scale.reformat(frame, *size, "rgb24", **self._how)
        cells = self._shrink.reformat(scaled, *CELLS, "gray", **self._how)
        return upright(scaled.to_ndarray(), matrix_of(frame)), cells.to_ndarray().astype(np.int16)


def upright(image: np.ndarray, matrix: tuple[int, ...] | None) -> np.ndarray:
    """An (H, W, 3) picture turned and mirrored as a display matrix says, to the nearest quarter turn.

    Args:
        image: as stored.
        matrix: (a, b, u, c, d, v, x, y, w) of FFmpeg: a pixel at (x, y) is displayed at (a x + c y, b x + d y).
    """
    if matrix is None:
        return image
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    image = image[:, ::-1] if across < 0 else image
    image = image[::-1] if down < 0 else image
    return np.ascontiguousarray(image)


def matrix_of(frame: Any) -> tuple[int, ...] | None:
    """The display matrix of a frame, for `upright`; None: the frame is displayed as it is stored."""
    try:
        return tuple(np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).tolist())
    except KeyError:
        return None
    except ValueError:  # PyAV refuses side data of which it does not know every kind
        return _QUARTERS[round(frame.rotation / 90) % 4]


_QUARTERS = (None, (0, -1, 0, 1, 0), (-1, 0, 0, 0, -1), (0, 1, 0, -1, 0))  # turns counter-clockwise
