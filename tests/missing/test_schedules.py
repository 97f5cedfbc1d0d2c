"""What each schedule shows the student, and that (seed, epoch) alone decide it."""

import numpy as np
import pytest

from mitr.config import MissingConfig
from mitr.errors import MitrError
from mitr.missing import masks, schedules
from mitr.missing.schedules import Extent, Masks, described_validation, for_epoch, for_validation

N = 500
SEEDS = (111, 1111, 11111)


def extents(samples: int = N, length: int = 40, special: bool = False) -> dict[str, Extent]:
    full = np.full(samples, length)
    return {"text": Extent(full, 50, special), "audio": Extent(full, 60), "vision": Extent(full)}


def same(one: Masks, two: Masks) -> bool:
    assert one.keys() == two.keys()
    return all(np.array_equal(a, b) for m in one for a, b in zip(one[m], two[m], strict=True))


def dropped(drawn: Masks, m: str, length: int = 40) -> np.ndarray:
    """(N,) share of the steps that are hidden."""
    return 1 - drawn[m].keep[:, :length].mean(axis=1)


@pytest.mark.parametrize(
    ("extent", "steps"),
    [
        (Extent(np.array([3, 5]), 4), 5),
        (Extent(np.array([3]), 9), 9),
        (Extent(np.array([3])), 3),
        (Extent(np.zeros(2)), 1),
    ],
)
def test_extent_of_a_mask(extent: Extent, steps: int) -> None:
    assert extent.steps == steps


class TestEverySchedule:
    @pytest.mark.parametrize("schedule", ["random-rate", "fresh", "fixed", "none"])
    def test_masks_have_the_extents_form_and_stay_inside(self, schedule: str) -> None:
        made = extents(20, special=True)
        made["audio"].lengths = np.arange(20)
        for m, mask in for_epoch(MissingConfig(schedule=schedule), made, 1, 0).items():
            assert mask.keep.shape == (20, made[m].steps)
            assert mask.absent.shape == (20,)
            assert (mask.keep <= masks.inside(made[m].lengths, made[m].steps)).all()

    @pytest.mark.parametrize("schedule", ["random-rate", "fresh"])
    def test_seed_and_epoch_decide_and_nothing_else(self, schedule: str) -> None:
        config = MissingConfig(schedule=schedule, modality_rate=0.3, block_share=0.5, complete_share=0.1)
        np.random.seed(0)
        first = for_epoch(config, extents(20), 1, 4)
        np.random.seed(1)
        for_epoch(config, extents(20), 1, 5)
        assert same(first, for_epoch(config, extents(20), 1, 4))
        assert not same(first, for_epoch(config, extents(20), 1, 5))
        assert not same(first, for_epoch(config, extents(20), 2, 4))

    @pytest.mark.parametrize("schedule", ["fixed", "none"])
    def test_fixed_ones_know_neither(self, schedule: str) -> None:
        config = MissingConfig(schedule=schedule)
        assert same(for_epoch(config, extents(20), 1, 4), for_epoch(config, extents(20), 2, 5))

    @pytest.mark.parametrize("schedule", ["random-rate", "fresh"])
    def test_modalities_are_drawn_on_their_own(self, schedule: str) -> None:
        config, made = MissingConfig(schedule=schedule), extents(20)
        drawn = for_epoch(config, made, 1, 0)
        assert (drawn["text"].keep[:, :40] != drawn["audio"].keep[:, :40]).any()
        for m in made:  # a modality's masks do not depend on which others there are
            assert same({m: drawn[m]}, for_epoch(config, {m: made[m]}, 1, 0))


class TestNone:
    def test_it_hides_nothing(self) -> None:
        made = extents(3)
        for m, mask in for_epoch(MissingConfig(schedule="none"), made, 1, 0).items():
            np.testing.assert_array_equal(mask.keep, masks.inside(made[m].lengths, made[m].steps))


class TestFixed:
    def test_it_is_the_published_one_at_each_modalitys_rate(self) -> None:
        made = extents(10, special=True)
        config = MissingConfig(schedule="fixed", rate=0.3, rate_audio=0.9, seeds=(1, 2, 3))
        drawn = for_epoch(config, made, 1, 0)
        for m, (steps, rate, seed) in {"text": (50, 0.3, 1), "audio": (60, 0.9, 2), "vision": (40, 0.3, 3)}.items():
            expected = masks.published(np.full(10, 40), steps, rate, seed, special_tokens=m == "text")
            np.testing.assert_array_equal(drawn[m].keep, expected.keep)

    def test_at_rate_has_the_published_seeds(self) -> None:
        drawn = schedules.at_rate(extents(10), 0.5)
        assert same(drawn, schedules.fixed(extents(10), dict.fromkeys(drawn, 0.5), SEEDS))
        np.testing.assert_array_equal(drawn["vision"].keep, masks.published(np.full(10, 40), 40, 0.5, 11111).keep)

    def test_whole_modalities_do_not_go_with_it(self) -> None:
        with pytest.raises(MitrError, match="do not go with"):
            MissingConfig(schedule="fixed", modality_rate=0.1)


class TestFresh:
    def test_each_modality_has_its_rate(self) -> None:
        config = MissingConfig(schedule="fresh", rate=0.3, rate_text=0.0, rate_vision=1.0)
        drawn = for_epoch(config, extents(), 1, 0)
        assert (dropped(drawn, "text") == 0).all()
        assert dropped(drawn, "audio").mean() == pytest.approx(0.3, abs=0.02)
        assert (dropped(drawn, "vision") == 1).all()

    def test_complete_share_and_max_rate_are_not_for_it(self) -> None:
        config = MissingConfig(schedule="fresh", rate=1.0, max_rate=0.1, complete_share=1.0, modality_rate=1.0)
        drawn = for_epoch(config, extents(), 1, 0)
        assert (dropped(drawn, "audio") == 1).all()
        assert drawn["audio"].absent.any()

    def test_blocks(self) -> None:
        def in_one_block(share: float) -> float:
            config = MissingConfig(schedule="fresh", rate=0.5, block_share=share)
            gaps = ~for_epoch(config, extents(), 1, 0)["vision"].keep
            edges = np.diff(np.pad(gaps, ((0, 0), (1, 1))).astype(int), axis=1)
            single = (edges == 1).sum(axis=1) == 1
            assert (gaps[single].sum(axis=1) == 20).all()
            return float(single.mean())

        assert in_one_block(0.0) == 0
        assert in_one_block(0.4) == pytest.approx(0.4, abs=0.07)
        assert in_one_block(1.0) == 1


class TestRandomRate:
    @pytest.mark.parametrize("max_rate", [1.0, 0.4])
    @pytest.mark.parametrize("block_share", [0.0, 1.0])
    def test_rates_are_even_between_0_and_the_largest(self, max_rate: float, block_share: float) -> None:
        config = MissingConfig(max_rate=max_rate, block_share=block_share)
        drawn = for_epoch(config, extents(), 1, 0)
        shares = {m: dropped(drawn, m) for m in drawn}
        for share in shares.values():
            assert share.mean() == pytest.approx(max_rate / 2, abs=0.04)
            assert np.quantile(share, 0.1) == pytest.approx(0.1 * max_rate, abs=0.05)
            assert np.quantile(share, 0.9) == pytest.approx(0.9 * max_rate, abs=0.07)
        assert abs(np.corrcoef(shares["text"], shares["audio"])[0, 1]) < 0.15  # a rate for each modality

    def test_some_samples_stay_complete(self) -> None:
        config = MissingConfig(complete_share=0.25, modality_rate=0.9)
        drawn = for_epoch(config, extents(), 1, 0)
        complete = np.all([dropped(drawn, m) == 0 for m in drawn], axis=0)
        assert complete.mean() == pytest.approx(0.25, abs=0.06)
        assert not any(mask.absent[complete].any() for mask in drawn.values())
        none = for_epoch(MissingConfig(complete_share=1.0, modality_rate=1.0), extents(), 1, 0)
        assert all((dropped(none, m) == 0).all() for m in none)

    def test_whole_modalities_go_but_never_all(self) -> None:
        made = extents()
        made["text"].lengths = np.where(np.arange(N) % 5 == 0, 0, 40)
        for rate, low, high in ((0.0, 0, 0), (0.3, 0.25, 0.35), (1.0, 0.6, 0.75)):
            drawn = for_epoch(MissingConfig(max_rate=0.0, modality_rate=rate), made, 1, 0)
            absent = np.stack([drawn[m].absent for m in made], axis=1)
            has = np.stack([made[m].lengths > 0 for m in made], axis=1)
            assert low <= absent.mean() <= high
            assert not (absent & ~has).any()
            assert (has & ~absent).any(axis=1).all()
            for i, m in enumerate(made):
                assert not drawn[m].keep[absent[:, i]].any()
                np.testing.assert_array_equal(
                    drawn[m].keep[~absent[:, i]], masks.inside(made[m].lengths, made[m].steps)[~absent[:, i]]
                )

    @pytest.mark.parametrize("block_share", [0.0, 1.0])
    def test_special_tokens_are_shown_unless_the_text_is_absent(self, block_share: float) -> None:
        config = MissingConfig(schedule="fresh", rate=1.0, modality_rate=0.5, block_share=block_share)
        text = for_epoch(config, extents(special=True), 1, 0)["text"]
        assert 0 < text.absent.sum() < N
        shown = np.zeros(50, bool)
        shown[[0, 39]] = True
        np.testing.assert_array_equal(text.keep, np.where(text.absent[:, None], False, shown))


def test_each_modality_draws_from_a_stream_of_seed_and_epoch() -> None:
    drawn = for_epoch(MissingConfig("fresh", 0.5), extents(), seed=7, epoch=3)
    for number, m in enumerate(("text", "audio", "vision")):
        stream = np.random.default_rng([7, 3, 1 + number])
        stream.random(N)  # which samples lose a block
        shown = stream.random(drawn[m].keep.shape) >= 0.5
        np.testing.assert_array_equal(drawn[m].keep, shown & masks.inside(extents()[m].lengths, extents()[m].steps))


def test_a_modality_of_one_step_is_present() -> None:
    single = {m: Extent(np.ones(50, np.int64)) for m in ("text", "audio", "vision")}
    fresh = for_epoch(MissingConfig("fresh", 0.0, modality_rate=1.0), single, 1, 0)
    for drawn in (fresh, schedules.at_modality_rate(single, 1.0)):
        assert (np.sum([~mask.absent for mask in drawn.values()], axis=0) == 1).all()


class TestValidation:
    def test_random_rate_is_scored_at_its_rates(self) -> None:
        views = for_validation(MissingConfig(validation_rates=(0.0, 0.7), seeds=(1, 2, 3)), extents(10))
        assert list(views) == ["0.0", "0.7"]
        for name, drawn in views.items():
            assert same(drawn, schedules.at_rate(extents(10), float(name), (1, 2, 3)))

    @pytest.mark.parametrize("schedule", ["fresh", "fixed"])
    def test_the_others_at_their_own(self, schedule: str) -> None:
        config = MissingConfig(schedule=schedule, rate=0.3, rate_text=0.6)
        (name, drawn), *more = for_validation(config, extents(10)).items()
        assert name == "0.3"
        assert not more
        assert same(drawn, schedules.fixed(extents(10), {"text": 0.6, "audio": 0.3, "vision": 0.3}, SEEDS))

    def test_none_is_complete(self) -> None:
        views = for_validation(MissingConfig(schedule="none"), extents(10))
        assert list(views) == ["0.0"]
        assert all(mask.keep[:, :40].all() for mask in views["0.0"].values())

    @pytest.mark.parametrize("schedule", ["random-rate", "fresh", "fixed"])
    def test_by_whole_modalities(self, schedule: str) -> None:
        views = for_validation(
            MissingConfig(schedule=schedule, validate="modality-rate", validation_rates=(0.0, 0.4)), extents()
        )
        assert list(views) == ["0.0", "0.4"]
        absent = {name: np.stack([mask.absent for mask in drawn.values()]) for name, drawn in views.items()}
        assert not absent["0.0"].any()
        assert absent["0.4"].mean() == pytest.approx(0.4 - 0.4**3 / 3, abs=0.04)
        assert not absent["0.4"].all(axis=0).any()
        for mask in views["0.4"].values():
            assert (mask.keep[:, :40] == ~mask.absent[:, None]).all()

    @pytest.mark.parametrize("schedule", ["random-rate", "fresh", "fixed"])
    def test_by_combinations(self, schedule: str) -> None:
        views = for_validation(MissingConfig(schedule=schedule, validate="combinations"), extents(4))
        assert list(views) == [
            "text", "audio", "vision", "text+audio", "text+vision", "audio+vision", "text+audio+vision",
        ]  # fmt: skip
        for name, drawn in views.items():
            assert {m for m in drawn if not drawn[m].absent.any()} == set(name.split("+"))
            assert all(mask.absent.all() or mask.keep[:, :40].all() for mask in drawn.values())

    @pytest.mark.parametrize("schedule", ["random-rate", "fresh", "fixed"])
    def test_by_gaps(self, schedule: str) -> None:
        config = MissingConfig(schedule=schedule, validate="blocks", validation_rates=(0.25,))
        ((name, drawn),) = for_validation(config, extents()).items()
        assert name == "0.25"
        starts = []
        for mask in drawn.values():
            hidden = ~mask.keep[:, :40]
            assert (hidden.sum(axis=1) == 10).all()
            starts.append(hidden.argmax(axis=1))
            assert (hidden[np.arange(N), starts[-1] + 9]).all()
        assert len(np.unique(starts[0])) == 31  # every place
        assert (starts[0] == starts[1]).all()
        assert (starts[0] == starts[2]).all()

    @pytest.mark.parametrize("validate", ["modality-rate", "combinations", "blocks"])
    def test_a_model_that_sees_everything_is_scored_on_everything(self, validate: str) -> None:
        views = for_validation(MissingConfig(schedule="none", validate=validate), extents(10))
        assert list(views) == ["0.0"]
        assert all(mask.keep[:, :40].all() for mask in views["0.0"].values())

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            (MissingConfig(), "missing rates 0.0, 0.3, 0.6, 0.9 (masks of seeds 111, 1111, 11111)"),
            (MissingConfig("fixed", 0.3, seeds=(1, 2, 3)), "missing rates 0.3 (masks of seeds 1, 2, 3)"),
            (
                MissingConfig("fresh", 0.3, rate_text=0.5),
                "missing rates {'text': 0.5, 'audio': 0.3, 'vision': 0.3} (masks of seeds 111, 1111, 11111)",
            ),
            (MissingConfig("none", validate="blocks"), "missing rates 0.0 (masks of seeds 111, 1111, 11111)"),
            (MissingConfig("fresh", validate="combinations"), "all combinations of available modalities"),
            (
                MissingConfig(validate="modality-rate", validation_rates=(0.2, 0.5)),
                "rates of absent modalities 0.2, 0.5 (seed 20301)",
            ),
            (
                MissingConfig(validate="blocks", validation_rates=(0.2,)),
                "gaps in all modalities at once, of a share 0.2 of the steps (seed 20302)",
            ),
        ],
    )
    def test_in_words(self, config: MissingConfig, words: str) -> None:
        assert described_validation(config) == words


@pytest.mark.parametrize(
    "option",
    ["rate", "rate_text", "rate_audio", "rate_vision", "max_rate", "complete_share", "modality_rate", "block_share"],
)
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_options_outside_0_to_1_are_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(MitrError, match=rf"missing\.{option} is {value}"):
        MissingConfig(**{option: value})
