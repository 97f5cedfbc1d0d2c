"""Clips are divided by whole videos, the same in every order."""

import numpy as np
import pytest

from mitr.data.store import Dataset
from mitr.data.videos import divided_validation, drawn_videos, videos_of

IDS = [f"v{video}$_${clip}" for video, clips in enumerate((5, 9, 2, 7, 4, 3)) for clip in range(clips)]


def test_names() -> None:
    assert videos_of(["a$_$1", "a$_$2", "b$_$_$_$1"]) == ["a", "a", "b$_$_"]
    assert videos_of(["a$_$1", "2"]) == ["a$_$1", "2"]  # one id without a video: each clip stands for itself
    assert videos_of(["$_$1", "a$_$2"]) == ["$_$1", "a$_$2"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_whole_videos_near_the_share(share: float, seed: int) -> None:
    drawn = drawn_videos(IDS, share, seed)
    video = np.array(videos_of(IDS))
    assert not set(video[drawn]) & set(video[~drawn])
    assert 0 < drawn.sum() < len(IDS)
    if 0.3 <= share <= 0.5:
        assert abs(drawn.sum() - share * len(IDS)) <= 9 / 2  # half of the longest video


def test_neither_the_order_nor_repeated_rows_matter() -> None:
    drawn = dict(zip(IDS, drawn_videos(IDS, 0.4, 7), strict=True))
    mixed = [str(name) for name in np.random.default_rng(0).permutation(IDS + IDS[:11])]
    assert drawn_videos(mixed, 0.4, 7).tolist() == [drawn[name] for name in mixed]
    assert len({tuple(drawn_videos(IDS, 0.4, seed)) for seed in range(8)}) > 3


def test_clips_without_videos() -> None:
    assert drawn_videos([str(i) for i in range(20)], 0.25, 0).sum() == 5


def test_ends() -> None:
    assert not drawn_videos(IDS, 0.0, 0).any()
    assert drawn_videos(IDS, 1.0, 0).all()
    assert not drawn_videos(["v$_$1", "v$_$2"], 0.4, 0).any()  # one video is not divided
    assert drawn_videos([], 0.5, 0).shape == (0,)


def test_the_validation_split(small: Dataset) -> None:
    rows = small.indices("valid")
    for same in divided_validation(small, 0.0):
        np.testing.assert_array_equal(same, rows)
    stopping, calibrating = divided_validation(small, 0.25)
    assert (len(stopping), len(calibrating)) == (18, 6)
    np.testing.assert_array_equal(np.sort(np.concatenate([stopping, calibrating])), rows)
