"""Frozen stretches among steps of any kind."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mitr.media.video.frozen import Shot, Thaw


def shots(runs: list[tuple[int, int | None]]) -> Iterator[Shot]:
    """(length, grey) of each run as steps; grey None: no picture."""
    step = 0
    for length, grey in runs:
        for _ in range(length):
            cells = None if grey is None else np.full((24, 32), grey, np.int16)
            yield Shot(step, None if cells is None else np.zeros((1, 1, 3), np.uint8), cells)
            step += 1


runs_of_any_kind = st.lists(st.tuples(st.integers(1, 30), st.sampled_from([None, 0, 20, 40, 60])), max_size=8)


@given(runs_of_any_kind, st.sampled_from([5.0, 10.0]))
def test_runs_of_two_seconds_lose_their_pictures(runs: list[tuple[int, int | None]], fps: float) -> None:
    joined: list[tuple[int, int | None]] = []
    for length, grey in runs:
        if joined and joined[-1][1] == grey:
            length += joined.pop()[0]
        joined.append((length, grey))
    alone = sum(grey is not None for _, grey in joined) == 1
    expected, frozen, step = [], [], 0
    for place, (length, grey) in enumerate(joined):
        long = length >= 2 * fps or (alone and place == len(joined) - 1 and length - 1 >= fps / 2)
        if grey is not None and long:
            frozen.append((step / fps, (step + length) / fps))
        expected += [grey is not None and not long] * length
        step += length
    thaw = Thaw(fps)
    passed = list(thaw.pass_on(shots(runs)))
    assert [shot.step for shot in passed] == list(range(step))
    assert [shot.image is not None for shot in passed] == expected
    assert thaw.stretches == frozen
    assert thaw.still == (alone and bool(frozen))


def test_small_changes_add_up(  # a slow zoom is no standing picture
) -> None:
    thaw = Thaw(10.0)
    passed = list(thaw.pass_on(shots([(1, grey) for grey in range(60)])))
    assert all(shot.image is not None for shot in passed)
    assert thaw.stretches == []


def test_only_two_seconds_are_held_back() -> None:
    taken = 0

    def counted() -> Iterator[Shot]:
        nonlocal taken
        for shot in shots([(5, 0), (300, 50), (5, 90)]):
            taken += 1
            yield shot

    for shot in Thaw(10.0).pass_on(counted()):
        assert taken - shot.step <= 20


def test_one_picture_is_a_still_however_short() -> None:
    thaw = Thaw(10.0)
    thaw.single = True
    assert [shot.image for shot in thaw.pass_on(shots([(1, 0)]))] == [None]
    assert thaw.still
