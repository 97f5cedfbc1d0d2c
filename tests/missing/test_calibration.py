"""The masks that intervals are calibrated under: fixed by a seed, of all rates and sets of modalities."""

import numpy as np
import pytest

from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.missing.calibration import at_random_rates, calibration_conditions
from mitr.missing.schedules import Extent

EXTENTS = {
    "text": Extent(np.array([12, 2, 402, 302]), 402, special_tokens=True),
    "audio": Extent(np.array([0, 3, 400, 300])),
    "vision": Extent(np.array([9, 3, 400, 300])),
}


class TestConditions:
    def test_what_is_missing(self) -> None:
        found = calibration_conditions(MODALITIES, draws=3)
        names = [condition.name for condition in found]
        assert names[:4] == ["rate=0.0", "random-rate draw=0", "random-rates draw=1", "random-rate draw=2"]
        assert names[-1] == "rate=1.0"
        assert len(names) == len(set(names)) == 1 + 3 + 2 * 6 + 1
        assert "available=text+vision" in names
        assert "random-rates available=audio" in names
        assert len(calibration_conditions(["audio"], draws=3)) == 5

    def test_masks_are_fixed_by_the_seed(self) -> None:
        first, again, other = (calibration_conditions(MODALITIES, 2, seed=seed)[1] for seed in (1, 1, 2))
        drawn = first.masks(EXTENTS)
        np.testing.assert_array_equal(drawn["vision"].keep, again.masks(EXTENTS)["vision"].keep)
        assert (drawn["vision"].keep != other.masks(EXTENTS)["vision"].keep).any()

    def test_draws_differ(self) -> None:
        one, two = (condition.masks(EXTENTS)["audio"].keep for condition in calibration_conditions(MODALITIES)[1:3])
        assert (one != two).any()

    def test_a_sample_has_one_rate(self) -> None:
        drawn = at_random_rates(EXTENTS, (7, 0), shared=True)
        shares = {m: mask.keep[2:].sum(axis=1) / EXTENTS[m].lengths[2:] for m, mask in drawn.items()}
        assert abs(shares["text"][0] - shares["text"][1]) > 0.2
        for m in ("audio", "vision"):
            np.testing.assert_allclose(shares[m], shares["text"], atol=0.1)
        assert (drawn["audio"].keep[2, :300] != drawn["vision"].keep[2, :300]).any()
        assert drawn["text"].keep[:, 0].all()
        assert drawn["text"].keep[[0, 1, 2, 3], EXTENTS["text"].lengths - 1].all()

    def test_or_one_for_each_modality(self) -> None:
        many = {m: Extent(np.full(200, 100)) for m in ("audio", "vision")}
        for shared, lowest, highest in ((True, 0.95, 1.0), (False, -0.3, 0.3)):
            drawn = at_random_rates(many, (7, 0), shared=shared)
            shares = [mask.keep.mean(axis=1) for mask in drawn.values()]
            assert lowest < np.corrcoef(shares)[0, 1] < highest

    def test_others_are_absent(self) -> None:
        drawn = at_random_rates(EXTENTS, (7, 0), shared=True, available=("text",))
        assert not drawn["text"].absent.any()
        assert drawn["audio"].absent.all()
        assert not drawn["audio"].keep.any()

    def test_wrong_input(self) -> None:
        with pytest.raises(MitrError, match="at least one draw"):
            calibration_conditions(MODALITIES, draws=0)
        with pytest.raises(MitrError, match="one modality"):
            calibration_conditions([])
