"""An exported run in the place of its network: predictions, intervals and explanations work as with PyTorch."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mitr.batches.views import Steps, Targets, View
from mitr.errors import MitrError
from mitr.export.engine import ABOUT, OnnxEngine, Part, read_about
from mitr.files import sha256
from mitr.models.network import Network, Output
from mitr.runs.run import Run
from mitr.text.encoder import TextEncoder

FOLDER = "onnx"  # inside a run
KEPT_BYTES = 64 << 20  # of text states


class OnnxText(TextEncoder):
    """The tokenizer and the text graph of an export; the last texts that it read are remembered.

    Args:
        engine: of an export with a text graph.
    """

    def __init__(self, engine: OnnxEngine):
        nn.Module.__init__(self)  # no weights: they are in the graph
        assert engine.tokens is not None
        about = engine.about["text"]
        self.engine, self.tokens = engine, engine.tokens
        self.dim, self.max_tokens, self.vocabulary_size = about["dim"], about["max_tokens"], about["vocabulary_size"]
        self.unknown, self.cls, self.sep = about["unknown"], about["cls"], about["sep"]
        self.identity = {name: about[name] for name in ("name", "vocabulary_size", "dim", "sha256")}
        self.finetune, self.skip_hidden, self.most_bytes = False, about["hidden"] == "skip", 0
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()  # a text and its masks -> its states (T, D)
        self._size = 0

    def forward(self, steps: Steps) -> Steps:
        """Token ids (B, T) -> states (B, T, D), those of [CLS] and [SEP] among them."""
        part = _part(steps)
        lengths = part.valid.sum(axis=1)
        keys = [b"" if not n else b"".join(a[i, :n].tobytes() for a in part) for i, n in enumerate(lengths)]
        new = {key: i for i, key in enumerate(keys) if key and key not in self._kept}
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if new:
            rows, longest = list(new.values()), lengths[list(new.values())].max()
            states = self.engine.states(Part(*(a[rows, :longest] for a in part)))
            found |= {key: states[j, : lengths[i]].copy() for j, (key, i) in enumerate(new.items())}
        values = np.zeros((*part.valid.shape, self.dim), np.float32)
        for i, key in enumerate(keys):
            if key:
                values[i, : lengths[i]] = found[key]
                self._keep(key, found[key])
        return steps._replace(values=torch.from_numpy(values))

    def prepare(self, *sets: Sequence[Steps]) -> None:
        """Nothing needs to be at hand."""

    def tokenise(self, texts: Iterable[str]) -> tuple[list[np.ndarray], int]:
        """Texts -> int32 ids with [CLS] and [SEP], empty for a blank text; and how many were cut to `max_tokens`."""
        return self.tokens.ids(texts)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """First and last character of each token that `tokenise` gives for a text; (0, 0) of [CLS] and [SEP]."""
        return self.tokens.spans(text)

    def _keep(self, key: bytes, states: np.ndarray) -> None:
        if key not in self._kept:
            self._kept[key] = states
            self._size += states.nbytes
        self._kept.move_to_end(key)
        while self._size > KEPT_BYTES:
            self._size -= self._kept.popitem(last=False)[1].nbytes


class OnnxNetwork(Network):
    """What `Network` is to those who predict, run by onnxruntime on the CPU; it cannot be trained.

    Args:
        engine: an export.
    """

    text: OnnxText | None

    def __init__(self, engine: OnnxEngine):
        nn.Module.__init__(self)  # there is no model of PyTorch
        self.engine = engine
        self.text = OnnxText(engine) if engine.tokens is not None else None
        self.special_tokens = bool(engine.about["special_tokens"])
        self.register_buffer("prior", torch.tensor(engine.about["prior"]))
        self._teacher = []
        self.eval()

    def forward(self, complete: View, incomplete: View | None = None, targets: Targets | None = None) -> Output:
        """Predict from a view.

        Raises:
            MitrError: there is something to learn.
        """
        if incomplete is not None or targets is not None:
            raise MitrError("an exported run answers and does not learn: train with the run itself")
        shown = {m: complete[m] for m in self.engine.modalities}
        if self.text is not None:
            shown["text"] = self.text(shown["text"])
        prediction, nothing = self.engine.run({m: _part(steps) for m, steps in shown.items()})
        return Output(torch.from_numpy(prediction), torch.from_numpy(nothing), {}, torch.zeros(()))

    @property
    def remembers_texts(self) -> bool:
        """It does so by itself."""
        return False


def onnx_network(run: Run | str | Path, threads: int = 0) -> OnnxNetwork:
    """The export in a run's folder as a network.

    Args:
        run: a trained run, or its folder.
        threads: of each graph; 0: as many as the machine has cores.

    Raises:
        MitrError: there is none, or it was made of other weights.
    """
    run = run if isinstance(run, Run) else Run(run)
    folder, weights = run.folder / FOLDER, run.weights
    if not (folder / ABOUT).is_file():
        raise MitrError(f"{run.folder} has no ONNX export yet: make it with `mitr export {run.folder}`")
    if not weights.is_file() or read_about(folder)["weights_sha256"] != sha256(weights):
        raise MitrError(
            f"{folder} was exported from other weights than those of {run.folder}: "
            f"make it again with `mitr export {run.folder} --overwrite`"
        )
    return OnnxNetwork(OnnxEngine(folder, threads))


def _part(steps: Steps) -> Part:
    values, valid, available = (np.ascontiguousarray(part.numpy()) for part in (steps[:3]))
    return Part(values, valid, available)


__all__ = ["OnnxNetwork", "OnnxText", "onnx_network"]
