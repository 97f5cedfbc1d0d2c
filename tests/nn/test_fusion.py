"""Transformer Fusion; its numbers are proven by the golden arrays, here stand its properties."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mitr.nn.fusion import Adapter, TransformerFusion


def made() -> tuple[TransformerFusion, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    fusion = TransformerFusion(dim=20, heads=4).eval()
    return fusion, torch.randn(3, 20), torch.randn(3, 20), torch.randn(3, 20)


def test_the_position_is_that_of_step_0() -> None:
    fusion = TransformerFusion(dim=6, heads=2)
    assert fusion.position.tolist() == [0, 1, 0, 1, 0, 1]
    assert "position" not in fusion.state_dict()


def test_each_input_counts_and_samples_do_not_mix() -> None:
    fusion, *inputs = made()
    before = fusion(*inputs)
    assert before.shape == (3, 20)
    for i in range(3):
        changed = [x.clone() for x in inputs]
        changed[i][1] += 1
        difference = (fusion(*changed) - before).abs().amax(dim=1)
        assert difference[1] > 1e-3
        assert difference[[0, 2]].max() < 1e-6


def test_it_is_the_sum_of_the_parts_that_the_paper_names() -> None:
    """f = sum of AD(h) + MLP(h) + h + X(h, other h), and h = SA(own + p + t) + own."""
    fusion, *inputs = made()
    text, audio, vision = (x[:, None] for x in inputs)
    states = []
    for branch, own in ((fusion.audio, audio), (fusion.vision, vision)):
        x = own + text + fusion.position
        x = x + branch.self_attention(x, x)
        states.append(x + branch.feed(x) + own)
    expected = torch.zeros(3, 1, 20)
    for branch, own, other in ((fusion.audio, *states), (fusion.vision, *states[::-1])):
        crossed = branch.cross_attention(branch.query_norm(own), branch.context_norm(other))
        expected = expected + branch.adapter(own) + branch.mlp(own) + own + branch.scale * branch.cross_adapter(crossed)
    torch.testing.assert_close(fusion(*inputs), expected[:, 0])


def test_audio_and_vision_play_the_same_part() -> None:
    fusion, text, audio, vision = made()
    fusion.vision.load_state_dict(fusion.audio.state_dict())
    torch.testing.assert_close(fusion(text, audio, vision), fusion(text, vision, audio))


def test_without_its_scale_nothing_crosses() -> None:
    fusion, text, audio, vision = made()

    def effect_of_vision_on_audio() -> float:
        state = fusion.audio.meet_text(audio[:, None], text[:, None], fusion.position)
        return float(
            (fusion.audio(state, vision[:, None]) - fusion.audio(state, -vision[:, None])).detach().abs().max()
        )

    assert effect_of_vision_on_audio() > 1e-3
    fusion.audio.scale.data.zero_()
    assert effect_of_vision_on_audio() == 0


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_adapter_has_no_residual(activation: str) -> None:
    torch.manual_seed(0)
    adapter, x = Adapter(4, 3, activation, eps=0.5), torch.randn(2, 1, 4)
    normal = (x - x.mean(dim=2, keepdim=True)) / (x.var(dim=2, unbiased=False, keepdim=True) + 0.5).sqrt()
    inner = adapter.down(normal)
    inner = F.gelu(inner, approximate="tanh") if activation == "gelu" else F.relu(inner)
    torch.testing.assert_close(adapter(x), adapter.up(inner))


def test_dropout_is_for_training_alone() -> None:
    fusion, *inputs = made()
    assert torch.equal(fusion(*inputs), fusion(*inputs))
    fusion.train()
    assert not torch.equal(fusion(*inputs), fusion(*inputs))
