"""Groups: what ids name, and that a resample holds whole groups."""

import numpy as np

from mitr.evaluation.groups import generator_of, groups_of


def test_few_videos_are_no_groups() -> None:
    assert groups_of([f"v{i % 10}$_${i}" for i in range(60)]).unit == "clips"
    assert groups_of([f"x$_${i}$_$v{i % 5}" for i in range(44)]).unit == "videos"  # before the last separator
    groups = groups_of([f"v{i % 11}$_${i}" for i in range(44)])
    assert (groups.unit, groups.count) == ("videos", 11)
    assert [int(c) for c in groups.number[:3]] != [0, 0, 0]
    assert all(groups.number[i] == groups.number[i + 11] for i in range(33))


def test_an_id_that_names_no_video_makes_all_of_them_clips() -> None:
    groups = groups_of([f"v{i}$_$0" for i in range(20)] + ["alone"])
    assert (groups.unit, groups.count) == ("clips", 21)


def test_a_resample_holds_whole_groups() -> None:
    groups = groups_of([f"v{i % 12}$_${i}" for i in range(50)])
    counts = groups.drawn(30, generator_of(3))
    assert counts.shape == (30, 50)
    assert all((counts[:, i] == counts[:, i % 12]).all() for i in range(50))
    assert (counts[:, :12].sum(axis=1) == 12).all()
    np.testing.assert_array_equal(counts, groups.drawn(30, generator_of(3)))


def test_resamples_that_are_drawn_in_pieces_are_the_same() -> None:
    groups, generator = groups_of([f"clip{i}" for i in range(9)]), generator_of(0)
    pieces = np.concatenate([groups.drawn(n, generator) for n in (1, 5, 2)])
    np.testing.assert_array_equal(pieces, groups.drawn(8, generator_of(0)))
