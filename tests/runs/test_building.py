"""Networks from options and data, and data that do not fit a network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made import options
from mitr.data.schema import Modality
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.runs.building import build_network, check_fit, network_info, parameter_count, text_options, with_text_encoder
from mitr.runs.config import ModelConfig
from mitr.training.train import train


def test_what_a_network_is_built_from(small: Dataset, emotions: Dataset) -> None:
    info = network_info(small, options())
    assert info.model == "mitr-dnet"
    assert info.modalities["audio"] == Modality("features", 12)
    assert info.prior == float(np.median(small.labels[small.indices("train")]))
    assert (info.label_range, info.classes, info.special_tokens) == ((-3.0, 3.0), None, False)
    of_classes = network_info(emotions, options())
    assert of_classes.classes == ("angry", "calm", "happy", "sad")
    assert isinstance(of_classes.prior, list)
    assert np.exp(of_classes.prior).sum() == pytest.approx(1)


def test_a_network_has_the_encoder_that_text_needs(small: Dataset, small_text: Dataset) -> None:
    config = options()
    plain = build_network(config, network_info(small, config))
    assert plain.text is None
    assert parameter_count(plain) == sum(p.numel() for p in plain.parameters())
    info = network_info(small_text, config)
    network = build_network(config, info)
    known = with_text_encoder(info, network)
    assert known.text is not None
    assert known.text.name == "minilm"
    assert build_network(config, known).text is not None
    other = replace(known, text=replace(known.text, sha256="0" * 64))
    with pytest.raises(MitrError, match=r"'minilm' at hand is not the one of the run"):
        build_network(config, other)


def test_the_model_decides_what_is_left_to_it() -> None:
    assert text_options(options(finetune=True)).hidden == "unknown"
    config = options(finetune=True)
    config.model = ModelConfig("ridge")
    assert not text_options(config).finetune


def test_data_of_another_width_do_not_fit(small: Dataset, small_text: Dataset, tmp_path: Path) -> None:
    run = train(small, tmp_path / "run", options(1), quiet=True)
    with pytest.raises(MitrError, match=r"text is raw of width None, but .* embeddings of width 32"):
        run.examples(small_text, "test", run.load_network())


def test_data_that_lack_a_modality_or_have_another_extractor(small: Dataset) -> None:
    info = network_info(small, options())
    more = replace(info, modalities=info.modalities | {"pose": Modality("features", 3)})
    with pytest.raises(MitrError, match="has no pose, which the run was trained with"):
        check_fit(more, small, "the run")
    given = {"name": "loudness", "version": 1}
    made = Modality("features", 12, extractor=given)
    data = Dataset(small.folder)
    data.info.modalities["audio"] = replace(made, extractor=given | {"version": 2})
    with pytest.raises(MitrError, match=r"audio was made by name loudness, version 2, but .* version 1"):
        check_fit(replace(info, modalities=info.modalities | {"audio": made}), data, "the run")


def test_other_classes_do_not_fit(emotions: Dataset, small: Dataset) -> None:
    info = network_info(emotions, options())
    with pytest.raises(MitrError, match=r"has labels on a scale, but the run was trained on angry, calm, happy, sad"):
        check_fit(info, small, "the run")
    before_classes = replace(info, classes=None)
    check_fit(before_classes, small, "an old run")
    with pytest.raises(MitrError, match=r"has angry, .* an old run was trained on labels on a scale"):
        check_fit(before_classes, emotions, "an old run")
