"""Crops of pictures: exact on a picture of noise."""

import numpy as np
from PIL import Image

from mitr.media.face.regions import Region, crop, cropped

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_a_crop_of_the_size_of_its_region_is_the_picture() -> None:
    result = cropped(NOISE, Region(30, 20, 20), 20)
    np.testing.assert_array_equal(np.rint(result * 255).astype(np.uint8), NOISE[10:30, 20:40])
    assert result.dtype == np.float32


def test_a_turned_crop_is_turned_the_other_way() -> None:
    result = cropped(NOISE, Region(30, 20, 20, np.pi / 2), 20)
    np.testing.assert_allclose(result * 255, np.rot90(NOISE[10:30, 20:40]), atol=1.01)


def test_a_large_region_is_averaged() -> None:
    result = cropped(NOISE, Region(28, 20, 40), 10)
    np.testing.assert_allclose(result * 255, NOISE[:, 8:48].reshape(10, 4, 10, 4, 3).mean((1, 3)), atol=1.01)


def test_beyond_the_picture_its_border_goes_on() -> None:
    result = cropped(NOISE, Region(0, 0, 20), 20)
    wanted = NOISE[np.clip(np.arange(-10, 10), 0, None)][:, np.clip(np.arange(-10, 10), 0, None)]
    np.testing.assert_array_equal(np.rint(result * 255), wanted)


def test_beyond_the_picture_all_is_black_if_asked_for() -> None:
    result = crop(Image.fromarray(NOISE), Region(0, 0, 20), 20, black=True)
    assert result[:10].max() == result[:, :10].max() == 0
    np.testing.assert_array_equal(np.rint(result[10:, 10:] * 255), NOISE[:10, :10])


def test_a_huge_region_costs_little() -> None:
    result = cropped(NOISE, Region(1e6, -1e6, 1e7), 32)
    assert result.shape == (32, 32, 3)


def test_points_of_a_region_lie_where_the_crop_took_them() -> None:
    region = Region(30, 20, 10, np.pi / 2)
    points = region.into_picture(np.array([[0.5, 0.5, 0.0], [1.0, 0.5, 0.2], [0.5, 1.0, -0.1]]))
    np.testing.assert_allclose(points, [[30, 20, 0], [30, 25, 2], [25, 20, -1]], atol=1e-5)
