"""The crossmodal encoder against PyTorch's layers and by its formula; what a step may see, what padding may not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mitr.nn.crossmodal import CrossmodalEncoder, Dropouts, StepProjection, crossmodal_mask
from mitr.nn.unimodal import sinusoids

ALL = torch.ones(2, 5, dtype=torch.bool)


def made(heads: int = 2, layers: int = 2, **options: object) -> CrossmodalEncoder:
    torch.manual_seed(0)
    encoder = CrossmodalEncoder(6, heads, layers, **options)
    for parameter in encoder.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return encoder.eval()


def inside(lengths: list[int], steps: int) -> Tensor:
    return torch.arange(steps)[None] < torch.tensor(lengths)[:, None]


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [True, False])
def test_reading_itself_it_is_pytorchs_encoder(causal: bool) -> None:
    ours = made(causal=causal)
    layer = nn.TransformerEncoderLayer(6, 2, 24, dropout=0, norm_first=True, batch_first=True)
    theirs = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(6), enable_nested_tensor=False)
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        parts = (mine.attention.query, mine.attention.key, mine.attention.value)
        other.self_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
        other.self_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
        pairs = [(other.self_attn.out_proj, mine.attention.out), (other.norm1, mine.attention_norm)]
        pairs += [(other.linear1, mine.feed_in), (other.linear2, mine.feed_out), (other.norm2, mine.feed_norm)]
        for module, source in pairs:
            module.load_state_dict(source.state_dict())
    theirs.norm.load_state_dict(ours.norm.state_dict())
    x = random(2, 5, 6)
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    torch.testing.assert_close(ours(x, ALL), theirs(math.sqrt(6) * x + sinusoids(5, 6), mask=hidden))


def test_reading_another_by_the_formula() -> None:
    encoder = made(heads=1, layers=2, positions="none", causal=False)
    x, y = random(2, 5, 6), random(2, 3, 6, seed=2)
    state, context = math.sqrt(6) * x, math.sqrt(6) * y
    for layer in encoder.layers:
        query, source = layer.attention_norm(state), layer.attention_norm(context)  # one norm for both
        scores = layer.attention.query(query) @ layer.attention.key(source).transpose(1, 2) / math.sqrt(6)
        state = state + layer.attention.out(scores.softmax(dim=2) @ layer.attention.value(source))
        state = state + layer.feed_out(layer.feed_in(layer.feed_norm(state)).relu())
    torch.testing.assert_close(encoder(x, ALL, y, ALL[:, :3]), encoder.norm(state))


@pytest.mark.parametrize(
    ("lengths", "seen"),
    [
        ((3, 3), [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]),
        ((2, 4), [[1, 1, 1, 0], [1, 1, 1, 1]]),  # the last steps of both stand side by side
        ((4, 2), [[1, 1, 0, 0]] * 4),
        ((3, 0), [[1, 0, 0, 0]] * 3),  # nothing to see: the first step, which is never used
    ],
)
def test_what_each_step_sees(lengths: tuple[int, int], seen: list[list[int]]) -> None:
    mask = crossmodal_mask(inside([lengths[0]], 4), inside([lengths[1]], 4))
    assert mask[0, : len(seen)].int().tolist() == seen


def test_the_mask_of_sequences_padded_to_different_widths() -> None:
    mask = crossmodal_mask(inside([2, 1], 2), inside([1, 3], 5))
    assert mask.int().tolist() == [[[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]], [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_padding_is_as_good_as_cutting(own: int, other: int, more: int, others: int, causal: bool) -> None:
    encoder = made(causal=causal)
    x, y = random(1, own + more, 6), random(1, other + others, 6, seed=2)
    padded = encoder(x, inside([own], own + more), y, inside([other], other + others))
    cut = encoder(x[:, :own], inside([own], own), y[:, :other], inside([other], other))
    torch.testing.assert_close(padded[:, :own], cut, rtol=1e-4, atol=1e-5)


def test_without_a_context_only_the_feed_forward_network_works() -> None:
    encoder = made(positions="none")
    x, y = random(2, 5, 6), random(2, 3, 6, seed=2)
    nothing = encoder(x, ALL, y, inside([0, 3], 3))
    state = math.sqrt(6) * x
    for layer in encoder.layers:
        state = state + layer.feed_out(layer.feed_in(layer.feed_norm(state)).relu())
    torch.testing.assert_close(nothing[0], encoder.norm(state)[0])
    assert (nothing[1] - encoder.norm(state)[1]).abs().max() > 0.1
    torch.testing.assert_close(encoder(x, ALL, 1e6 * y, inside([0, 3], 3))[0], nothing[0])


def test_positions() -> None:
    x = random(1, 3, 6)
    x[0, 1, 0] = 0
    found = {positions: made(positions=positions).embed(x) for positions in ("all", "nonzero", "none")}
    torch.testing.assert_close(found["none"], math.sqrt(6) * x)
    torch.testing.assert_close(found["all"] - found["none"], sinusoids(3, 6)[None])
    expected = sinusoids(3, 6) * torch.tensor([[1.0], [0.0], [1.0]])
    torch.testing.assert_close(found["nonzero"] - found["none"], expected[None])


@pytest.mark.parametrize("place", range(4))
def test_each_dropout_rate_acts_in_training_only(place: int) -> None:
    rates = [0.0] * 4
    rates[place] = 0.5
    encoder = made(dropouts=Dropouts(*rates))
    x, y = random(2, 5, 6), random(2, 5, 6, seed=2)
    expected = made()(x, ALL, y, ALL)
    torch.testing.assert_close(encoder(x, ALL, y, ALL), expected)
    assert (encoder.train()(x, ALL, y, ALL) - expected).abs().max() > 0.01
    torch.testing.assert_close(made().train()(x, ALL, y, ALL), expected)


class TestStepProjection:
    x = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])

    def sums(self, padded: bool) -> StepProjection:
        project = StepProjection(1, 2, 3, padded)
        project.convolve.weight.data = torch.tensor([[[1.0, 1, 1]], [[0.0, 0, 1]]])  # (W, D, kernel)
        return project

    def test_by_hand(self) -> None:
        valid = inside([4], 4)
        assert self.sums(True)(self.x, valid)[0].tolist() == [[3, 2], [7, 4], [14, 8], [12, 0]]
        assert self.sums(False)(self.x, valid)[0].tolist() == [[7, 4], [14, 8]]

    def test_padding_counts_as_zero(self) -> None:
        assert self.sums(True)(self.x, inside([2], 4))[0].tolist() == [[3, 2], [3, 0], [2, 0], [0, 0]]

    def test_one_step_suffices(self) -> None:
        assert self.sums(True)(self.x[:, :1], inside([1], 1)).tolist() == [[[1, 0]]]

    def test_nothing_is_done_where_the_width_is_right(self) -> None:
        project = StepProjection(1, 1, 3)
        assert not list(project.parameters())
        assert project(self.x, inside([3], 4)).flatten().tolist() == [1, 2, 4, 0]
