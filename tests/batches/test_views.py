"""Hiding: it only ever takes away, and leaves the complete view as it was."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.batches.hiding import hide
from mitr.batches.views import Batch, Steps, all_missing, in_front, to_device, trimmed
from mitr.missing import masks
from mitr.missing.masks import Mask

CLS, SEP, UNK = 101, 102, 100


def mask(*keep: list[int], absent: list[int] | None = None) -> Mask:
    return Mask(np.array(keep, bool), np.array(absent or [0] * len(keep), bool))


def bools(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def features() -> Steps:
    """Two samples of 3 and 2 steps; the second step of the first is missing by nature."""
    values = torch.tensor([[[1.0], [0.0], [3.0], [0.0]], [[5.0], [6.0], [0.0], [0.0]]])
    valid, available = bools([1, 1, 1, 0], [1, 1, 0, 0]), bools([1, 0, 1, 0], [1, 1, 0, 0])
    return Steps(values, valid, available, valid)


def tokens() -> Steps:
    """[CLS] 7 [UNK] [SEP], and [CLS] 8 [SEP]."""
    ids = torch.tensor([[CLS, 7, UNK, SEP, 0], [CLS, 8, SEP, 0, 0]])
    valid = bools([1, 1, 1, 1, 0], [1, 1, 1, 0, 0])
    return Steps(ids, valid, valid & (ids != UNK), bools([0, 1, 1, 0, 0], [0, 1, 0, 0, 0]))


def hide_one(steps: Steps, mask: Mask, positions: tuple[int, ...] = (0, 1)) -> Steps:
    return hide({"m": steps}, {"m": mask}, torch.tensor(positions), UNK)["m"]


class TestHide:
    def test_hidden_rows_become_zero(self) -> None:
        hidden = hide_one(features(), mask([0, 1, 1, 0], [1, 0, 0, 0]))
        assert hidden.values[..., 0].tolist() == [[0, 0, 3, 0], [5, 0, 0, 0]]
        assert hidden.available.int().tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
        assert torch.equal(hidden.valid, features().valid)
        assert torch.equal(hidden.content, features().content)

    def test_what_is_missing_by_nature_never_comes_back(self) -> None:
        hidden = hide_one(features(), mask([1, 1, 1, 1], [1, 1, 1, 1]))
        assert all(torch.equal(a, b) for a, b in zip(hidden[:4], features()[:4], strict=True))

    def test_hidden_tokens_become_unknown_between_cls_and_sep(self) -> None:
        shown = masks.keep_special_tokens(mask([0] * 5, [0] * 5), np.array([4, 3]))
        hidden = hide_one(tokens(), shown)
        assert hidden.values.tolist() == [[CLS, UNK, UNK, SEP, 0], [CLS, UNK, SEP, 0, 0]]
        assert hidden.available.int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 1, 0, 0]]
        assert hidden.values.dtype == torch.int64
        assert hidden.observed.tolist() == [False, False]
        assert hidden.present.tolist() == [True, True]

    def test_shown_tokens_stay(self) -> None:
        hidden = hide_one(tokens(), mask([1, 1, 0, 1, 0], [1, 1, 1, 0, 0]))
        assert torch.equal(hidden.values, tokens().values)
        assert hidden.observed.tolist() == [True, True]

    @pytest.mark.parametrize("steps", [features(), tokens()], ids=["features", "tokens"])
    def test_an_absent_modality_has_no_steps(self, steps: Steps) -> None:
        width = steps.valid.shape[1]
        hidden = hide_one(steps, mask([1] * width, [1] * width, absent=[1, 0]))
        for part, whole in zip(hidden[:4], steps[:4], strict=True):
            assert not part[0].any()
            assert torch.equal(part[1], whole[1])
        assert hidden.present.tolist() == [False, True]
        assert hidden.observed.tolist() == [False, True]

    def test_positions_find_the_rows_of_the_masks(self) -> None:
        of_split = mask([0] * 4, [0, 1, 1, 0], [0] * 4, [1, 0, 0, 0], absent=[1, 0, 1, 0])
        hidden = hide_one(features(), of_split, (3, 1))
        assert hidden.values[..., 0].tolist() == [[1, 0, 0, 0], [0, 6, 0, 0]]

    @pytest.mark.parametrize("width", [3, 4, 9])
    def test_masks_may_be_narrower_or_wider_than_the_batch(self, width: int) -> None:
        hidden = hide_one(features(), Mask(np.ones((2, width), bool), np.zeros(2, bool)))
        assert all(torch.equal(a, b) for a, b in zip(hidden[:4], features()[:4], strict=True))

    def test_each_modality_has_its_own_mask(self) -> None:
        view = {"text": tokens(), "audio": features()}
        drawn = {"audio": mask([0] * 4, [0] * 4), "text": mask([1] * 5, [1] * 5)}
        hidden = hide(view, drawn, torch.tensor([0, 1]), UNK)
        assert list(hidden) == ["text", "audio"]
        assert torch.equal(hidden["text"].values, tokens().values)
        assert not hidden["audio"].available.any()

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, 2**16), st.floats(0, 1), st.booleans())
    def test_it_only_takes_away_and_never_in_place(self, seed: int, rate: float, of_tokens: bool) -> None:
        steps = tokens() if of_tokens else features()
        before = [part.clone() for part in steps[:4]]
        random = np.random.default_rng(seed)
        drawn = Mask(random.random(steps.valid.shape) >= rate, random.random(2) < rate / 2)
        hidden = hide_one(steps, drawn)
        assert all(torch.equal(a, b) for a, b in zip(steps[:4], before, strict=True))
        for part in ("valid", "available", "content"):
            assert (getattr(hidden, part) <= getattr(steps, part)).all()
        assert (hidden.available <= hidden.valid).all()
        blank = UNK if of_tokens else 0
        where = hidden.available if of_tokens else hidden.available[..., None]
        expected = torch.where(where, steps.values, blank)
        assert torch.equal(hidden.values, expected * (hidden.valid if of_tokens else hidden.valid[..., None]))
        again = hide_one(hidden, drawn)
        assert all(torch.equal(a, b) for a, b in zip(again[:4], hidden[:4], strict=True))


def test_all_missing_needs_every_modality_unobserved() -> None:
    nothing = mask([0] * 4, [0] * 4)
    view = {"text": hide_one(tokens(), mask([1, 0, 0, 1, 0], [1] * 5)), "audio": hide_one(features(), nothing)}
    assert all_missing(view).tolist() == [True, False]  # [CLS] and [SEP] say nothing
    assert all_missing({**view, "audio": features()}).tolist() == [False, False]


def test_moving_keeps_every_part() -> None:
    steps = features()._replace(summary=torch.ones(2, 3))
    moved = steps.to(torch.device("cpu"))
    assert isinstance(moved, Steps)
    assert all(torch.equal(a, b) for a, b in zip(moved, steps, strict=True))
    assert features().to(torch.device("cpu")).summary is None


def test_a_batch_moves_with_both_views() -> None:
    labels, own = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5])
    view, hidden = {"audio": features()}, {"audio": hide_one(features(), mask([0] * 4, [1] * 4))}
    batch = Batch(torch.tensor([3, 4]), labels, view, hidden, {"audio": own})
    here = to_device(batch, torch.device("cpu"))
    assert torch.equal(here.incomplete["audio"].values, hidden["audio"].values)
    assert torch.equal(here.view["audio"].values, view["audio"].values)
    away = to_device(batch, torch.device("meta"))
    tensors = [away.positions, away.labels, away.unimodal["audio"]]
    tensors += [part for shown in (away.view, away.incomplete) for part in shown["audio"][:4]]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    once = to_device(batch._replace(incomplete=view), torch.device("meta"))
    assert once.incomplete is once.view


def test_padding_of_a_whole_batch_is_cut() -> None:
    steps = features()._replace(summary=torch.ones(2, 3))
    cut = trimmed(steps)
    assert cut.values.tolist() == steps.values[:, :3].tolist()
    assert [part.shape[1] for part in cut[:4]] == [3] * 4
    assert cut.summary is steps.summary
    assert trimmed(hide_one(features(), mask([1] * 4, [1] * 4, absent=[1, 1]))).valid.shape == (2, 2)


def test_valid_steps_move_to_the_front_in_their_order() -> None:
    valid = bools([0, 1, 0, 1], [0] * 4, [1] * 4)
    values = torch.arange(24.0).view(3, 4, 2)
    moved = in_front(Steps(values, valid, valid & (values[:, :, 0] != 6), valid, values[:, 0]))
    assert moved.valid.tolist() == [[True, True, False, False], [False] * 4, [True] * 4]
    assert moved.values[0].tolist() == [[2, 3], [6, 7], [0, 0], [0, 0]]
    assert torch.equal(moved.values[2], values[2])
    assert moved.available[0].tolist() == [True, False, False, False]
    assert moved.summary is not None
