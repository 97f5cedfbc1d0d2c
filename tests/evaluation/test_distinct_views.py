"""What conditions have in common is asked once, and nobody can tell from the answers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mitr.batches.examples import Examples
from mitr.batches.views import Steps
from mitr.config import TextConfig
from mitr.data.normalize import Normalizer
from mitr.data.scale import Scale
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.evaluation.distinct_views import WINDOW, DistinctViews
from mitr.evaluation.predicting import predict_under
from mitr.missing.masks import inside
from mitr.missing.protocols import PROTOCOLS, Condition, at_rates
from mitr.models.network import Network
from mitr.models.registry import build_model
from mitr.text.encoder import TextEncoder
from mitr.text.state_cache import TEXT_STATES

RATES = at_rates([k / 10 for k in range(11)])


def conditions_of(protocol: str) -> tuple[Condition, ...]:
    return PROTOCOLS[protocol].conditions(MODALITIES, Scale.of((-3, 3)))


def network_of(data: Dataset, model: str, text: TextEncoder | None = None) -> Network:
    dims = {m: about.dim or 0 for m, about in data.info.modalities.items()}
    torch.manual_seed(0)
    built = build_model(model, dims | ({"text": text.dim} if text else {}))
    return Network(built, text, prior=7.0).eval()


def one_by_one(network: Network, examples: Examples, conditions: Sequence[Condition]) -> pd.DataFrame:
    return pd.concat([predict_under(network, examples, [c]) for c in conditions], ignore_index=True)


def texts_of(views: DistinctViews) -> int:
    """How many texts there are to encode."""
    shown = list(views._texts())
    return len({shown[number] for number in views.distinct if shown[number]})


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    TEXT_STATES.sets.clear()
    yield
    TEXT_STATES.sets.clear()


@pytest.fixture
def examples(small: Dataset) -> Examples:
    return Examples(small, small.indices("train"), Normalizer({}), None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_masks_are_what_the_conditions_say(examples: Examples, protocol: str) -> None:
    conditions = conditions_of(protocol)
    views = DistinctViews(examples, conditions)
    numbers = np.arange(len(views.same))
    expected = [condition.masks(examples.extents()) for condition in conditions]
    for m, extent in examples.extents().items():
        whole = np.tile(inside(extent.lengths, extent.steps), (len(conditions), 1))
        keep, absent = views.masks(numbers)[m]
        np.testing.assert_array_equal(keep, np.concatenate([masks[m].keep for masks in expected]) & whole)
        there = np.tile(extent.lengths > 0, len(conditions))
        np.testing.assert_array_equal(absent, np.concatenate([masks[m].absent for masks in expected]) & there)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_view_has_one_question_that_looks_like_it(examples: Examples, protocol: str) -> None:
    views = DistinctViews(examples, conditions_of(protocol))
    assert np.array_equal(np.sort(views.distinct), np.unique(views.same))
    numbers = np.arange(len(views.same))
    own, stand_in = views.masks(numbers), views.masks(views.same)
    left = np.any([mask.keep.any(axis=1) for mask in own.values()], axis=0)
    assert (numbers[left] % len(examples) == views.same[left] % len(examples)).all()
    assert len(np.unique(views.same[~left])) == (not left.all())
    for m in own:
        np.testing.assert_array_equal(own[m].keep[left], stand_in[m].keep[left])
        np.testing.assert_array_equal(own[m].absent[left], stand_in[m].absent[left])
    for start in range(0, len(views.distinct), WINDOW):
        assert (np.diff(views.costs[views.distinct[start : start + WINDOW]]) >= 0).all()
    assert [n for batch in views.batches(7) for n in batch.tolist()] == views.distinct.tolist()


def test_what_nothing_is_left_of_is_one_question(examples: Examples) -> None:
    views = DistinctViews(examples, at_rates([1.0]))
    assert len(views.distinct) == 1
    doubled = DistinctViews(examples, at_rates([0.3, 0.3, 1.0]))
    assert len(doubled.distinct) == len(examples) + 1


@pytest.mark.parametrize("model", ["mitr-dnet", "mitr-dnet-plus", "tfr-net", "lmf"])
@pytest.mark.parametrize("protocol", ["auilc", "combinations"])
def test_answers_are_those_of_each_condition_alone(
    small: Dataset, examples: Examples, model: str, protocol: str
) -> None:
    network, conditions = network_of(small, model), conditions_of(protocol)
    together = predict_under(network, examples, conditions, batch_size=32)
    pd.testing.assert_frame_equal(together, one_by_one(network, examples, conditions), rtol=1e-4, atol=1e-5)


class TestTexts:
    """With a text encoder in the network."""

    @pytest.fixture
    def read(self, minilm: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The texts that the encoder reads, in each of its batches."""
        found: list[int] = []
        encode = minilm._encode

        def count(ids: Tensor, valid: Tensor) -> Tensor:
            found.append(len(ids))
            return encode(ids, valid)

        monkeypatch.setattr(minilm, "known", {})
        monkeypatch.setattr(minilm, "_encode", count)
        return found

    @pytest.fixture
    def examples(self, small_text: Dataset, minilm: TextEncoder) -> Examples:
        return Examples(small_text, small_text.indices("test"), Normalizer({}), minilm)

    @pytest.mark.parametrize("hidden", ["unknown", "skip"])
    @pytest.mark.parametrize("megabytes", [0, 64])
    def test_answers_are_the_same_and_texts_are_read_once(
        self,
        small_text: Dataset,
        minilm: TextEncoder,
        examples: Examples,
        read: list[int],
        monkeypatch: pytest.MonkeyPatch,
        hidden: str,
        megabytes: int,
    ) -> None:
        monkeypatch.setattr(minilm, "skip_hidden", hidden == "skip")
        monkeypatch.setattr(minilm, "most_bytes", 0)
        network = network_of(small_text, "mitr-dnet", minilm)
        apart = one_by_one(network, examples, RATES)
        before = sum(read)
        read.clear()
        monkeypatch.setattr(minilm, "most_bytes", megabytes << 20)
        together = predict_under(network, examples, RATES)
        pd.testing.assert_frame_equal(together, apart, rtol=1e-4, atol=1e-5)
        texts = texts_of(DistinctViews(examples, RATES))
        assert texts <= sum(read) <= texts + len(read) * (not megabytes)  # two batches may need the same one
        assert sum(read) < 0.95 * before
        assert len(minilm.known) == (texts if megabytes else 0)

    def test_another_run_of_the_process_finds_them(
        self, small_text: Dataset, minilm: TextEncoder, examples: Examples, read: list[int]
    ) -> None:
        network = network_of(small_text, "mitr-dnet", minilm)
        predict_under(network, examples, RATES)
        assert sum(read) > 0
        read.clear()
        predict_under(network_of(small_text, "lmf", minilm), examples, RATES)
        predict_under(network, examples, RATES[:10])
        assert read == []

    def test_no_more_is_remembered_than_is_allowed(
        self, small_text: Dataset, minilm: TextEncoder, examples: Examples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = network_of(small_text, "mitr-dnet", minilm)
        monkeypatch.setattr(minilm, "known", {})
        most = 2 * minilm.dim * 4 * int(examples.extents()["text"].lengths.sum())  # two rates, not all of them
        monkeypatch.setattr(minilm, "most_bytes", most)
        together = predict_under(network, examples, RATES)
        assert most / 3 < sum(states.nbytes for states in minilm.known.values()) <= most
        monkeypatch.setattr(minilm, "most_bytes", 0)
        pd.testing.assert_frame_equal(together, predict_under(network, examples, RATES), rtol=1e-4, atol=1e-5)

    def test_one_that_learns_reads_them_once_too(self, small_text: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        encoder = TextEncoder(TextConfig(finetune=True)).eval()
        examples = Examples(small_text, small_text.indices("test"), Normalizer({}), encoder)
        network = network_of(small_text, "mitr-dnet", encoder)
        found: list[int] = []
        encode = encoder._encode
        monkeypatch.setattr(encoder, "_encode", lambda ids, valid: (found.append(len(ids)), encode(ids, valid))[1])
        twice = [replace(c, name=f"{c.name} {i}") for i in range(2) for c in at_rates([0.5])]
        table = predict_under(network, examples, [*twice, *conditions_of("combinations")], batch_size=99)
        assert sum(found) == texts_of(DistinctViews(examples, at_rates([0.0, 0.5])))
        first, again = table["prediction"].to_numpy()[: 2 * len(examples)].reshape(2, -1)
        np.testing.assert_array_equal(first, again)


def test_equal_texts_of_a_batch_are_read_once_unless_there_is_dropout(
    minilm: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.tensor([[101, 2023, 102, 0], [101, 2307, 2023, 102], [101, 2023, 102, 0], [0, 0, 0, 0]])
    valid = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]]).bool()
    steps = Steps(ids, valid, valid, valid)
    encoder = TextEncoder(TextConfig(finetune=True))
    found: list[int] = []
    encode = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda ids, valid: (found.append(len(ids)), encode(ids, valid))[1])
    with torch.no_grad():
        read = encoder.eval()(steps)
        encoder.train()(steps)
    assert found == [2, 3]
    assert torch.equal(read.values[0], read.values[2])
    torch.testing.assert_close(read.values, minilm(steps).values, rtol=1e-4, atol=1e-5)
    assert not read.values[3].any()
