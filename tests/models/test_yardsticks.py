"""The mean and the ridge, against what they are by definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from mitr.api import train
from mitr.config import TrainConfig
from mitr.data.store import Dataset
from mitr.models.registry import build_model
from mitr.models.yardsticks import PENALTIES, Ridge
from mitr.nn.masked import masked_mean
from mitr.runs.config import ModelConfig, RunConfig
from mitr.testing.views import DIMS, LENGTHS, make_view, pad, targets


def ridge() -> Ridge:
    model = build_model("ridge", DIMS)
    assert isinstance(model, Ridge)
    return model


def test_candidates_are_those_of_scikit_learn_on_standardised_features() -> None:
    draw = np.random.default_rng(0)
    features, labels = draw.normal(3, 2, (40, 6)), draw.normal(size=40)
    features[:, 2] = 5.0  # a constant column says nothing
    scaler = StandardScaler().fit(features)
    for penalty, (weight, bias) in zip(PENALTIES, ridge().solutions(features, labels), strict=True):
        theirs = SklearnRidge(penalty).fit(scaler.transform(features), labels).predict(scaler.transform(features))
        np.testing.assert_allclose(features @ weight + bias, theirs, rtol=1e-8, atol=1e-8)


def test_features_are_averages_over_the_valid_steps_in_the_order_of_the_modalities() -> None:
    view = make_view(LENGTHS)
    features = ridge().features(pad(view, 3, 1e6))
    assert features.shape == (5, sum(DIMS.values()))
    torch.testing.assert_close(features[:, : DIMS["text"]], masked_mean(view["text"].values, view["text"].valid))
    assert not features[2, : DIMS["text"]].any()  # this sample has no text


def test_answer_and_loss() -> None:
    model = ridge()
    model.weight[0], model.bias = 2.0, torch.tensor(0.5)
    view = make_view(LENGTHS)
    prediction, terms = model.losses(view, view, targets(torch.tensor([1.0, torch.nan, 0.5, 0.0, 0.0])))
    torch.testing.assert_close(prediction, 2 * model.features(view)[:, 0] + 0.5)
    errors = (prediction - torch.tensor([1.0, 0.0, 0.5, 0.0, 0.0])).abs()[[0, 2, 3, 4]]
    torch.testing.assert_close(terms["task_student"], errors.mean())


@pytest.mark.parametrize("name", ["mean", "ridge"])
def test_they_are_runs_like_any_other(small: Dataset, tmp_path: Path, name: str) -> None:
    data = small
    config = RunConfig(ModelConfig(name=name), train=TrainConfig(device="cpu", threads=1))
    run = train(data, tmp_path / "run", config, quiet=True)
    assert run.finished
    network = run.load_network()
    examples = run.examples(data, "test", network)
    batch = examples.collate([examples[i] for i in range(len(examples))])
    answers = network(batch.view).prediction
    known = data.labels[data.indices("train")]
    if name == "mean":
        assert run.info.parameters == 1
        torch.testing.assert_close(answers, torch.full_like(answers, float(known[np.isfinite(known)].mean())))
    else:
        assert answers.std() > 0.1
        again = train(data, tmp_path / "again", config, quiet=True)
        assert torch.equal(again.load_network()(batch.view).prediction, answers)
        assert again.info.outcome.best == run.info.outcome.best
