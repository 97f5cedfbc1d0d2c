"""Every model has options of its own, with a sentence, limits and a source; those of other models are refused."""

from dataclasses import asdict, fields

import pytest

from mitr.errors import MitrError
from mitr.models.options import (
    LOSS,
    ModelOptions,
    TeacherOptions,
    allowed,
    choice,
    hints,
    kernel,
    sentences,
    size,
    source_of,
)
from mitr.models.registry import MODELS, model_class
from mitr.runs.config import ModelConfig, RunConfig

FORMER_MODEL = {
    "reversal": "channel",
    "causal": True,
    "skip_zero_positions": False,
    "dropout_text": 0.25,
    "dropout_audio": 0.2,
    "dropout_vision": 0.0,
    "dropout_embedding": 0.2,
    "dropout_head": 0.45,
    "teacher": "separate",
    "fusion": "mean",
}
FORMER_LOSS = {
    "task_student": 0.9,
    "task_teacher": 0.8,
    "simsiam": 0.7,
    "reconstruction": 0.6,
    "distill_fused": 0.5,
    "distill_unimodal": 0.4,
    "invariance": 0.2,
    "unimodal": 0.1,
}
NAMES = list(MODELS.places)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_sentence_limits_and_a_source(name: str) -> None:
    kind = model_class(name).options_class
    for option in fields(kind):
        assert len(sentences(kind)[option.name].split()) > 1, option.name
        assert allowed(option, hints(kind)[option.name]), option.name
        assert len(source_of(option, kind).split()) > 1, option.name
        assert "limits" in option.metadata, f"{option.name} is not declared by size, dropout_rate, weight or choice"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_class_declares_fits_its_options(name: str) -> None:
    model = model_class(name)
    assert model.learns_unimodal == ("loss_unimodal" in hints(model.options_class))


@pytest.mark.parametrize("name", NAMES)
def test_options_survive_a_round_trip_through_json(name: str) -> None:
    given = ModelConfig(name)
    sections = given.to_json()
    assert ModelConfig.from_json(sections["model"], sections["loss"]) == given
    assert not [option for option in sections["model"] if option.startswith(LOSS)]
    assert len(sections["model"]) + len(sections["loss"]) == 1 + len(asdict(given.options))


def test_a_changed_option_survives_too() -> None:
    given = ModelConfig.of("tfr-net", released=(39, 400, 55), loss_reconstruction_audio=7)
    plain = {name: dict(section) for name, section in given.to_json().items()}
    plain["model"]["released"] = list(plain["model"]["released"])  # JSON has no tuples
    assert ModelConfig.from_json(plain["model"], plain["loss"]) == given
    assert isinstance(given.options.loss_reconstruction_audio, float)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mult", {"reversal": "channel"}, r"the model mult has no option model\.reversal"),
        (
            "mult",
            {"drop_head": 0.1},
            r"model\.drop_head; the closest that it has is model\.dropout_head\. Its",
        ),
        ("mult", {"loss_simsiam": 7.0}, r"no option loss\.simsiam"),
        ("lmf", {"teacher": "separate"}, r"no option model\.teacher"),
        ("ridge", {"width": 3}, "the model ridge has no option model.width; it has no options"),
        ("emt-dlfr", {"loss_simsia": 7.0}, r"the closest that it has is loss\.simsiam"),
        ("mult", {"width": "wide"}, "model.width is 'wide'; it must be a whole number"),
        ("mult", {"width": True}, "model.width is True; it must be a whole number"),
        ("mult", {"width": 2.5}, "model.width is 2.5; it must be a whole number"),
        ("mitr-dnet", {"reversal": "up"}, "model.reversal is 'up'; it must be one of time, channel"),
        ("tfr-net", {"released": [1, 2]}, "model.released is .*; it must be 3 numbers in brackets or null"),
        ("mult", {"dropout_head": float("nan")}, "model.dropout_head is nan; it must be finite"),
        ("mult", {"loss_task_student": float("inf")}, "loss.task_student is inf; it must be finite"),
        ("misa", {"diff": 0.5}, r"no option model\.diff; the closest that it has is loss\.diff"),
        ("nope", {}, "there is no model 'nope'"),
        ("mult2", {}, r"there is no model 'mult2' \(did you mean mult\?\)"),
    ],
)
def test_what_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(MitrError, match=message):
        ModelConfig.of(name, **options)


def test_options_of_another_model_are_refused() -> None:
    with pytest.raises(MitrError, match="the model mult takes MultOptions, not ModelOptions"):
        ModelConfig("mult", ModelOptions())


def test_weights_of_loss_terms_have_a_section_of_their_own() -> None:
    with pytest.raises(MitrError, match=r"model\.loss_simsiam: weights of loss terms belong to the section loss"):
        RunConfig.from_json({"model": {"loss_simsiam": 2.0}})


def test_limits() -> None:
    assert str(size(3).metadata["limits"]) == "at least 1"
    assert str(kernel(3).metadata["limits"]) == "odd, at least 1"
    assert not str(choice(True).metadata["limits"])
    assert kernel(3).metadata["limits"].problem(4) == "it must be odd"
    assert kernel(3).metadata["limits"].problem(0) == "it must be at least 1"
    assert kernel(3).metadata["limits"].problem(5) is None


class TestTheFormerLayout:
    """Earlier versions wrote MITR-DNet's options for every model, and the others' under `options`."""

    def read(self, name: str, **options: object) -> dict[str, object]:
        section = {"name": name, **FORMER_MODEL, "options": options}
        return asdict(RunConfig.from_json({"model": section, "loss": FORMER_LOSS}, recorded=True).model.options)

    def test_of_mitr_dnet(self) -> None:
        assert self.read("mitr-dnet") == FORMER_MODEL | {f"loss_{term}": value for term, value in FORMER_LOSS.items()}

    def test_of_a_rival_only_its_own_options_count(self) -> None:
        read = self.read("mult", width=20, heads=5)
        assert read == asdict(ModelConfig.of("mult", width=20, heads=5, loss_task_student=0.9).options)
        assert read["dropout_head"] == 0.1  # not MITR-DNet's

    def test_names_that_have_changed(self) -> None:
        assert self.read("misa", diff=0.3, sim=0.8)["loss_diff"] == 0.3
        assert self.read("mitr-dnet-plus", distill=2.0)["loss_distill"] == 2.0
        read = self.read("tfr-net", reconstruction_audio=3.0)
        assert (read["loss_reconstruction"], read["loss_reconstruction_audio"]) == (0.6, 3.0)

    def test_a_separate_teacher_stays_where_the_model_takes_one(self) -> None:
        assert self.read("emt-dlfr")["teacher"] == "separate"
        assert issubclass(model_class("emt-dlfr").options_class, TeacherOptions)
        assert "teacher" not in self.read("self-mm")

    def test_what_a_user_writes_is_never_read_so(self) -> None:
        for section in ({"name": "lmf", "options": {"rank": 2}}, {"options": {}, "reversal": "channel"}):
            with pytest.raises(MitrError, match=r"model\.options is no option; write a model's options beside"):
                RunConfig.from_json({"model": section})

    def test_an_unknown_option_is_refused_there_too(self) -> None:
        with pytest.raises(MitrError, match=r"no option model\.wings"):
            self.read("mult", wings=2)
