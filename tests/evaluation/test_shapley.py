"""Shapley values: the axioms on any game, games solved by hand, and networks whose predictions they must add up to."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from itertools import chain, combinations, permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mitr.batches.examples import Examples
from mitr.batches.hiding import hide
from mitr.batches.views import Steps, Targets, View
from mitr.data.normalize import Normalizer
from mitr.data.schema import MODALITIES
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import shapley, summary, values_from
from mitr.losses.task import Classification
from mitr.missing import masks, schedules
from mitr.missing.protocols import Condition, at_rates
from mitr.missing.schedules import Extent, Masks
from mitr.models.base import Model
from mitr.models.network import Network
from mitr.models.registry import build_model
from mitr.text.encoder import TextEncoder
from mitr.text.state_cache import TEXT_STATES

VALUES = [f"shapley_{m}" for m in MODALITIES]
PRIOR = 0.25
Game = dict[frozenset[str], np.ndarray]


def coalitions(players: tuple[str, ...]) -> list[frozenset[str]]:
    sizes = range(len(players) + 1)
    return [frozenset(s) for s in chain.from_iterable(combinations(players, size) for size in sizes)]


@st.composite
def games(draw: st.DrawFn) -> tuple[tuple[str, ...], Game]:
    players = MODALITIES[: draw(st.integers(1, 3))]
    worth = st.floats(-10, 10)
    return players, {s: np.array([draw(worth), draw(worth)]) for s in coalitions(players)}


@given(games())
@settings(deadline=None)
def test_efficiency_the_values_add_up_to_what_all_are_worth(made: tuple[tuple[str, ...], Game]) -> None:
    players, game = made
    values = values_from(game, players)
    assert list(values) == list(players)
    np.testing.assert_allclose(sum(values.values()), game[frozenset(players)] - game[frozenset()], atol=1e-12)


@given(games())
@settings(deadline=None)
def test_they_are_the_mean_over_all_orders_of_arrival(made: tuple[tuple[str, ...], Game]) -> None:
    players, game = made
    orders = list(permutations(players))
    for m, value in values_from(game, players).items():
        before = [frozenset(order[: order.index(m)]) for order in orders]
        np.testing.assert_allclose(value, np.mean([game[s | {m}] - game[s] for s in before], axis=0), atol=1e-12)


@given(games())
@settings(deadline=None)
def test_a_player_that_never_adds_anything_gets_exactly_nothing(made: tuple[tuple[str, ...], Game]) -> None:
    players, game = made
    dummy = players[-1]
    values = values_from({s: game[s - {dummy}] for s in game}, players)
    np.testing.assert_array_equal(values[dummy], 0)
    rest = players[:-1]
    for m, value in values_from({s: game[s] for s in coalitions(rest)}, rest).items():
        np.testing.assert_allclose(values[m], value, atol=1e-12)


@given(games())
@settings(deadline=None)
def test_players_that_can_be_exchanged_get_the_same(made: tuple[tuple[str, ...], Game]) -> None:
    players, game = made
    first, last = players[0], players[-1]
    swap = {first: last, last: first}
    exchangeable = {s: game[s] + game[frozenset(swap.get(m, m) for m in s)] for s in game}
    values = values_from(exchangeable, players)
    np.testing.assert_allclose(values[first], values[last], atol=1e-12)


def solved(worth: Mapping[str, float], players: str = "abc") -> list[float]:
    """The values of a game of which the worth of other sets than these is 0."""
    game = {s: np.array(worth.get("".join(sorted(s)), 0.0)) for s in coalitions(tuple(players))}
    return [float(value) for value in values_from(game, tuple(players)).values()]


def test_games_solved_by_hand() -> None:
    additive = {"a": 2, "b": -1, "c": 5, "ab": 1, "ac": 7, "bc": 4, "abc": 6}
    assert solved(additive) == pytest.approx([2, -1, 5])
    assert solved({"ab": 1, "abc": 1}) == pytest.approx([1 / 2, 1 / 2, 0])  # unanimity of a and b
    assert solved({"abc": 1}) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert solved({"ac": 1, "bc": 1, "abc": 1}) == pytest.approx([1 / 6, 1 / 6, 4 / 6])  # two left gloves, one right
    assert solved({"": 4, "a": 10, "b": 6, "ab": 20}, "ab") == pytest.approx([10, 6])
    assert solved({"": 4, "a": 10}, "a") == [6]


def test_a_set_without_a_prediction_is_named() -> None:
    with pytest.raises(MitrError, match=r"no prediction of audio \+ text"):
        values_from({s: np.zeros(1) for s in coalitions(MODALITIES) if s != {"text", "audio"}}, MODALITIES)
    with pytest.raises(MitrError, match="the empty set"):
        values_from({frozenset({"text"}): np.zeros(1)}, ["text"])


class Made(Model):
    """Per modality the sum of what is shown and a hundredth of its length; and text times audio."""

    def forward(self, view: View) -> Tensor:
        nothing = torch.zeros(len(next(iter(view.values())).valid))
        told = {m: s.values.sum(dim=(1, 2)) + s.valid.sum(dim=1) / 100 for m, s in view.items()}
        return sum(told.values(), nothing) + told.get("text", nothing) * told.get("audio", nothing)

    def losses(
        self, complete: View, incomplete: View, targets: Targets, teacher: Model | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def weight_of(self, term: str) -> float:
        return 1.0


def some_of(data: Dataset, modalities: tuple[str, ...] = MODALITIES) -> Examples:
    """The samples that lack a modality, and twenty others or so."""
    lacking = np.any([data.lengths[m] == 0 for m in MODALITIES], axis=0)
    return Examples(data, np.flatnonzero(lacking | (np.arange(len(lacking)) < 20)), Normalizer({}), None, modalities)


def real(data: Dataset, name: str = "mitr-dnet") -> Network:
    """A network of the registry with random weights."""
    torch.manual_seed(0)
    classes = data.info.classes
    dims = {m: about.dim or 0 for m, about in data.info.modalities.items()}
    task = Classification(classes) if classes else None
    prior = np.log(np.arange(1, 5) / 10).tolist() if classes else PRIOR
    return Network(build_model(name, dims, task=task), prior=prior).eval()


def by_hand(network: Network, examples: Examples, condition: Condition) -> pd.DataFrame:
    """The mean over the orders in which modalities arrive, each sample by itself."""
    drawn = condition.masks(examples.extents())
    rows = []
    for position in range(len(examples)):
        batch = examples.collate([examples[position]])
        view = hide(batch.view, drawn, batch.positions, 0)

        def worth(shown: tuple[str, ...], view: Mapping[str, Steps] = view) -> float:
            gone = {m: Steps(*(torch.zeros_like(part) for part in steps[:4])) for m, steps in view.items()}
            with torch.inference_mode():
                return float(network({m: view[m] if m in shown else gone[m] for m in view}).prediction)

        orders = list(permutations(examples.modalities))
        at = {m: [order.index(m) for order in orders] for m in examples.modalities}
        rows.append({
            f"shapley_{m}": np.mean([worth(o[: i + 1]) - worth(o[:i]) for o, i in zip(orders, at[m], strict=True)])
            for m in examples.modalities
        })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("modalities", [MODALITIES, ("audio", "text"), ("vision",)])
def test_a_network_by_hand(small: Dataset, modalities: tuple[str, ...]) -> None:
    examples = some_of(small, modalities)
    network, condition = Network(Made({}), prior=PRIOR).eval(), at_rates([0.3])[0]
    table = shapley(network, examples, condition, batch_size=7)
    shown = [f"shapley_{m}" for m in MODALITIES if m in modalities]
    assert list(table.columns) == ["id", "prediction", "prior", *shown]
    assert table["id"].tolist() == examples.ids
    np.testing.assert_allclose(table[shown], by_hand(network, examples, condition)[shown], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["mitr-dnet", "lmf", "misa"])
def test_prior_and_values_add_up_to_the_prediction(small: Dataset, name: str) -> None:
    examples, network = some_of(small), real(small, name)
    for condition in (None, at_rates([0.6])[0]):
        table = shapley(network, examples, condition)
        straight = predict_under(network, examples, [condition or at_rates([0.0])[0]])
        np.testing.assert_allclose(table["prediction"], straight["prediction"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(table["prior"] + table[VALUES].sum(axis=1), table["prediction"], rtol=0, atol=1e-12)
        assert (table["prior"] == PRIOR).all()
        lacking = straight[[f"observed_{m}" for m in MODALITIES]].to_numpy() == 0
        assert lacking.any(axis=0).all()
        np.testing.assert_array_equal(table[VALUES].to_numpy() == 0, lacking)


def test_where_nothing_is_shown_nothing_mattered(small: Dataset) -> None:
    examples, network = some_of(small), real(small)
    for condition in (at_rates([1.0])[0], Condition("none", "x", None, partial(schedules.with_only, available=()))):
        table = shapley(network, examples, condition)
        assert (table[VALUES] == 0).all(axis=None)
        assert (table[["prediction", "prior"]] == PRIOR).all(axis=None)
    assert summary(table) == {
        "n": len(examples),
        "modalities": {m: {"mean": 0.0, "mean_absolute": 0.0, "share": 0.0} for m in MODALITIES},
    }


def test_one_modality_alone_is_all_that_mattered(small: Dataset) -> None:
    examples, network = some_of(small), real(small)
    alone = Condition("audio", "x", None, partial(schedules.with_only, available=("audio",)))
    table = shapley(network, examples, alone)
    assert (table[["shapley_text", "shapley_vision"]] == 0).all(axis=None)
    np.testing.assert_allclose(table["shapley_audio"], table["prediction"] - PRIOR, rtol=0, atol=1e-15)


def test_hidden_steps_are_no_evidence_though_their_number_is_known(small: Dataset) -> None:
    def audio_hidden(extents: Mapping[str, Extent]) -> Masks:
        return schedules.fixed(extents, {"text": 0.0, "audio": 1.0, "vision": 0.0}, (1, 2, 3))

    examples = Examples(small, small.indices("test"), Normalizer({}), None)
    batch = examples.collate([examples[i] for i in range(len(examples))])
    table = shapley(Network(Made({}), prior=0.0).eval(), examples, Condition("hidden", "x", None, audio_hidden))
    told = {m: (s.values.sum(dim=(1, 2)) + s.valid.sum(dim=1) / 100).numpy() for m, s in batch.view.items()}
    steps = batch.view["audio"].valid.sum(dim=1).numpy() / 100
    assert steps.all()
    assert (table["shapley_audio"] == 0).all()
    both = (batch.view["text"].present & batch.view["vision"].present).numpy()
    assert both.any()
    # the length of audio comes with whichever modality is the first one that there is something of
    text, vision = told["text"] * (1 + steps), told["vision"]
    np.testing.assert_allclose(table["shapley_text"][both], (text + steps / 2)[both], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(table["shapley_vision"][both], (vision + steps / 2)[both], rtol=1e-3, atol=1e-3)


def test_classes_are_explained_by_the_probability_of_the_answer(emotions: Dataset) -> None:
    examples, network = some_of(emotions), real(emotions)
    condition = at_rates([0.7])[0]
    table = shapley(network, examples, condition)
    straight = predict_under(network, examples, [condition])
    classes = emotions.info.classes or ()
    chosen = straight["prediction"].astype(int)
    assert list(table.columns) == ["id", "prediction", "prior", "class", *VALUES]
    assert table["class"].tolist() == [classes[i] for i in chosen]
    shares = straight[[f"probability_{name}" for name in classes]].max(axis=1)
    np.testing.assert_allclose(table["prediction"], shares, rtol=1e-6)
    np.testing.assert_allclose(table["prior"], (chosen + 1) / 10, rtol=1e-6)
    np.testing.assert_allclose(table["prior"] + table[VALUES].sum(axis=1), table["prediction"], rtol=0, atol=1e-12)
    gone = shapley(network, examples, at_rates([1.0])[0])
    assert (gone[VALUES] == 0).all(axis=None)
    assert gone["prediction"].to_numpy() == pytest.approx(0.4)


def test_a_frozen_encoder_reads_each_text_once(
    small_text: Dataset, minilm: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TEXT_STATES, "sets", OrderedDict())
    monkeypatch.setattr(minilm, "known", {})
    examples = Examples(small_text, small_text.indices("test"), Normalizer({}), minilm, ("text", "audio"))
    dims = {"text": minilm.dim, "audio": small_text.info.modalities["audio"].dim or 0}
    torch.manual_seed(0)
    network = Network(build_model("mitr-dnet", dims), minilm, prior=PRIOR).eval()
    encode = minilm._encode
    read: list[int] = []
    ticks: list[int] = []

    def count(ids: Tensor, valid: Tensor) -> Tensor:
        read.append(len(ids))
        return encode(ids, valid)

    monkeypatch.setattr(minilm, "_encode", count)
    table = shapley(network, examples, at_rates([0.4])[0], batch_size=6, tick=ticks.append)
    assert sum(read) == len(examples)
    assert sum(ticks) == 3 * len(examples)
    np.testing.assert_allclose(
        table["prior"] + table["shapley_text"] + table["shapley_audio"], table["prediction"], rtol=0, atol=1e-12
    )


def test_masks_of_another_width_are_kept(small: Dataset) -> None:
    def longer(extents: Mapping[str, Extent]) -> Masks:
        return {m: masks.everything(extent.lengths, extent.steps + 9) for m, extent in extents.items()}

    examples, network = some_of(small), real(small)
    pd.testing.assert_frame_equal(
        shapley(network, examples, Condition("longer", "x", None, longer)), shapley(network, examples)
    )


def test_summary() -> None:
    table = pd.DataFrame({"id": ["a", "b"], "shapley_text": [3.0, -1.0], "shapley_vision": [0.0, -1.0]})
    assert summary(table) == {
        "n": 2,
        "modalities": {
            "text": {"mean": 1.0, "mean_absolute": 2.0, "share": 0.8},
            "vision": {"mean": -0.5, "mean_absolute": 0.5, "share": 0.2},
        },
    }
    for nothing in (table.iloc[:0], table[["id"]]):
        with pytest.raises(MitrError, match="empty"):
            summary(nothing)
