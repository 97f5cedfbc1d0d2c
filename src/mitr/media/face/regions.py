"""Turned squares in pictures, and the crops that they cut out.

Positions are (x, y) in pixels from the upper left corner, so the middle of the first pixel is (0.5, 0.5).
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


class Region(NamedTuple):
    """A turned square in a picture: its middle and side in pixels, its angle in radians, clockwise."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def axes(self) -> np.ndarray:
        """(2, 2): its rightward and its downward side as vectors in the picture, in pixels."""
        cos, sin = np.cos(self.angle) * self.side, np.sin(self.angle) * self.side
        return np.array([[cos, sin], [-sin, cos]])

    def into_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2 or 3) of the square, 0 to 1, as points of the picture; depth grows with the side."""
        flat = (points[:, :2] - 0.5) @ self.axes() + (self.x, self.y)
        return np.hstack([flat, points[:, 2:] * self.side]).astype(np.float32)


def cropped(image: np.ndarray, region: Region, size: int) -> np.ndarray:
    """`crop` of a picture (H, W, 3) uint8."""
    return crop(as_picture(image), region, size)


def crop(picture: "Image.Image", region: Region, size: int, *, black: bool = False) -> np.ndarray:
    """A region of an RGB picture as (size, size, 3) float32, 0 to 1, interpolated bilinearly.

    A region more than twice as large as the result is first shrunk by averaging, so memory does not grow with the
    region. Beyond the picture its border is repeated, or all is black.
    """
    from PIL import Image

    factor = max(int(region.side / size), 1)
    if factor > 1:
        picture = picture.reduce(factor)
    axes = region.axes() / factor
    corner = np.array([region.x, region.y]) / factor - axes.sum(axis=0) / 2
    if not black:
        picture, corner = _extended(picture, corner, axes)
    (a, d), (b, e) = (axes / size).tolist()
    move = (a, b, float(corner[0]), d, e, float(corner[1]))
    result = picture.transform((size, size), Image.Transform.AFFINE, move, Image.Resampling.BILINEAR)
    return np.asarray(result, np.float32) / np.float32(255)


def _extended(picture: "Image.Image", corner: np.ndarray, axes: np.ndarray) -> tuple["Image.Image", np.ndarray]:
    """A picture with its border repeated as far as a square reaches, and the square's corner in it."""
    from PIL import Image

    ends = corner + np.array([[0, 0], axes[0], axes[1], axes[0] + axes[1]])
    low = np.floor(ends.min(axis=0)).astype(int) - 1
    high = np.ceil(ends.max(axis=0)).astype(int) + 1
    if (low >= 0).all() and high[0] <= picture.width and high[1] <= picture.height:
        return picture, corner
    rows = np.clip(np.arange(low[1], high[1]), 0, picture.height - 1)
    columns = np.clip(np.arange(low[0], high[0]), 0, picture.width - 1)
    return Image.fromarray(np.asarray(picture)[rows][:, columns]), corner - low


def as_picture(image: np.ndarray) -> "Image.Image":
    """An image of Pillow's, of (H, W, 3) uint8 RGB."""
    from PIL import Image

    return Image.fromarray(image)


def angle_of(start: np.ndarray, stop: np.ndarray) -> float:
    """The direction from one point to another in radians: 0 is rightward, positive is clockwise."""
    return float(np.arctan2(stop[1] - start[1], stop[0] - start[0]))
