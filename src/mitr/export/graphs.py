"""A network as two graphs, text encoder and model, and how they are written as ONNX."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, all_missing, in_front, without_cls
from mitr.data.schema import MODALITIES, Modality
from mitr.errors import MitrError
from mitr.models.network import Network
from mitr.nn.onnx import OPSET
from mitr.text.encoder import TextEncoder

MASKS = ("valid", "available")
LARGEST_FILE = 1 << 30  # bytes of weights that one ONNX file holds; beyond two such files it could not be one


class TextGraph(nn.Module):
    """The text encoder: token ids and masks to states, the hidden tokens treated as the run treats them.

    Attributes:
        longest: text that the encoder has positions for, in tokens.
    """

    inputs = ("text_ids", "text_valid", "text_available")
    outputs = ("text_values",)

    def __init__(self, text: TextEncoder):
        super().__init__()
        self.model, self.unknown, self.skip_hidden = text.model, text.unknown, text.skip_hidden
        self.longest = int(text.model.config.max_position_embeddings)

    def forward(self, ids: Tensor, valid: Tensor, available: Tensor) -> Tensor:
        """(B, T) int64 and masks (B, T) bool -> states (B, T, D), zero where nothing is read."""
        shown = valid & available if self.skip_hidden else valid
        ids = torch.where(valid & ~available, self.unknown, ids)
        read = shown | ~shown.any(dim=1, keepdim=True)  # attention over nothing at all has no value
        states: Tensor = self.model(input_ids=ids, attention_mask=read.long()).last_hidden_state
        return states * shown[:, :, None]

    def examples(self) -> tuple[Tensor, ...]:
        """Inputs to trace with."""
        valid = torch.arange(7)[None] < torch.tensor([[7], [4], [0]])
        return torch.full((3, 7), self.unknown) * valid, valid, valid.clone()  # one tensor twice would be one input


class ModelGraph(nn.Module):
    """The model with the prior: what each modality shows to an answer.

    Attributes:
        inputs: for each modality `_values` (B, T, D) float32, `_valid` and `_available` (B, T) bool; text's values are
            what the text graph gives, [CLS] included.
    """

    outputs = ("prediction", "all_missing")
    prior: Tensor

    def __init__(self, network: Network, dims: dict[str, int]):
        super().__init__()
        self.model = network.model
        self.dims = {m: dims[m] for m in MODALITIES if m in dims}
        self.encoded = network.text is not None
        self.special_tokens = network.special_tokens or self.encoded
        self.skip_hidden = network.text is not None and network.text.skip_hidden
        self.register_buffer("prior", network.prior.clone())
        self.inputs = tuple(f"{m}_{part}" for m in self.dims for part in ("values", *MASKS))

    def forward(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs -> prediction, (B,) or (B, C) logits, and (B,) bool, nothing was observed."""
        view = {m: self._steps(m, *parts[3 * i : 3 * i + 3]) for i, m in enumerate(self.dims)}
        nothing = all_missing(view)
        shown = {m: self._encoded(steps) if m == "text" and self.special_tokens else steps for m, steps in view.items()}
        prediction = self.model(shown)
        blank = nothing if prediction.dim() == 1 else nothing[:, None]
        return torch.where(blank, self.prior, prediction), nothing

    def _steps(self, modality: str, values: Tensor, valid: Tensor, available: Tensor) -> Steps:
        available = available & valid
        if modality != "text":
            return Steps(torch.where(available[:, :, None], values, 0.0), valid, available, valid)
        if not self.encoded:
            values = torch.where(available[:, :, None], values, 0.0)
        if not self.special_tokens:
            return Steps(values, valid, available, valid)
        # without [CLS] one step must be left: in a mask of no steps, a graph's `any` is true
        values, valid, available = (one_step_more(part) for part in (values, valid, available))
        step = torch.arange(valid.shape[1])[None]
        content = (step > 0) & (step < valid.sum(dim=1, keepdim=True) - 1)
        return Steps(values, valid, available, content)

    def _encoded(self, text: Steps) -> Steps:
        if not self.skip_hidden:
            return without_cls(text)
        return in_front(without_cls(text._replace(valid=text.valid & text.available)))

    def examples(self) -> tuple[Tensor, ...]:
        """Inputs to trace with."""
        parts: list[Tensor] = []
        for i, dim in enumerate(self.dims.values()):
            valid = torch.arange(9 + i)[None] < torch.tensor([[9 + i], [5], [0]])
            parts += [torch.zeros(3, 9 + i, dim), valid, valid.clone()]
        return tuple(parts)


def one_step_more(x: Tensor) -> Tensor:
    """(B, T, ...) -> (B, T + 1, ...), with a step of padding behind."""
    return torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)


def write_graph(graph: TextGraph | ModelGraph, path: Path, what: str, folded: bool = False) -> None:
    """Write a graph as ONNX, with batch and lengths left open.

    Args:
        graph: what to write.
        path: the file to make.
        what: the name of what is exported, for messages.
        folded: compute what is constant now; onnxruntime does so when it loads a graph.

    Raises:
        MitrError: onnx or onnxscript is not installed, or PyTorch cannot turn this network into a graph.
    """
    if not (find_spec("onnx") and find_spec("onnxscript")):
        raise MitrError("an export needs the packages onnx and onnxscript: pip install 'mitr[onnx]'")
    try:
        with quietly(), torch.no_grad():
            shapes = _open_shapes(graph)
            program = torch.onnx.export(
                torch.export.export(graph.eval(), graph.examples(), dynamic_shapes=shapes),
                dynamo=True,
                dynamic_shapes=shapes,  # names them
                input_names=graph.inputs,
                output_names=graph.outputs,
                opset_version=OPSET,
                optimize=folded,
                verbose=False,
            )
            assert program is not None
            _forget_where(program.model)
            program.save(path, external_data=_bytes(graph) > LARGEST_FILE)
    except Exception as error:  # of torch.export, of the converter or of onnx, whatever stops it
        raise MitrError(f"{what} cannot be exported: PyTorch cannot make a graph of it ({_reason(error)})") from error


@contextmanager
def quietly() -> Iterator[None]:
    """Without what PyTorch and onnxruntime print and log for their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _open_shapes(graph: TextGraph | ModelGraph) -> Any:
    """Batch and lengths of the inputs, by name; the model takes its inputs as one argument."""
    batch, longest = torch.export.Dim("batch", min=1), graph.longest if isinstance(graph, TextGraph) else None
    modalities = [name.partition("_")[0] for name in graph.inputs]
    steps = {m: torch.export.Dim(f"{m}_steps", min=1, max=longest) for m in modalities}
    shapes = tuple({0: batch, 1: steps[m]} for m in modalities)
    return shapes if isinstance(graph, TextGraph) else (shapes,)


def _forget_where(model: Any) -> None:
    """Take out the notes for developers, which name files of this machine and are as large as a small model."""
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()


def _bytes(graph: nn.Module) -> int:
    return sum(part.nbytes for part in [*graph.parameters(), *graph.buffers()])


def _reason(error: BaseException) -> str:
    """The first line of what began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def dims_of(network: Network, modalities: Mapping[str, Modality]) -> dict[str, int]:
    """Modality -> the width of what the model reads of it."""
    widths = {m: int(one.dim or 0) for m, one in modalities.items()}
    return widths | ({"text": network.text.dim} if network.text is not None and "text" in widths else {})
