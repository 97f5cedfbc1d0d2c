"""Protocols: which conditions they have, what these hide, how models are trained for them, what cannot serve them."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.config import PUBLISHED_SEEDS, MissingConfig
from mitr.data.scale import Scale
from mitr.data.schema import MODALITIES, DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, write_store
from mitr.errors import MitrError
from mitr.missing import masks, schedules
from mitr.missing.protocols import PROTOCOLS, Condition, Protocol, at_chosen_rates, at_rates, described, protocol_named
from mitr.missing.schedules import Extent, Masks
from mitr.testing import ProtocolContract
from mitr.testing.protocols import ALL, SCALE, extents
from waiting import LONGEST

DOCS = Path(__file__).parents[2] / "docs"
some_lengths = st.lists(st.integers(0, 30), min_size=3, max_size=3)


def many(samples: int = 4000) -> dict[str, Extent]:
    return {m: Extent(np.full(samples, 3)) for m in ALL}


def conditions(protocol: str, modalities: tuple[str, ...] = ALL) -> dict[str, Condition]:
    return {condition.name: condition for condition in PROTOCOLS[protocol].conditions(modalities, SCALE)}


def shown(drawn: Masks, m: str, sample: int, length: int) -> str:
    """A sample's steps, `#` where shown and `.` where hidden."""
    return "".join(".#"[int(keep)] for keep in drawn[m].keep[sample, :length])


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol_pictures", DOCS / "results" / "protocol_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestEveryProtocol(ProtocolContract):
    @pytest.fixture(params=PROTOCOLS)
    def protocol(self, request: pytest.FixtureRequest) -> Protocol:
        return PROTOCOLS[request.param]


class TestRegistered:
    def test_the_registry(self) -> None:
        assert {name: protocol.letter for name, protocol in PROTOCOLS.items()} == {
            "complete": "0", "auilc": "A", "mean": "B", "modality-rate": "C1", "combinations": "C2", "blocks": "D",
        }  # fmt: skip
        assert all(name == protocol.name for name, protocol in PROTOCOLS.items())

    def test_how_many_conditions(self) -> None:
        for modalities, counts in {ALL: (1, 11, 10, 7, 7, 35), ALL[:2]: (1, 11, 10, 7, 3, 26)}.items():
            assert tuple(len(conditions(name, modalities)) for name in PROTOCOLS) == counts

    def test_importing_them_needs_no_torch(self) -> None:
        code = "import sys, mitr.missing.protocols; print('torch' in sys.modules)"
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LONGEST
        ).stdout
        assert said.strip() == "False"


class TestRates:
    @pytest.mark.parametrize(
        ("name", "scale", "last"),
        [
            ("complete", SCALE, 0),
            ("auilc", SCALE, 10),
            ("auilc", Scale.of((-1, 1)), 5),
            ("auilc", Scale.of((0, 3)), 10),
            ("mean", SCALE, 9),
        ],
    )
    def test_their_range(self, name: str, scale: Scale, last: int) -> None:
        found = PROTOCOLS[name].conditions(ALL, scale)
        assert [condition.level for condition in found] == [i / 10 for i in range(last + 1)]
        assert [condition.name for condition in found] == [f"rate={i / 10}" for i in range(last + 1)]
        assert {condition.axis for condition in found} == {"rate"}

    @pytest.mark.parametrize("name", ["auilc", "mean"])
    def test_the_masks_are_the_published_ones(self, name: str) -> None:
        made, drawn = extents(), conditions(name)["rate=0.4"].masks(extents())
        for m, steps, seed in (("text", 50, 111), ("audio", 20, 1111), ("vision", 8, 11111)):
            expected = masks.published(made[m].lengths, steps, 0.4, seed, special_tokens=m == "text")
            np.testing.assert_array_equal(drawn[m].keep, expected.keep)

    def test_other_seeds(self) -> None:
        (condition,) = at_rates([0.25], (1, 2, 3))
        expected = masks.published(extents()["audio"].lengths, 20, 0.25, 2)
        np.testing.assert_array_equal(condition.masks(extents())["audio"].keep, expected.keep)


class TestChosenRates:
    def test_they_are_the_published_masks_in_rising_order(self) -> None:
        protocol = at_chosen_rates([0.5, 0, 1])
        assert protocol.conditions(ALL, SCALE) == at_rates([0.0, 0.5, 1.0])
        assert protocol_named("rates", (1.0, 0.0, 0.5)) == protocol

    def test_other_rates_have_another_name_in_files(self) -> None:
        names = {at_chosen_rates(rates).file_name for rates in ([0.1], [0.2], [0.1, 0.2])}
        assert len(names) == 3
        assert all(re.fullmatch("rates-[0-9a-f]{8}", name) for name in names)
        assert PROTOCOLS["auilc"].file_name == "auilc"

    @pytest.mark.parametrize(
        ("rates", "message"), [([], "at least one"), ([0.3, 0.3], "different"), ([1.5], "must lie in"), (None, "needs")]
    )
    def test_what_is_refused(self, rates: list[float] | None, message: str) -> None:
        with pytest.raises(MitrError, match=message):
            protocol_named("rates", rates)

    def test_an_unknown_name_is_told_the_known_ones(self) -> None:
        with pytest.raises(MitrError, match=r"no protocol 'other'; the protocols are complete, auilc.*blocks, rates"):
            protocol_named("other")

    def test_one_of_another_module_bears_the_name_that_was_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(schedules, "OURS", PROTOCOLS["blocks"], raising=False)
        protocol = protocol_named("mitr.missing.schedules:OURS")
        assert protocol.name == "mitr.missing.schedules:OURS"
        assert protocol.file_name == "mitr.missing.schedules-OURS"
        assert described(protocol.name) == described("blocks")
        with pytest.raises(MitrError, match=r"must be a mitr\.missing\.protocols\.Protocol, not <function at_rate"):
            protocol_named("mitr.missing.schedules:at_rate")


class TestModalityRates:
    @pytest.mark.parametrize("rate", [0.1, 0.4, 0.7])
    def test_modalities_go_whole_at_the_rate_but_for_the_one_that_is_kept(self, rate: float) -> None:
        drawn = conditions("modality-rate")[f"modality-rate={rate}"].masks(many())
        absent = np.stack([drawn[m].absent for m in ALL], axis=1)
        assert absent.mean() == pytest.approx(rate - rate**3 / 3, abs=0.015)  # one of three comes back
        assert not absent.all(axis=1).any()
        assert all((drawn[m].keep == ~drawn[m].absent[:, None]).all() for m in ALL)

    def test_what_is_kept_is_something_that_the_sample_has(self) -> None:
        made = many(500)
        made["text"].lengths[:] = 0
        made["audio"].lengths[:250] = 0
        drawn = conditions("modality-rate")["modality-rate=0.7"].masks(made)
        assert not drawn["vision"].absent[:250].any()
        assert not drawn["text"].absent.any()
        assert drawn["vision"].absent[250:].any()
        assert not (drawn["vision"].absent & drawn["audio"].absent).any()

    def test_the_same_samples_lose_more_as_the_rate_grows(self) -> None:
        low, high = (conditions("modality-rate")[f"modality-rate={rate}"].masks(many(500)) for rate in (0.2, 0.5))
        lost = [np.stack([drawn[m].absent for m in ALL]).sum(axis=0) for drawn in (low, high)]
        assert (lost[0] <= lost[1]).all()
        assert (lost[0] < lost[1]).any()


class TestCombinations:
    @pytest.mark.parametrize("modalities", [ALL, ("text", "vision")])
    def test_every_non_empty_set_once(self, modalities: tuple[str, ...]) -> None:
        expected = {
            f"available={'+'.join(subset)}"
            for size in range(1, len(modalities) + 1)
            for subset in combinations(modalities, size)
        }
        assert set(conditions("combinations", modalities)) == expected

    def test_the_others_are_absent_from_every_sample(self) -> None:
        drawn = conditions("combinations")["available=text+vision"].masks(extents())
        assert {m: mask.absent.tolist() for m, mask in drawn.items()} == {
            "text": [False] * 3,
            "audio": [True] * 3,
            "vision": [False] * 3,
        }
        np.testing.assert_array_equal(drawn["text"].keep, masks.inside(extents()["text"].lengths, 50))


class TestBlocks:
    @pytest.mark.parametrize(
        ("name", "text", "audio", "vision"),
        [
            # text: four tokens between [CLS] and [SEP]
            ("block start all=0.5", "#..###", ".....#####", "..##"),
            ("block middle all=0.5", "##..##", "##.....###", "#..#"),
            ("block end all=0.5", "###..#", "#####.....", "##.."),
            ("block start text=0.5", "#..###", "##########", "####"),
            ("block end vision=0.5", "######", "##########", "##.."),
        ],
    )
    def test_gaps_by_hand(self, name: str, text: str, audio: str, vision: str) -> None:
        drawn = conditions("blocks")[name].masks(extents())
        assert [shown(drawn, m, 0, len(steps)) for m, steps in zip(ALL, (text, audio, vision), strict=True)] == [
            text,
            audio,
            vision,
        ]

    def test_a_single_step_is_all_or_nothing(self) -> None:
        keeps = [
            conditions("blocks")[f"block random audio={rate}"].masks(extents())["audio"].keep[2, 0]
            for rate in (0.1, 0.3, 0.5, 0.7, 0.9)
        ]
        assert keeps == [True, True, False, False, False]

    @given(lengths=st.tuples(some_lengths, some_lengths, some_lengths), rate=st.floats(0, 1), special=st.booleans())
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_a_gap_in_all_lies_at_one_relative_place(
        self, lengths: tuple[list[int], ...], rate: float, special: bool
    ) -> None:
        made = {
            m: Extent(np.array(steps), None, special and m == "text") for m, steps in zip(ALL, lengths, strict=True)
        }
        drawn = schedules.with_gap(made, rate)
        for sample in range(3):
            lowest, highest = 0.0, 1.0
            for m, extent in made.items():
                length = int(extent.lengths[sample])
                keep = drawn[m].keep[sample, :length]
                if extent.special_tokens:
                    assert keep[[0, -1]].all() if length else not keep.any()
                    length, keep = max(length - 2, 0), keep[1:-1]
                hidden = np.flatnonzero(~keep)
                assert len(hidden) == int(rate * length + 0.5)
                if len(hidden):
                    room = length - len(hidden) + 1
                    assert hidden[-1] - hidden[0] + 1 == len(hidden)
                    lowest, highest = max(lowest, hidden[0] / room), min(highest, (hidden[0] + 1) / room)
            assert lowest < highest  # one number in [0, 1) explains where all of them begin

    def test_a_gap_in_one_leaves_the_others_alone_and_lies_elsewhere_in_each(self) -> None:
        made = {m: Extent(np.full(50, 40)) for m in ALL}
        alone = {m: schedules.with_gap(made, 0.5, modality=m) for m in ALL}
        for m, drawn in alone.items():
            assert (drawn[m].keep.sum(axis=1) == 20).all()
            assert all(drawn[other].keep.all() for other in ALL if other != m)
        assert (alone["text"]["text"].keep != alone["audio"]["audio"].keep).any()

    def test_unequal_rates_rotate(self) -> None:
        unequal = {name: c for name, c in conditions("blocks").items() if c.axis == "unequal"}
        assert list(unequal) == [f"unequal {m}=0.8 others=0.2" for m in ALL]
        for most, condition in zip(ALL, unequal.values(), strict=True):
            drawn = condition.masks(extents())
            for m, steps, seed in zip(ALL, (50, 20, 8), PUBLISHED_SEEDS, strict=True):
                rate = 0.8 if m == most else 0.2
                expected = masks.published(extents()[m].lengths, steps, rate, seed, special_tokens=m == "text")
                np.testing.assert_array_equal(drawn[m].keep, expected.keep)

    def test_one_modality_alone_has_gaps_and_nothing_to_be_unequal_with(self) -> None:
        assert {c.axis for c in conditions("blocks", ("audio",)).values()} == {"block-audio", "block-position"}


class TestTraining:
    def test_protocols_that_can_share_a_model_do(self) -> None:
        base = MissingConfig(max_rate=0.7, block_share=0.3, seeds=(1, 2, 3))
        of = {name: protocol.training(base) for name, protocol in PROTOCOLS.items()}
        assert of["complete"] == of["auilc"] == of["blocks"] == base
        assert of["modality-rate"] == of["combinations"]
        assert len({str(config) for config in of.values()}) == 3
        assert all(config.seeds == (1, 2, 3) for config in of.values())

    def test_mean_leaves_half_complete_and_is_selected_at_one_rate(self) -> None:
        config = PROTOCOLS["mean"].training(MissingConfig("fixed", 0.1))
        assert (config.schedule, config.complete_share, config.max_rate, config.modality_rate) == (
            "random-rate", 0.5, 1.0, 0.0,
        )  # fmt: skip
        assert list(schedules.for_validation(config, extents())) == ["0.5"]

    def test_whole_modalities_and_nothing_else(self) -> None:
        config = PROTOCOLS["combinations"].training(MissingConfig(rate_text=0.9, block_share=1.0))
        drawn = schedules.for_epoch(config, many(), 1, 0)
        assert all((drawn[m].keep == ~drawn[m].absent[:, None]).all() for m in ALL)
        patterns, counts = np.unique(np.stack([drawn[m].absent for m in ALL]), axis=1, return_counts=True)
        assert patterns.shape[1] == 7
        assert counts.min() / 4000 == pytest.approx(1 / 8, abs=0.02)
        assert counts.max() / 4000 == pytest.approx(1 / 8 + 1 / 24, abs=0.02)
        assert list(schedules.for_validation(config, many(2))) == ["+".join(s) for s in schedules.subsets(ALL)]


class TestProblems:
    def store(self, folder: Path, steps: dict[str, int], kinds: dict[str, Modality], text: str = "") -> Dataset:
        samples = []
        for i, split in enumerate(("train", "valid", "test", "test")):
            features = {m: np.ones((n, 2), np.float32) for m, n in steps.items() if n}
            samples.append(Sample(f"s{i}", split, 0.0, text, features))
        write_store(folder, samples, DatasetInfo("x", SCALE.ends, kinds, Source("x", "test")))
        return Dataset(folder)

    def test_a_whole_set_serves_all(self, small: Dataset, small_text: Dataset) -> None:
        for protocol in PROTOCOLS.values():
            assert protocol.problems(small) == []
            assert protocol.problems(small_text, "valid") == []

    @pytest.mark.parametrize("name", ["modality-rate", "combinations"])
    def test_whole_modalities_need_two(self, tmp_path: Path, name: str) -> None:
        kinds = {"audio": Modality("features", 2), "vision": Modality("features", 2)}
        (problem,) = PROTOCOLS[name].problems(self.store(tmp_path, {"audio": 5, "vision": 0}, kinds))
        assert "needs 2 with content in the test split, which has audio" in problem
        assert PROTOCOLS["blocks"].problems(Dataset(tmp_path)) == []

    @pytest.mark.parametrize(("text", "problems"), [("  ", 1), ("fine", 0)])
    def test_raw_text_counts_if_there_is_any(self, tmp_path: Path, text: str, problems: int) -> None:
        kinds = {"text": Modality("raw", special_tokens=True), "audio": Modality("features", 2)}
        data = self.store(tmp_path, {"audio": 1}, kinds, text)
        assert len(PROTOCOLS["combinations"].problems(data)) == problems

    def test_special_tokens_are_no_content(self, tmp_path: Path) -> None:
        kinds = {"text": Modality("embeddings", 2, special_tokens=True), "audio": Modality("features", 2)}
        data = self.store(tmp_path, {"audio": 3, "text": 2}, kinds)
        assert len(PROTOCOLS["combinations"].problems(data)) == 1

    def test_gaps_need_sequences(self, tmp_path: Path) -> None:
        kinds = {"audio": Modality("features", 2), "vision": Modality("features", 2)}
        (problem,) = PROTOCOLS["blocks"].problems(self.store(tmp_path, {"audio": 1, "vision": 1}, kinds))
        assert "no sample of the test split has 2 steps" in problem
        assert PROTOCOLS["combinations"].problems(Dataset(tmp_path)) == []


class TestThePage:
    def test_its_tables_are_rendered_from_the_registry(self, render: ModuleType) -> None:
        page = (DOCS / "protocols.md").read_text(encoding="utf-8")
        assert page == render.filled(page), "run `python docs/results/protocol_pictures.py`"
        for name in PROTOCOLS:
            assert all(f"`{condition}`" in page for condition in conditions(name, MODALITIES)), name

    def test_every_protocol_has_its_picture(self, render: ModuleType) -> None:
        assert set(render.SHOWN) == set(PROTOCOLS) - {"complete"}  # which hides nothing
        for name in render.SHOWN:
            protocol = PROTOCOLS[name]
            file = DOCS / "images" / f"protocol_{name.replace('-', '_')}.png"
            assert 5_000 < file.stat().st_size < 60_000
            assert f"images/{file.name}" in (DOCS / "protocols.md").read_text(encoding="utf-8")
            assert len(render.picture(protocol, render.SHOWN[name]).axes) == 3 * (1 + len(render.SHOWN[name]))

    def test_the_states_of_a_picture(self, render: ModuleType) -> None:
        drawn = conditions("combinations")["available=audio"].masks(render.EXTENTS)
        states = render.states(drawn)
        lengths = render.EXTENTS["text"].lengths
        assert (states["text"] == np.where(np.arange(12) < lengths[:, None], 2, 3)).all()
        assert set(states["audio"].ravel()) == {0, 3}

    def test_the_words_name_every_option_that_training_sets(self, render: ModuleType) -> None:
        changed = MissingConfig("fresh", rate=0.25, modality_rate=0.5)
        assert render.options(changed) == "`schedule fresh`<br>`rate 0.25`<br>`modality_rate 0.5`"
        assert "validate" in {f.name for f in fields(MissingConfig)}
        assert render.options(MissingConfig(validate="blocks")) == "the options of the run"
