"""Small made data sets and options that many tests share."""

from pathlib import Path
from typing import Any

import pytest

from mitr.config import MissingConfig, NormalizeConfig, TextConfig, TrainConfig
from mitr.data.store import Dataset
from mitr.data.synth import synthesise
from mitr.runs.config import ModelConfig, RunConfig
from mitr.text.encoder import TextEncoder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A synthetic set that trains in seconds."""
    return synthesise(tmp_path_factory.mktemp("made") / "small", train=64, valid=24, test=24)


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same with raw text, for the text encoder."""
    return synthesise(tmp_path_factory.mktemp("made") / "text", train=24, valid=12, test=12, text="raw")


@pytest.fixture(scope="session")
def emotions(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four classes, and each modality with a class of its own."""
    folder = tmp_path_factory.mktemp("made") / "emotions"
    return synthesise(folder, train=64, valid=24, test=24, task="classification", own_labels=True)


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    """The English encoder that works without network, frozen."""
    return TextEncoder(TextConfig(finetune=False)).eval()


def options(
    epochs: int = 2, *, missing: MissingConfig | None = None, finetune: bool = False, **train: Any
) -> RunConfig:
    """Options for a quick run on one thread, so that numbers do not depend on the machine's load."""
    return RunConfig(
        model=ModelConfig(),
        text=TextConfig(finetune=finetune),
        missing=missing or MissingConfig(validation_rates=(0.0, 0.5)),
        normalize=NormalizeConfig(),
        train=TrainConfig(**({"max_epochs": epochs, "batch_size": 16, "threads": 1, "device": "cpu"} | train)),
    )


def run_files(folder: Path) -> set[str]:
    """The names of the files in a run folder, without TensorBoard's."""
    return {path.name for path in folder.iterdir() if path.is_file()}
