"""A plan names every run once, and every fault at once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from made import options
from mitr.bench.plan import Plan, entries_of, make_plan, read_variants
from mitr.config import MissingConfig, TextConfig, TrainConfig
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.errors import MitrError
from mitr.runs.config import RunConfig


def plan_of(data: Dataset, models: str = "mitr-dnet ridge", protocols: str = "auilc mean", **more: object) -> Plan:
    return make_plan([data], entries_of(models.split(), options()), protocols.split(), (0, 1), **more)


def test_one_run_per_model_seed_and_way_of_training(small: Dataset) -> None:
    plan = plan_of(small)
    assert len(plan.jobs) == 2 * 2 * 2
    assert len({job.key for job in plan.jobs}) == 8
    for job in plan.jobs:
        assert job.config.train.seed == job.seed
        assert job.config.model.name == job.entry
        (check,) = job.checks
        assert job.config.missing == check.protocol.training(options().missing)


def test_protocols_that_train_alike_share_their_runs(small: Dataset) -> None:
    plan = plan_of(small, protocols="modality-rate combinations")
    assert len(plan.jobs) == 2 * 2
    assert all([check.protocol.name for check in job.checks] == ["modality-rate", "combinations"] for job in plan.jobs)


def test_per_rate_trains_at_each_rate_of_auilc(small: Dataset) -> None:
    plan = plan_of(small, "ridge", "auilc", per_rate=True)
    assert len(plan.jobs) == 2 * 11
    first = [job for job in plan.jobs if job.seed == 0]
    assert [job.config.missing.rate for job in first] == [i / 10 for i in range(11)]
    assert {job.config.missing.schedule for job in first} == {"fixed"}
    assert [job.checks[0].conditions for job in first] == [(f"rate={i / 10}",) for i in range(11)]


def test_runs_that_see_the_same_masks_stand_together(small: Dataset) -> None:
    order = [(job.seed, job.checks[0].protocol.name) for job in plan_of(small).jobs]
    assert order == [(0, "auilc")] * 2 + [(0, "mean")] * 2 + [(1, "auilc")] * 2 + [(1, "mean")] * 2


def test_a_key_stands_for_what_the_numbers_depend_on(small: Dataset, tmp_path: Path) -> None:
    def keys(config: RunConfig, data: Dataset = small) -> list[str]:
        return [job.key for job in make_plan([data], entries_of(["ridge"], config), ["mean"], [0]).jobs]

    base = options()
    assert keys(replace(base, train=replace(base.train, threads=7))) == keys(base)
    assert keys(replace(base, text=replace(base.text, memory_mb=7))) == keys(base)
    assert keys(replace(base, train=replace(base.train, lr=0.5))) != keys(base)
    assert keys(base, synthesise(tmp_path / "other", train=40, valid=12, test=12)) != keys(base)


def test_every_fault_is_named_before_anything_runs(small: Dataset) -> None:
    with pytest.raises(MitrError, match="- there is no model 'nope'") as caught:
        entries_of(["mitr-dnet", "nope"], RunConfig(), {"odd": {"model": {"name": "mitr-dnet-plus", "wings": 2}}})
    assert "variant 'odd': the model mitr-dnet-plus has no option model.wings" in str(caught.value)
    entries = entries_of(["mitr-dnet"], RunConfig())
    with pytest.raises(MitrError) as caught:
        make_plan([small, small], entries, ["mean", "fair", "mean"], [1, 1, -1], per_rate=True)
    message = str(caught.value)
    for part in ("'fair'", "protocol mean is named", "seed 1 is named", "seed -1", "--per-rate"):
        assert part in message, part
    assert "two data sets are called" in message
    assert message.count("\n- ") >= 6


def test_nothing_asked_for_is_a_fault(small: Dataset) -> None:
    with pytest.raises(MitrError, match=r"no model[\s\S]*no protocol[\s\S]*no seed[\s\S]*no data set"):
        make_plan([], {}, [], [])


class TestEntries:
    def test_models_and_variants(self) -> None:
        base = RunConfig(train=TrainConfig(lr=0.25))
        entries = entries_of(
            ["ridge"], base, {"no distillation": {"loss": {"distill_fused": 0.0}, "model": {"name": "mitr-dnet"}}}
        )
        assert list(entries) == ["ridge", "no distillation"]
        assert entries["ridge"].model.name == "ridge"
        assert entries["no distillation"].model.options.loss_distill_fused == 0.0
        assert entries["no distillation"].train.lr == 0.25

    @pytest.mark.parametrize(
        ("variants", "match"),
        [
            ({"ridge": {"loss": {}}}, "name of a model"),
            ({"x": 3}, "sections of options"),
            ({"x": {"loss": 3}}, "sections of options"),
            ({"x": {"loss": {"wings": 3}}}, r"variant 'x'.*wings"),
            ({"x": {"wings": {"a": 3}}}, r"variant 'x'.*wings"),
            ({"x": {"train": {"lr": -1}}}, r"train\.lr"),
        ],
    )
    def test_faulty_variants(self, variants: dict, match: str) -> None:
        with pytest.raises(MitrError, match=match):
            entries_of(["ridge"], RunConfig(), variants)

    def test_a_model_named_twice(self) -> None:
        with pytest.raises(MitrError, match="ridge is named more than once"):
            entries_of(["ridge", "mean", "ridge"], RunConfig())

    def test_variants_come_from_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "v.yaml"
        path.write_text("skipping: {text: {hidden: skip}}\n")
        assert entries_of([], RunConfig(), read_variants(path))["skipping"].text == TextConfig(hidden="skip")
        path.write_text("- a list")
        with pytest.raises(MitrError, match=r"v\.yaml must map names"):
            read_variants(path)
        path.write_text("a: [")
        with pytest.raises(MitrError, match=r"v\.yaml cannot be read"):
            read_variants(path)
        with pytest.raises(MitrError, match=r"none\.yaml does not exist"):
            read_variants(tmp_path / "none.yaml")


def test_folds_that_do_not_belong_together_are_refused(small: Dataset, tmp_path: Path) -> None:
    other = synthesise(tmp_path / "other", train=32, valid=12, test=12)
    path = tmp_path / "other" / "dataset.json"
    about = json.loads(path.read_text())
    about |= {"name": "synthe tic", "label_range": [-1.0, 1.0]}
    path.write_text(json.dumps(about))
    with pytest.raises(MitrError) as error:
        make_plan([small, Dataset(tmp_path / "other")], entries_of(["ridge"], RunConfig()), ["mean"], [0])
    assert "need the same label range; these have (-1.0, 1.0) and (-3.0, 3.0)" in str(error.value)
    assert other.info.modalities.keys() == small.info.modalities.keys()


def test_names_that_are_one_in_file_names_are_refused(small: Dataset) -> None:
    variants = {name: {"model": {"name": "ridge"}} for name in ("a b", "a-b", "x" * 81)}
    with pytest.raises(MitrError) as error:
        make_plan([small], entries_of([], RunConfig(), variants), ["mean"], [0])
    assert "the entries 'a b' and 'a-b' are the same in file names" in str(error.value)
    assert "more than 80 characters" in str(error.value)
    with pytest.raises(MitrError, match="the variant 1 needs a name in letters"):
        entries_of([], RunConfig(), {1: {}})  # type: ignore[dict-item]


def test_a_run_at_one_rate_is_not_an_equal_run_for_all_conditions(small: Dataset) -> None:
    config = replace(RunConfig(), missing=MissingConfig("fixed", 0.3))
    keys = [
        {job.key for job in make_plan([small], entries_of(["ridge"], config), ["auilc"], [0], each).jobs}
        for each in (False, True)
    ]
    assert not keys[0] & keys[1]


def test_classes_are_refused(emotions: Dataset) -> None:
    with pytest.raises(MitrError, match="its labels are classes; a benchmark compares models on a scale"):
        make_plan([emotions], entries_of(["ridge"], RunConfig()), ["mean"], [0])
