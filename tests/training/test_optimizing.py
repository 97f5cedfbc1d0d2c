"""Steps of the optimiser: which parameters have which rate and decay, clipping, accumulation and the schedule."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from made import options
from mitr.config import MissingConfig, TextConfig, TrainConfig
from mitr.data.store import Dataset
from mitr.models.base import Model
from mitr.models.network import Network
from mitr.models.registry import build_model
from mitr.runs.config import RunConfig
from mitr.text.encoder import TextEncoder
from mitr.training.optimizing import parameter_groups
from training.made import Recorder, dims_of, trainer

RATES = TrainConfig(
    lr=1e-3,
    lr_text=2e-5,
    lr_audio=3e-3,
    lr_vision=4e-4,
    decay=0.01,
    decay_text=0.02,
    decay_audio=0.03,
    decay_vision=0.04,
)
FIXED = MissingConfig("fixed", 0.3)  # the same masks in every epoch


@pytest.fixture
def steps() -> Iterator[list[dict[str, Any]]]:
    """The gradient (P,) of all parameters and the groups' rates and decays at every step of an optimiser."""
    taken: list[dict[str, Any]] = []

    def record(optimizer: torch.optim.Optimizer, *_: object) -> None:
        groups = optimizer.param_groups
        gradients = [p.grad.flatten() for group in groups for p in group["params"] if p.grad is not None]
        taken.append(
            {"gradient": torch.cat(gradients).clone()}
            | {name: [group[name] for group in groups] for name in ("lr", "weight_decay")}
        )

    handle = register_optimizer_step_pre_hook(record)
    yield taken
    handle.remove()


def of_one_epoch(
    data: Dataset, folder: Path, steps: list[dict[str, Any]], model: Model | None = None, **train: object
) -> list[torch.Tensor]:
    """The gradients at the steps of the first epoch."""
    steps.clear()
    trainer(data, folder, options(1, missing=FIXED, **train), model)._train_epoch(lambda: None)
    return [step["gradient"] for step in steps]


class TestClipping:
    def test_a_long_gradient_is_shortened_to_the_norm(
        self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]
    ) -> None:
        heavy = Recorder(dims_of(small), weight=100.0)
        clipped = of_one_epoch(small, tmp_path / "a", steps, heavy, clip_norm=0.5, lr=0.0)
        free = of_one_epoch(small, tmp_path / "b", steps, Recorder(dims_of(small), 100.0), clip_norm=0.0, lr=0.0)
        assert len(clipped) == len(free) == 4
        for short, long in zip(clipped, free, strict=True):
            assert long.norm() > 50
            torch.testing.assert_close(short, 0.5 * long / long.norm())

    def test_a_short_gradient_stays(self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
        free = of_one_epoch(small, tmp_path / "a", steps, clip_norm=0.0)
        bounded = of_one_epoch(small, tmp_path / "b", steps, clip_norm=1e6)
        assert all(torch.equal(a, b) for a, b in zip(free, bounded, strict=True))

    def test_the_sum_of_accumulated_gradients_is_clipped(
        self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]
    ) -> None:
        heavy = Recorder(dims_of(small), weight=100.0)
        (gradient,) = of_one_epoch(small, tmp_path / "a", steps, heavy, clip_norm=0.5, accumulate=4, lr=0.0)
        free = of_one_epoch(small, tmp_path / "b", steps, Recorder(dims_of(small), 100.0), clip_norm=0.0, lr=0.0)
        whole = torch.stack(free).sum(dim=0)
        torch.testing.assert_close(gradient, 0.5 * whole / whole.norm())


class TestAccumulation:
    def test_gradients_of_batches_are_summed(self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
        single = of_one_epoch(small, tmp_path / "a", steps, clip_norm=0.0, lr=0.0)
        assert len(single) == 4
        for accumulate, parts in ((2, [single[:2], single[2:]]), (3, [single[:3], single[3:]]), (9, [single])):
            summed = of_one_epoch(
                small, tmp_path / str(accumulate), steps, clip_norm=0.0, lr=0.0, accumulate=accumulate
            )
            assert len(summed) == len(parts)  # what is left at the end of an epoch makes a step too
            for gradient, batches in zip(summed, parts, strict=True):
                torch.testing.assert_close(gradient, torch.stack(batches).sum(dim=0))

    def test_every_epoch_begins_to_count_anew(
        self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]
    ) -> None:
        trainer(small, tmp_path, options(3, missing=FIXED, accumulate=3)).fit()
        assert len(steps) == 3 * 2  # after three batches and after the fourth

    def test_the_model_hears_of_steps_not_of_batches(self, small: Dataset, tmp_path: Path) -> None:
        model = Recorder(dims_of(small))
        trainer(small, tmp_path, options(1, missing=FIXED, accumulate=3), model)._train_epoch(lambda: None)
        read = "losses in training"
        assert model.calls == ["begin with 64", "epoch 0", read, read, read, "step", read, "step"]


class TestSchedule:
    def test_cosine_falls_from_the_full_rates_to_zero(
        self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]
    ) -> None:
        rates = {"lr": 1e-3, "lr_audio": 2e-3, "lr_vision": 5e-4}
        model = build_model("mitr-dnet", dims_of(small))
        asked = options(2, missing=FIXED, lr_schedule="cosine", patience=9, **rates)
        trainer(small, tmp_path, asked, model).fit()
        assert len(steps) == 8
        for number, step in enumerate(steps):
            share = 0.5 * (1 + math.cos(math.pi * number / 8))
            assert sorted(step["lr"]) == pytest.approx(sorted(share * rate for rate in rates.values()), rel=1e-12)
        assert sorted(steps[4]["lr"]) == pytest.approx([2.5e-4, 5e-4, 1e-3])  # half way

    def test_constant_stays(self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
        trainer(small, tmp_path, options(2, missing=FIXED, lr=3e-3, lr_schedule="constant")).fit()
        assert [step["lr"] for step in steps] == [[3e-3]] * 8

    def test_a_resumed_run_goes_on_in_the_schedule(
        self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]
    ) -> None:
        class Interrupted(Recorder):
            def begin_epoch(self, epoch: int) -> None:
                if epoch == 1:
                    raise KeyboardInterrupt

        config = options(3, missing=FIXED, lr_schedule="cosine", lr=1.0, patience=9)
        with pytest.raises(KeyboardInterrupt):
            trainer(small, tmp_path, config, Interrupted(dims_of(small))).fit()
        steps.clear()
        second = trainer(small, tmp_path, config)
        second.resume()
        second.fit()
        expected = [0.5 * (1 + math.cos(math.pi * number / 12)) for number in range(4, 12)]
        assert [step["lr"][0] for step in steps] == pytest.approx(expected, rel=1e-12)


class TestGroups:
    @staticmethod
    def of_parameters(network: Network, config: TrainConfig) -> dict[str, tuple[float, float]]:
        """Parameter name -> (rate, decay); each stands in one group."""
        names = {id(p): name for name, p in network.named_parameters()}
        found = [
            (names[id(p)], (group["full_lr"], group["weight_decay"]))
            for group in parameter_groups(network, config)
            for p in group["params"]
        ]
        assert len(found) == len(dict(found))
        return dict(found)

    def test_biases_and_norms_of_the_text_encoder_do_not_decay(self) -> None:
        text = TextEncoder(TextConfig(finetune=True))
        norms = {f"text.{name}" for name, module in text.named_modules() if isinstance(module, nn.LayerNorm)}
        assert len(norms) == 13  # of the embeddings and two a layer
        dims = {"text": text.dim, "audio": 5}
        network = Network(build_model("mitr-dnet", dims), text)
        found = {name: group for name, group in self.of_parameters(network, RATES).items() if name.startswith("text.")}
        assert found.keys() == {name for name, _ in network.named_parameters() if name.startswith("text.")}
        for name, group in found.items():
            plain = name.endswith(".bias") or name.rpartition(".")[0] in norms
            assert group == (2e-5, 0.0 if plain else 0.02), name

    def test_a_frozen_text_encoder_is_in_no_group(self, minilm: TextEncoder) -> None:
        network = Network(Recorder({"text": minilm.dim}), minilm)
        assert self.of_parameters(network, RATES) == {
            "model.layer.weight": (1e-3, 0.01),
            "model.layer.bias": (1e-3, 0.01),
        }

    def test_temporal_modules_have_rates_and_decays_of_their_own(self) -> None:
        model = build_model("mitr-dnet", {"text": 4, "audio": 5, "vision": 6})
        found = self.of_parameters(Network(model), RATES)
        assert found.keys() == {f"model.{name}" for name, _ in model.named_parameters()}
        for name, group in found.items():
            expected = {"audio": (3e-3, 0.03), "vision": (4e-4, 0.04)}
            audio_or_vision = [m for m in expected if name.startswith(f"model.temporal.{m}.")]
            assert group == (expected[audio_or_vision[0]] if audio_or_vision else (1e-3, 0.01)), name

    def test_the_optimiser_has_them(self, small: Dataset, tmp_path: Path, steps: list[dict[str, Any]]) -> None:
        config: RunConfig = replace(options(1, missing=FIXED), train=replace(RATES, max_epochs=1, device="cpu"))
        model = build_model("mitr-dnet", dims_of(small))
        trainer(small, tmp_path, config, model)._train_epoch(lambda: None)
        pairs = set(zip(steps[0]["lr"], steps[0]["weight_decay"], strict=True))
        assert pairs == {(1e-3, 0.01), (3e-3, 0.03), (4e-4, 0.04)}
