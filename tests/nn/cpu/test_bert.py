"""BERT over rows is Hugging Face's, in states and gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from mitr.nn.cpu.bert import read, serves
from mitr.nn.dropout import replace_dropout

IDS = torch.tensor([[5, 6, 7, 8], [9, 5, 0, 0], [7, 0, 0, 0]])
VALID = IDS > 0


def bert(hidden: float = 0.0, attention: float = 0.0, **more: Any) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=12,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
        hidden_dropout_prob=hidden,
        attention_probs_dropout_prob=attention,
        initializer_range=0.4,
        **more,
    )
    model = BertModel(config, add_pooling_layer=False).double().eval()
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    return model


@pytest.mark.parametrize("valid", [VALID, torch.ones_like(VALID), torch.ones(3, 1, dtype=torch.bool)])
def test_states_and_gradients_are_those_of_the_usual_call(valid: Tensor) -> None:
    model, ids = bert(), IDS[:, : valid.shape[1]]
    assert serves(model)
    found = []
    for states in (read(model, ids, valid), model(input_ids=ids, attention_mask=valid.long()).last_hidden_state):
        model.zero_grad()
        states[valid].square().mul(torch.arange(8)).sum().backward()
        found.append(
            (states[valid].detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        )
    (states, gradients), (usual, theirs) = found
    torch.testing.assert_close(states, usual)
    assert gradients.keys() == theirs.keys() == {name for name, _ in model.named_parameters()}
    torch.testing.assert_close(gradients, theirs)


def test_without_gradients_the_answer_is_the_same() -> None:
    model = bert()
    replace_dropout(model)
    with torch.no_grad():
        silent = read(model, IDS, VALID)
    torch.testing.assert_close(silent, read(model, IDS, VALID))
    assert (silent[~VALID] == 0).all()


def test_gradients_under_dropout_are_those_of_what_was_computed() -> None:
    """Compared with differences, by drawing the same numbers each time."""
    model = bert(hidden=0.3, attention=0.3)
    replace_dropout(model)
    model.train()
    parameters = [p for name, p in model.named_parameters() if "layer.1" in name or name.endswith("LayerNorm.weight")]

    def answer(*_: Tensor) -> Tensor:
        torch.manual_seed(3)
        return read(model, IDS, VALID)[VALID].sin().sum()

    assert torch.autograd.gradcheck(answer, parameters, atol=1e-6)


@pytest.mark.parametrize(("hidden", "attention"), [(0.4, 0.0), (0.0, 0.4)])
def test_dropout_has_the_rates_of_the_model(hidden: float, attention: float) -> None:
    """Mean and spread over many readings, beside those of the usual call."""
    model = bert(hidden, attention)
    model.embeddings.dropout.p = 0.0
    replace_dropout(model)
    model.train()
    many = 4000
    ids, valid = IDS[:1].repeat(many, 1), VALID[:1].repeat(many, 1)
    with torch.no_grad():
        own, usual = read(model, ids, valid), model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(own.mean(dim=0), usual.mean(dim=0), rtol=0, atol=0.06)
    torch.testing.assert_close(own.std(dim=0), usual.std(dim=0), rtol=0, atol=0.04)
    assert usual.std(dim=0).min() > 0.1


def test_products_are_in_the_format_of_autocast_and_what_stays_is_in_float32() -> None:
    model = bert().float()
    replace_dropout(model)
    exact = read(model, IDS, VALID)
    with torch.autocast("cpu", torch.bfloat16):
        short = read(model, IDS, VALID)
    assert short.dtype == torch.float32
    assert 0 < (short - exact).abs().max() < 0.1
    short.sum().backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize(
    "option", [{"is_decoder": True}, {"chunk_size_feed_forward": 2}, {"hidden_act": "relu"}, {"hidden": 1.0}]
)
def test_a_model_that_computes_otherwise_is_called_as_usual(option: dict[str, Any]) -> None:
    assert not serves(bert(**option))


def test_dropout_is_replaced_at_its_rate() -> None:
    model = bert(0.2, 0.3)
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    replace_dropout(model)
    assert [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)] == rates
    assert set(rates) == {0.2, 0.3}
