"""The pictures: which is shown when, how it is turned, and what is missing."""

import os
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_clips import clock, compass, joined, moving_squares, read_clock, write_clip
from mitr.errors import MitrError
from mitr.media.files.limits import Limits
from mitr.media.files.opening import open_clip
from mitr.media.video.pictures import FrameStream, frames_of
from mitr.media.video.upright import matrix_of, upright

small = partial(clock, size=(64, 64))


def seen(
    path: Path, fps: float = 10.0, longest_side: int = 640, limits: Limits | None = None
) -> tuple[list[np.ndarray | None], FrameStream]:
    limits = limits or Limits()
    stream = frames_of(open_clip(path, limits), fps, longest_side, limits)
    images = []
    for step, frame in enumerate(stream):
        assert frame.time == step / fps
        assert frame.image is None or (frame.image.dtype == np.uint8 and frame.image.shape[2] == 3)
        images.append(frame.image)
    return images, stream


def times(images: list[np.ndarray | None]) -> list[float | None]:
    """What the pictures of `clock` say."""
    return [None if image is None else read_clock(image) for image in images]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".ts", ".flv"])
def test_the_picture_of_a_time_is_the_one_shown_then(tmp_path: Path, suffix: str) -> None:
    images, stream = seen(write_clip(tmp_path / f"a{suffix}", 1.0, fps=25, picture=small, sound=None))
    assert times(images) == [0.0, 0.08, 0.2, 0.28, 0.4, 0.48, 0.6, 0.68, 0.8, 0.88]  # the last begun
    assert stream.seconds == pytest.approx(1.0, abs=0.001)
    assert [stream.missing, stream.notes] == [[], []]


@pytest.mark.parametrize("fps", [10, 20, 30, 50, 60])
def test_other_rates_of_the_same_content_show_the_same(tmp_path: Path, fps: float) -> None:
    images, _ = seen(write_clip(tmp_path / "a.mp4", 1.0, fps=fps, picture=small, sound=None))
    assert times(images) == [step / 10 for step in range(10)]


def test_a_rate_that_is_no_whole_number(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    images, _ = seen(write_clip(tmp_path / "a.mp4", 1.0, fps=rate, picture=small, sound=None))
    begun = [int((step / 10 + 0.002) * rate) / float(rate) for step in range(10)]
    np.testing.assert_allclose(times(images), begun, atol=6e-4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 400), min_size=2, max_size=8), st.sampled_from([4.0, 10.0, 25.0]))
def test_a_variable_rate(tmp_path: Path, steps: list[int], fps: float) -> None:
    begins = np.concatenate([[0], np.cumsum(steps)])
    path = write_clip(tmp_path / "a.mkv", picture=small, sound=None, frame_times=(begins / 1000).tolist())
    images, stream = seen(path, fps)
    assert len(images) > begins[-1] / 1000 * fps - 1
    for step, time in enumerate(times(images)):
        shown = begins[np.searchsorted(begins, 1000 * step / fps + 2, side="right") - 1] / 1000
        assert time is None or time == shown
    assert images[0] is not None
    assert all(reason == "frozen picture" for _, _, reason in stream.missing)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_files_are_seen_upright(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = write_clip(tmp_path / "a.mp4", 0.4, picture=compass, sound=None, rotation=rotation, mirrored=mirrored)
    images, _ = seen(path)
    plain, _ = seen(write_clip(tmp_path / "b.mp4", 0.4, picture=compass, sound=None))
    for image, other in zip(images, plain, strict=True):
        assert image.shape == (120, 160, 3)
        np.testing.assert_allclose(image[10, [10, -10]], [(220, 30, 30), (30, 200, 30)], atol=8)
        np.testing.assert_allclose(image[-10, [10, -10]], [(30, 30, 220), (235, 235, 235)], atol=8)
        assert np.abs(image.astype(int) - other).mean() < 3


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_turned_files_with_what_pyav_has_no_name_for(tmp_path: Path, rotation: int) -> None:
    class Spatial:  # a picture of one eye: its side data make PyAV raise
        def __init__(self, frame: Any) -> None:
            self.rotation = frame.rotation

        @property
        def side_data(self) -> None:
            raise ValueError("36 is not a valid Type")

    path = write_clip(tmp_path / "a.mp4", 0.2, picture=compass, sound=None, rotation=rotation)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        stored = frame.to_ndarray(format="rgb24")
        assert upright(stored, matrix_of(frame)).shape == (120, 160, 3)
        np.testing.assert_array_equal(upright(stored, matrix_of(Spatial(frame))), upright(stored, matrix_of(frame)))


def test_turned_pictures_are_scaled_by_their_longest_side(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 0.4, size=(320, 160), picture=compass, sound=None, rotation=90)
    images, _ = seen(path, longest_side=100)
    assert images[0].shape == (50, 100, 3)


@pytest.mark.parametrize(
    ("size", "side", "shape"),
    [
        ((160, 120), 640, (120, 160)),
        ((161, 121), 640, (121, 161)),
        ((640, 360), 320, (180, 320)),
        ((100, 400), 200, (200, 50)),
        ((2000, 2), 640, (1, 640)),
        ((1, 1), 640, (1, 1)),
        ((3, 5), 640, (5, 3)),
        ((64, 64), 1, (1, 1)),
    ],
)
def test_sizes(tmp_path: Path, size: tuple[int, int], side: int, shape: tuple[int, int]) -> None:
    def grey(time: float) -> np.ndarray:
        return np.full((size[1], size[0], 3), 20 + round(200 * time), np.uint8)

    images, _ = seen(write_clip(tmp_path / "a.mp4", 1.0, fps=10, picture=grey, sound=None), longest_side=side)
    assert [image.shape for image in images] == [(*shape, 3)] * 10
    np.testing.assert_allclose([image.mean() for image in images], 20 + 20 * np.arange(10), atol=3)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 0.4, size=(160, 120), sound=None, aspect=Fraction(3, 2))
    assert seen(path)[0][0].shape == (120, 240, 3)
    assert seen(path, longest_side=120)[0][0].shape == (60, 120, 3)


@pytest.mark.parametrize("start", [1000.0, 0.9])
def test_time_begins_with_the_file(tmp_path: Path, start: float) -> None:
    images, stream = seen(write_clip(tmp_path / "a.ts", 1.0, picture=small, sound=None, picture_start=start))
    assert times(images)[:3] == [0.0, 0.08, 0.2]
    assert stream.missing == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_late_start_is_missing(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a{suffix}", 1.0, picture=small, picture_start=0.52, sound_seconds=1.5)
    images, stream = seen(path)
    assert times(images)[:8] == [None] * 6 + [0.08, 0.16]
    assert stream.missing == [(0.0, pytest.approx(0.52, abs=0.002), "the video starts later")]
    assert stream.seconds == pytest.approx(1.52, abs=0.002)


def test_a_start_that_is_hardly_late_is_not_missing(tmp_path: Path) -> None:
    images, stream = seen(write_clip(tmp_path / "a.mp4", 1.0, picture=small, picture_start=0.08))
    assert times(images)[:3] == [0.0, 0.0, 0.12]
    assert stream.missing == []


def test_a_clock_set_back_does_not_stop_the_pictures(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.ts", 1.0, picture=small, sound=None)
    second = write_clip(tmp_path / "second.ts", 1.0, picture=lambda time: small(time + 5), sound=None)
    images, stream = seen(joined(tmp_path / "a.ts", first, second), fps=5)
    assert times(images) == [0.0, 0.2, 0.4, 0.6, 0.8, 5.0, 5.2, 5.4, 5.6, 5.8]
    assert stream.missing == []


def test_pictures_may_change_their_size(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{side}.ts", 1.0, picture=clock, size=(side, side), sound=None, picture_start=start)
        for side, start in ((160, 0), (320, 1))
    ]
    path = joined(tmp_path / "a.ts", *parts)
    images, _ = seen(path, fps=5)
    assert [image.shape[0] for image in images] == [160] * 5 + [320] * 5
    assert times(images) == [0.0, 0.2, 0.4, 0.6, 0.8] * 2
    images, stream = seen(path, fps=5, limits=Limits(megapixels=0.1))
    assert [image is None for image in images] == [False] * 5 + [True] * 5
    why = "a picture larger than the limit of 0.1 megapixels (limits.megapixels)"
    assert stream.missing == [(pytest.approx(1.0), pytest.approx(2.0), why)]


def frozen_from(start: float, stop: float, time: float) -> np.ndarray:
    return moving_squares(start if start <= time < stop else time)


@pytest.mark.parametrize("fps", [5.0, 10.0])
def test_a_frozen_picture_is_missing(tmp_path: Path, fps: float) -> None:
    path = write_clip(tmp_path / "a.mp4", 6.0, fps=20, picture=partial(frozen_from, 1.2, 4.0), sound=None)
    images, stream = seen(path, fps)
    assert stream.missing == [(1.2, 4.0, "frozen picture")]
    assert [image is None for image in images] == [1.2 <= step / fps < 4.0 for step in range(int(6 * fps))]
    images, stream = seen(
        write_clip(tmp_path / "b.mp4", 4.0, fps=20, picture=partial(frozen_from, 1.2, 3.0), sound=None), fps
    )
    assert stream.missing == []
    assert all(image is not None for image in images)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".gif"])
def test_a_video_of_one_picture_is_a_still(tmp_path: Path, suffix: str) -> None:
    images, stream = seen(
        write_clip(tmp_path / f"a{suffix}", 3.0, fps=10, picture=lambda t: moving_squares(0), sound=None)
    )
    assert times(images) == [None] * 30
    assert stream.missing == [(0.0, pytest.approx(3.0), "a still picture, not a video")]
    assert stream.notes == ["the video is a still picture, not a video"]


def test_a_track_with_one_picture_is_a_still(tmp_path: Path) -> None:
    images, stream = seen(write_clip(tmp_path / "a.mp4", 0.04, sound_seconds=1.0))
    assert times(images) == [None]
    assert [span.reason for span in stream.missing] == ["a still picture, not a video"]


def test_only_lips_that_move_are_not_frozen(tmp_path: Path) -> None:
    def face(time: float) -> np.ndarray:
        picture = moving_squares(0, (640, 360)).copy()
        picture[250:262, 300:330] = 90 + 60 * np.sin(2 * np.pi * 3 * time)
        return picture

    images, stream = seen(write_clip(tmp_path / "a.mp4", 3.0, picture=face, sound=None), fps=30)
    assert stream.missing == []
    assert all(image is not None for image in images)


def test_a_dark_video_is_not_frozen(tmp_path: Path) -> None:
    images, stream = seen(
        write_clip(tmp_path / "a.mp4", 3.0, picture=lambda time: moving_squares(time) // 32, sound=None)
    )
    assert stream.missing == []
    assert all(image is not None and image.max() < 12 for image in images)


def test_the_limit_ends_the_pictures(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 3.0, picture=small, sound=None)
    images, stream = seen(path, limits=Limits(seconds=1.25))
    assert len(images) == 13
    assert stream.seconds == 1.25
    assert stream.missing == [(1.25, 3.0, "beyond the limit of 1.25 s")]
    assert "limits.seconds" in stream.notes[0]


def test_8k(tmp_path: Path) -> None:
    def flat(time: float) -> np.ndarray:
        return np.full((4320, 7680, 3), 40 + int(400 * time), np.uint8)

    path = write_clip(
        tmp_path / "a.mkv", 0.2, fps=10, picture=flat, sound=None, video_codec="mjpeg", pixel_format="yuvj420p"
    )
    images, _ = seen(path)
    assert [image.shape for image in images] == [(360, 640, 3)] * 2
    limits = Limits(megapixels=10)  # then they are not even decoded to learn their size
    frames = frames_of(open_clip(path, limits), limits=limits)
    assert list(frames) == []
    assert "perhaps because they are larger than the limit of 10 megapixels" in frames.missing[0].reason


def test_impossible_wishes(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", 0.2))
    for fps, side in ((0, 640), (-1, 640), (float("nan"), 640), (1000, 640), (10, 0)):
        with pytest.raises(MitrError, match="pictures a second"):
            frames_of(clip, fps, side)


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", 1.0))
    before = len(os.listdir("/proc/self/fd"))
    for _ in frames_of(clip):
        assert len(os.listdir("/proc/self/fd")) == before + 1
        break
    assert len(os.listdir("/proc/self/fd")) == before
    frames = frames_of(clip)
    next(frames)
    frames.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(frames) == []
