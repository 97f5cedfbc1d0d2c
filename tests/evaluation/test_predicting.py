"""The table of predictions: every sample under every condition, from exactly what the condition leaves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mitr.batches.examples import Examples
from mitr.batches.views import Steps, Targets
from mitr.data.normalize import Normalizer
from mitr.data.scale import Scale
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.evaluation.predicting import predict_at_rates, predict_under
from mitr.missing.masks import Mask
from mitr.missing.protocols import PROTOCOLS, at_rates
from mitr.models.base import Model
from mitr.models.network import Network

OBSERVED = [f"observed_{m}" for m in MODALITIES]
COLUMNS = ["id", "condition", "axis", "rate", "label", "prediction", "all_missing", *OBSERVED]


class Sum(Model):
    """Adds up what it is shown."""

    def forward(self, view: Mapping[str, Steps]) -> Tensor:
        return torch.stack([(s.values * s.valid[..., None]).sum(dim=(1, 2)) for s in view.values()]).sum(dim=0)

    def losses(
        self, complete: Mapping, incomplete: Mapping, targets: Targets, teacher: Model | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def weight_of(self, term: str) -> float:
        return 1.0


@pytest.fixture
def examples(small: Dataset) -> Examples:
    return Examples(small, small.indices("test"), Normalizer({}), None)


@pytest.fixture
def network() -> Network:
    return Network(Sum(), prior=99.0).eval()


def by_hand(examples: Examples, drawn: Mapping[str, Mask], position: int) -> dict[str, float]:
    """The sum of a sample's values that are left, and the shares of its steps that are."""
    _, example = examples[position]
    total, found = 0.0, {}
    for m, (values, available) in example.items():
        left = available & drawn[m].keep[position, : len(values)] & ~drawn[m].absent[position]
        total += float(values[left].sum())
        found[f"observed_{m}"] = left.sum() / max(len(left), 1)
    return found | {"prediction": total if any(found.values()) else 99.0}


@pytest.mark.parametrize("protocol", ["modality-rate", "combinations", "blocks"])
def test_every_sample_under_every_condition(examples: Examples, network: Network, protocol: str) -> None:
    chosen = PROTOCOLS[protocol].conditions(MODALITIES, Scale.of((-3, 3)))[:7]
    table = predict_under(network, examples, chosen, batch_size=5)
    assert list(table.columns) == COLUMNS
    assert len(table) == 7 * len(examples)
    for condition, (_, part) in zip(chosen, table.groupby("condition", sort=False), strict=True):
        assert set(part["condition"]) == {condition.name}
        assert set(part["axis"]) == {condition.axis}
        assert part["rate"].isna().all() if condition.level is None else (part["rate"] == condition.level).all()
        assert part["id"].tolist() == examples.ids
        np.testing.assert_array_equal(part["label"], examples.labels)
        drawn = condition.masks(examples.extents())
        expected = pd.DataFrame([by_hand(examples, drawn, position) for position in range(len(examples))])
        for column in ("prediction", *OBSERVED):
            np.testing.assert_allclose(part[column], expected[column], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(part["all_missing"], (expected[OBSERVED] == 0).all(axis=1))


def test_where_nothing_is_left_there_is_the_prior(small: Dataset, network: Network) -> None:
    made = Examples(small, small.indices("train"), Normalizer({}), None)
    lacking = np.flatnonzero(made.extents()["vision"].lengths == 0).tolist()
    assert lacking
    found = PROTOCOLS["combinations"].conditions(MODALITIES, Scale.of((-3, 3)))
    table = predict_under(network, made, [c for c in found if c.name == "available=vision"])
    assert np.flatnonzero(table["all_missing"]).tolist() == lacking
    assert np.flatnonzero(table["prediction"] == 99.0).tolist() == lacking
    assert (table[["observed_text", "observed_audio"]] == 0).all(axis=None)


def test_rates_are_a_protocol_among_others(examples: Examples, network: Network) -> None:
    calls: list[int] = []
    rates = predict_at_rates(network, examples, [0.0, 0.6], seeds=(1, 2, 3), batch_size=10, tick=calls.append)
    assert list(rates.columns) == ["id", "rate", "label", "prediction", "all_missing", *OBSERVED]
    assert rates["rate"].tolist() == [0.0] * 24 + [0.6] * 24
    assert sum(calls) == 2 * 24
    assert max(calls) >= 10
    general = predict_under(network, examples, at_rates([0.0, 0.6], (1, 2, 3)))
    pd.testing.assert_frame_equal(rates, general.drop(columns=["condition", "axis"]))
    assert general["condition"].unique().tolist() == ["rate=0.0", "rate=0.6"]
    published = predict_at_rates(network, examples, [0.6])
    assert (published["prediction"] != rates["prediction"].iloc[24:].reset_index(drop=True)).any()


def test_classes_have_their_probabilities(emotions: Dataset) -> None:
    class Logits(Sum):
        def forward(self, view: Mapping[str, Steps]) -> Tensor:
            return super().forward(view)[:, None] * torch.arange(4)

    made = Examples(emotions, emotions.indices("test"), Normalizer({}), None)
    table = predict_under(Network(Logits(), prior=[0.0, 0.0, 0.0, 1.0]).eval(), made, at_rates([0.3]))
    shares = [f"probability_{name}" for name in emotions.info.classes or ()]
    assert list(table.columns) == [*COLUMNS[:6], *shares, *COLUMNS[6:]]
    np.testing.assert_allclose(table[shares].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(table["prediction"], table[shares].to_numpy().argmax(axis=1))
