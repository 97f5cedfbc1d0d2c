"""Every model as a graph answers as it does in PyTorch, whatever lacks; and what cannot be a graph is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mitr.batches.views import Steps
from mitr.config import TextConfig
from mitr.errors import MitrError
from mitr.export.engine import session
from mitr.export.graphs import ModelGraph, TextGraph, write_graph
from mitr.losses.task import Classification
from mitr.models.base import Model
from mitr.models.crossmodal import CrossmodalOptions
from mitr.models.network import Network
from mitr.models.registry import MODELS, build_model, model_class
from mitr.models.yardsticks import Solved
from mitr.testing.views import DIMS, choose, drop_half, make_view, pad, take_away
from mitr.text.encoder import TextEncoder

PRIOR = 0.25
SMALL = {name: {"layers": 1} for name in ("emt-dlfr", "mult", "tfr-net")}  # what repeats is exported once or twice
SMALL["tfr-net"]["recurrent_layers"] = 1
LENGTHS = {"text": (4, 7, 0, 6, 3), "audio": (9, 0, 5, 12, 7)}
LONG = {"text": (40, 3), "audio": (1, 90)}
ABSENT = {"text": (3,), "audio": (0,)}


def built(name: str, task: Classification | None = None) -> Model:
    """A model of text and audio, with weights that make it heed everything."""
    torch.manual_seed(0)
    options = model_class(name).options_class(**SMALL.get(name, {}))
    model = build_model(name, {m: DIMS[m] for m in LENGTHS}, options, task)
    for part, tensor in model.state_dict().items():
        if part.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif not tensor.any() and tensor.is_floating_point():
            tensor.normal_(0, 0.1)
    if isinstance(model, Solved):
        model.bias.fill_(0.5)
    return model.eval()


def views() -> dict[str, dict[str, Steps]]:
    """Complete and incomplete batches of several sizes; one with samples that have nothing."""
    complete = make_view(LENGTHS)
    short = make_view(dict.fromkeys(LENGTHS, (1, 0)))
    nothing = complete
    for m in LENGTHS:
        nothing = take_away(nothing, m, [1, 4])
    one = {m: steps._replace(available=steps.available & False) for m, steps in choose(complete, [0]).items()}
    unobserved = {m: steps._replace(values=steps.values * 0) for m, steps in one.items()}
    return {
        "complete": complete,
        "incomplete": drop_half(complete),
        "one": choose(complete, [3]),
        "two": choose(complete, [2, 0]),
        "long": make_view(LONG),
        "absent": make_view(ABSENT),
        "short": short,
        "one step": {m: Steps(*(part[:, :1] for part in steps[:4])) for m, steps in short.items()},
        "nothing": nothing,
        "unobserved": unobserved,
        "padded": pad(complete, 3, 1e3),
    }


def check(network: Network, path: Path, special: bool = False) -> None:
    """The graph answers as the network does to all of the views."""
    graph, parts = session(path, 1), ("values", "valid", "available")
    for name, view in views().items():
        shown = view
        if special:
            step = torch.arange(view["text"].valid.shape[1])[None]
            inner = (step > 0) & (step < view["text"].valid.sum(dim=1, keepdim=True) - 1)
            shown = {**view, "text": view["text"]._replace(content=inner & view["text"].valid)}
        with torch.no_grad():
            wanted = network(shown)
        feeds = {f"{m}_{part}": getattr(shown[m], part).numpy() for m in LENGTHS for part in parts}
        prediction, nothing = graph.run(None, feeds)
        np.testing.assert_allclose(prediction, wanted.prediction.numpy(), rtol=0, atol=1e-4, err_msg=name)
        assert nothing.tolist() == wanted.all_missing.tolist(), name
        if name == "nothing":
            assert nothing.tolist() == [False, True, False, False, True]
            assert prediction[1] == pytest.approx(network.prior.tolist())


@pytest.mark.parametrize("name", sorted(MODELS.places.keys() - {"lmf"}))
def test_every_model_answers_as_in_pytorch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossmodalOptions, "own_layers", 1)
    monkeypatch.setattr("mitr.models.mitr_dnet.LEVELS", 2)
    monkeypatch.setattr("mitr.models.mitr_dnet.DIM", 50)
    network = Network(built(name), None, prior=PRIOR).eval()
    with torch.no_grad():
        told = network(make_view(LENGTHS)).prediction
    assert name == "mean" or told.std() > 1e-3, "the model heeds nothing"
    path = tmp_path / "model.onnx"
    write_graph(ModelGraph(network, {m: DIMS[m] for m in LENGTHS}), path, name)
    check(network, path)
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes(), "it names a folder of this machine"


def test_lmf_for_classes_and_embeddings_with_cls_and_sep(tmp_path: Path) -> None:
    model = built("lmf", Classification(("calm", "glad", "sad")))
    network = Network(model, None, special_tokens=True, prior=[-1.0, -0.5, -2.0]).eval()
    path = tmp_path / "model.onnx"
    write_graph(ModelGraph(network, {m: DIMS[m] for m in LENGTHS}), path, "lmf")
    check(network, path, special=True)


class Picky(Model):
    """A model whose shapes depend on what is in the data."""

    def __init__(self, dim: int):
        super().__init__({})
        self.out = nn.Linear(dim, 1)

    def forward(self, view: dict[str, Steps]) -> Tensor:  # type: ignore[override]
        rows = view["audio"].values[view["audio"].valid]
        if len(rows) > 3:
            rows = rows[:3]
        return self.out(rows).sum() * torch.ones(len(view["audio"].valid))

    def losses(self, *_: object) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def weight_of(self, term: str) -> float:
        return 1.0


def test_what_cannot_be_a_graph_is_refused_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = Network(Picky(DIMS["audio"])).eval()
    with pytest.raises(MitrError, match=r"^picky cannot be exported: PyTorch cannot make a graph of it \(\w.*\)$"):
        write_graph(ModelGraph(network, {"audio": DIMS["audio"]}), tmp_path / "model.onnx", "picky")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_what_an_export_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitr.export.graphs.find_spec", lambda name: None)
    graph = ModelGraph(Network(built("mean")), {m: DIMS[m] for m in LENGTHS})
    with pytest.raises(MitrError, match=r"needs the packages onnx and onnxscript: pip install 'mitr\[onnx\]'"):
        write_graph(graph, tmp_path / "model.onnx", "mean")


def test_hidden_tokens_are_unknown_to_an_encoder_that_is_used_so(tiny_bert: Path, tmp_path: Path) -> None:
    text = TextEncoder(TextConfig(str(tiny_bert), finetune=False, hidden="unknown")).eval()
    write_graph(TextGraph(text), tmp_path / "text.onnx", "tiny")
    generator = torch.Generator().manual_seed(0)
    valid = torch.arange(9)[None] < torch.tensor([[9], [5], [0], [3]])
    available = valid & ((torch.rand(4, 9, generator=generator) > 0.4) | (torch.arange(9) == 0))
    ids = torch.randint(1000, 20000, (4, 9), generator=generator) * valid
    hidden = torch.where(valid & ~available, text.unknown, ids)
    with torch.no_grad():
        wanted = text(Steps(hidden, valid, available, valid))
    feeds = {"text_ids": ids.numpy(), "text_valid": valid.numpy(), "text_available": available.numpy()}
    states = torch.from_numpy(session(tmp_path / "text.onnx", 1).run(None, feeds)[0])
    assert not states[~valid].any()
    assert wanted.summary is not None
    torch.testing.assert_close(states[:, 0], wanted.summary * valid[:, :1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(states[:, 1:][valid[:, 1:]], wanted.values[valid[:, 1:]], rtol=1e-4, atol=1e-4)
