"""`run.json`: what is written is read again, and what is missing or wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from mitr.data.schema import Modality
from mitr.errors import MitrError
from mitr.runs.config import RunConfig
from mitr.runs.info import (
    DataInfo,
    GitState,
    NetworkInfo,
    Outcome,
    RunInfo,
    TextEncoderInfo,
    read_run_info,
    write_run_info,
)

NETWORK = NetworkInfo(
    model="mitr-dnet",
    modalities={"text": Modality("raw"), "audio": Modality("features", 3, extractor={"name": "loudness"})},
    special_tokens=True,
    prior=0.25,
    label_range=(-3.0, 3.0),
    text=TextEncoderInfo("minilm", 30522, 384, "ab"),
)
INFO = RunInfo(
    config=RunConfig(),
    network=NETWORK,
    data=DataInfo("/data", "mosi", "cd", "mosi.pkl", None, False),
    selection="best mae",
    parameters=12,
    versions={"mitr": "0.1.0"},
    git=GitState("0a1b", True),
    command="mitr train",
)
KEYS = ["config", "network", "data", "selection", "parameters", "versions", "git", "command", "finished"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for info in (INFO, INFO.ended(Outcome(5, 3, 0.75))):
        write_run_info(tmp_path, info)
        assert read_run_info(tmp_path) == info
    written = json.loads((tmp_path / "run.json").read_text())
    assert list(written) == [*KEYS, "epochs", "best_epoch", "best"]
    assert written["network"]["modalities"]["text"] == {"kind": "raw", "dim": None}
    assert written["network"]["label_range"] == [-3.0, 3.0]
    assert (written["finished"], written["best"]) == (True, 0.75)


def test_an_unfinished_run_has_no_outcome(tmp_path: Path) -> None:
    assert list(INFO.to_json()) == KEYS
    assert not INFO.finished
    assert INFO.ended(Outcome(5, 3, 0.75)).finished


def test_classes_and_their_prior_are_read_as_such() -> None:
    value = json.loads(json.dumps(NETWORK.to_json() | {"classes": ["a", "b"], "prior": [-0.7, -0.7]}))
    network = NetworkInfo.from_json(value, "run.json")
    assert network.classes == ("a", "b")
    assert network.prior == [-0.7, -0.7]


def test_a_run_from_before_classes_and_encoders_opens() -> None:
    value = {name: entry for name, entry in NETWORK.to_json().items() if name not in ("classes", "text")}
    network = NetworkInfo.from_json(value | {"epoch": 3}, "model.safetensors")
    assert network.classes is None
    assert network.text is None


def without(name: str) -> dict[str, Any]:
    return {key: entry for key, entry in INFO.to_json().items() if key != name}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "it is no JSON object"),
        ({}, "it has no entry 'config'"),
        (without("versions"), "it has no entry 'versions'"),
        (INFO.to_json() | {"parameters": "many"}, "its entry 'parameters' is 'many'"),
        (INFO.to_json() | {"data": {"name": "mosi"}}, "its entry 'data' is not of the expected form"),
        (INFO.to_json() | {"finished": True}, "it has no entry 'epochs'"),
        (INFO.to_json() | {"network": {"model": "x"}}, "it has no entry 'modalities'"),
        (INFO.to_json() | {"network": NETWORK.to_json() | {"prior": "high"}}, "its entry 'prior' is not of the"),
        (INFO.to_json() | {"network": NETWORK.to_json() | {"label_range": [1]}}, "its entry 'label_range' is not of"),
    ],
)
def test_what_is_wrong_is_named(value: object, reason: str) -> None:
    with pytest.raises(MitrError, match=rf"^here.* does not describe a run of this version: {reason}"):
        RunInfo.from_json(value, "here")


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"is not a mitr run \(it has no run.json\)"):
        read_run_info(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(MitrError, match=r"run.json does not describe a run"):
        read_run_info(tmp_path)
