"""Drawn faces that the face models take for real ones, so that tests need no footage."""

import os
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mitr.errors import MitrError
from mitr.media.assets import ASSETS, asset

SKIN, SHADOW, HAIR, LIP = (224, 180, 152), (172, 122, 98), (52, 36, 28), (176, 84, 80)
_CANVAS = 600  # a face is drawn on a square of this side, then shrunk, turned and placed


class Frame(NamedTuple):
    """What a `mitr.media.video.pictures.FrameStream` gives: a picture and when it is shown."""

    time: float
    image: np.ndarray | None


class Frames(list[Frame]):
    """Frames with their rate, as a `FrameStream` has it."""

    def __init__(self, images: Sequence[np.ndarray | None], fps: float = 10.0) -> None:
        super().__init__(Frame(index / fps, image) for index, image in enumerate(images))
        self.fps = fps


class Drawn(NamedTuple):
    """A face to draw; left and right are the subject's.

    Args:
        x: of the middle between the eyes, pixels.
        y: the same.
        size: from the hair line to the chin, pixels.
        mouth: opening, 0 to 1.
        smile: -1 to 1.
        brows: raised, -1 to 1.
        eyes: open, 0 to 1.
        gaze_side: to the left, -1 to 1.
        gaze_up: up, -1 to 1.
        roll: degrees, positive: to the left shoulder, which is clockwise in the picture.
    """

    x: float = 320
    y: float = 160
    size: float = 200
    mouth: float = 0
    smile: float = 0
    brows: float = 0
    eyes: float = 1
    gaze_side: float = 0
    gaze_up: float = 0
    roll: float = 0


def picture(*faces: Drawn, width: int = 640, height: int = 360) -> np.ndarray:
    """(H, W, 3) uint8: a plain room with drawn faces, the later in front."""
    shade = np.linspace(150, 105, height)[:, None] + np.linspace(-12, 12, width)[None, :]
    room = Image.fromarray(np.stack([shade * 0.92, shade, shade * 1.06], axis=-1).clip(0, 255).astype(np.uint8))
    for face in faces:
        _place(room, face)
    return np.asarray(room)


def drawn_eyes(face: Drawn) -> np.ndarray:
    """(2, 2): where the eyes of a drawn face are; its canvas has them at (300 -+ 68, 270), 400 pixels to the size."""
    turn = np.radians(face.roll)
    along = 68 / 400 * face.size * np.array([np.cos(turn), np.sin(turn)])
    return np.array([face.x, face.y]) + np.stack([-along, along])


def _place(room: Image.Image, face: Drawn) -> None:
    drawn = _head(face._replace(x=0, y=0, size=0, roll=0))
    # From the room's pixels to the canvas: the middle between the eyes lies at (300, 270), hair line to chin is 400.
    scale, turn = 400 / face.size, np.radians(face.roll)
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    move = (cos, sin, 300 - cos * face.x - sin * face.y, -sin, cos, 270 + sin * face.x - cos * face.y)
    blurred = drawn.filter(ImageFilter.GaussianBlur(max(scale, 1) * 0.5))
    placed = blurred.transform(room.size, Image.Transform.AFFINE, move, Image.Resampling.BILINEAR)
    room.paste(placed, (0, 0), placed)


@lru_cache(maxsize=64)
def _head(face: Drawn) -> Image.Image:
    image = Image.new("RGBA", (_CANVAS, _CANVAS), (*SHADOW, 0))
    pen = ImageDraw.Draw(image)
    pen.ellipse((120, 40, 480, 520), fill=(*HAIR, 255))
    pen.polygon([(235, 430), (365, 430), (375, 600), (225, 600)], fill=(196, 150, 124, 255))
    pen.polygon([(225, 560), (375, 560), (560, 600), (40, 600)], fill=(60, 80, 120, 255))
    drop = 26 * face.mouth
    pen.polygon(_oval(300, 290, 148, 205 + drop), fill=(*SKIN, 255))
    image = _shaded(image, drop)
    pen = ImageDraw.Draw(image)
    for side in (-1, 1):
        _eye(image, face, side)
        _brow(pen, face, side)
    _nose(image)
    _mouth(image, face)
    return image


def _oval(x: float, y: float, wide: float, high: float) -> list[tuple[float, float]]:
    """The outline of a face: an ellipse whose lower half narrows to the chin."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    narrow = np.where(np.sin(turn) > 0, 1 - 0.22 * np.sin(turn) ** 2, 1)
    return list(zip((x + wide * np.cos(turn) * narrow).tolist(), (y + high * np.sin(turn)).tolist(), strict=True))


def _soft(image: Image.Image, blur: float, shapes: list[tuple[str, object]], colour: tuple[int, ...]) -> None:
    """Paint shapes with soft edges onto an image, only where it is opaque already."""
    corners = np.concatenate([np.reshape(points, (-1, 2)) for _, points in shapes])
    left, top = (np.maximum(corners.min(axis=0) - 3 * blur, 0)).astype(int).tolist()
    right, bottom = (np.minimum(corners.max(axis=0) + 3 * blur, image.size)).astype(int).tolist()
    mask = Image.new("L", (right - left, bottom - top), 0)
    pen = ImageDraw.Draw(mask)
    for kind, points in shapes:
        moved = np.reshape(points, (-1, 2)) - (left, top)
        getattr(pen, kind)([tuple(point) for point in moved.tolist()], fill=colour[3])
    mask = mask.filter(ImageFilter.GaussianBlur(blur))
    part = image.crop((left, top, right, bottom))
    image.paste(
        Image.composite(Image.new("RGBA", part.size, (*colour[:3], 255)), part, mask), (left, top), part.split()[3]
    )


def _shaded(image: Image.Image, drop: float) -> Image.Image:
    """The skin darker at the sides, in the eye sockets and below the chin, lighter on forehead and cheeks."""
    _soft(image, 22, [("rectangle", (130, 120, 176, 470)), ("rectangle", (424, 120, 470, 470))], (*SHADOW, 130))
    _soft(image, 12, [("ellipse", (185, 238, 275, 298)), ("ellipse", (325, 238, 415, 298))], (*SHADOW, 110))
    _soft(image, 16, [("ellipse", (230, 110, 370, 190)), ("ellipse", (195, 320, 265, 380))], (244, 208, 184, 120))
    _soft(
        image, 16, [("ellipse", (335, 320, 405, 380)), ("ellipse", (270, 450, 330, 485 + drop))], (244, 208, 184, 110)
    )
    return image


def _eye(image: Image.Image, face: Drawn, side: int) -> None:
    x, y, wide, high = 300 + 68 * side, 270.0, 34.0, 3 + 12 * face.eyes
    pen = ImageDraw.Draw(image)
    lids = np.linspace(0, np.pi, 24)
    upper = list(zip((x - wide * np.cos(lids)).tolist(), (y - high * np.sin(lids) ** 0.8).tolist(), strict=True))
    lower = list(zip((x + wide * np.cos(lids)).tolist(), (y + 0.75 * high * np.sin(lids)).tolist(), strict=True))
    if face.eyes > 0.15:
        mask = Image.new("L", image.size, 0)
        ImageDraw.Draw(mask).polygon(upper + lower, fill=255)
        ball = Image.new("RGBA", image.size, (238, 234, 230, 255))
        ink = ImageDraw.Draw(ball)
        cx, cy = x + 16 * face.gaze_side, y - 1 - 8 * face.gaze_up
        for radius, colour in ((14, (92, 62, 40)), (6.5, (14, 10, 10))):
            ink.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=(*colour, 255))
        ink.ellipse((cx + 2, cy - 6, cx + 6, cy - 2), fill=(255, 255, 255, 255))
        image.paste(ball, (0, 0), mask)
    else:
        pen.polygon(upper + lower, fill=(206, 158, 132, 255))
        pen.line(lower, fill=(60, 36, 28, 255), width=5)
    pen.line(upper, fill=(58, 36, 28, 255) if face.eyes > 0.15 else (176, 128, 104, 255), width=5)
    pen.line(lower, fill=(140, 96, 78, 255) if face.eyes > 0.15 else (60, 36, 28, 255), width=3)
    fold = [(px, py - 9) for px, py in upper[3:-3]]
    pen.line(fold, fill=(160, 112, 90, 255), width=3)


def _brow(pen: ImageDraw.ImageDraw, face: Drawn, side: int) -> None:
    y = 232 - 20 * face.brows
    inner, middle, outer = 300 + 30 * side, 300 + 72 * side, 300 + 112 * side
    top = [(inner, y - 4), (middle, y - 16), (outer, y + 2)]
    bottom = [(outer, y + 6), (middle, y - 3), (inner, y + 9)]
    pen.polygon(top + bottom, fill=(62, 42, 32, 255))


def _nose(image: Image.Image) -> None:
    _soft(image, 7, [("polygon", [(284, 265), (292, 265), (280, 350), (266, 352)])], (*SHADOW, 150))
    _soft(image, 7, [("polygon", [(308, 265), (316, 265), (334, 352), (320, 350)])], (*SHADOW, 120))
    _soft(image, 5, [("ellipse", (262, 338, 338, 372))], (*SHADOW, 120))
    _soft(image, 5, [("ellipse", (284, 320, 316, 356)), ("rectangle", (294, 250, 306, 330))], (246, 212, 190, 170))
    _soft(image, 2, [("ellipse", (276, 355, 293, 365)), ("ellipse", (307, 355, 324, 365))], (96, 56, 46, 230))
    _soft(image, 5, [("polygon", [(294, 372), (306, 372), (310, 396), (290, 396)])], (*SHADOW, 90))


def _mouth(image: Image.Image, face: Drawn) -> None:
    wide, y = 50 + 12 * face.smile - 8 * face.mouth, 412.0
    lift = 22 * face.smile
    across = np.linspace(-1, 1, 31)
    bow = 1 - across**2
    corner = y - lift * across**2
    xs = 300 + wide * across

    def line(offset: np.ndarray) -> list[tuple[float, float]]:
        return list(zip(xs.tolist(), (corner + offset).tolist(), strict=True))

    cupid = 1 - 0.35 * np.exp(-((across / 0.16) ** 2))
    gap = 44 * face.mouth * bow
    pen = ImageDraw.Draw(image)
    upper_top, upper_bottom = line(-13 * bow**0.7 * cupid), line(np.zeros(31))
    lower_top, lower_bottom = line(gap), line(gap + 17 * bow**0.7)
    pen.polygon(upper_bottom + lower_top[::-1], fill=(62, 22, 24, 255))
    if face.mouth > 0.2:
        teeth = line(np.minimum(gap, 9))
        pen.polygon(upper_bottom + teeth[::-1], fill=(236, 230, 222, 255))
    pen.polygon(upper_top + upper_bottom[::-1], fill=(*LIP, 255))
    pen.polygon(lower_top + lower_bottom[::-1], fill=(192, 100, 94, 255))
    pen.line(upper_bottom, fill=(96, 40, 40, 255), width=3)
    _soft(image, 5, [("ellipse", (270, y + gap.max() + 20, 330, y + gap.max() + 32))], (*SHADOW, 130))


@pytest.fixture(scope="session")
def assets() -> None:
    """The face models; without them a test is skipped, in CI it fails."""
    try:
        for name in ASSETS:
            asset(name)
    except MitrError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def bundle(folder: Path, **members: bytes) -> Path:
    """A `face_landmarker.task` with these models inside."""
    path = folder / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.tflite", data)
    return path
