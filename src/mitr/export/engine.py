"""An exported run as onnxruntime answers it: neither PyTorch nor transformers takes part.

`onnx.json` says what is in the folder; docs/export.md and the folder's README say what the graphs take.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from mitr.data.normalize import Normalizer
from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.files import read_json

if TYPE_CHECKING:
    from mitr.data.store import Sample

ABOUT, MODEL, TEXT, TOKENIZER, SCALING = "onnx.json", "model.onnx", "text.onnx", "tokenizer.json", "normalization.npz"
FORMAT = 1  # of the folder
AGAIN = "export the run again: mitr export RUN --overwrite"


class Part(NamedTuple):
    """One modality of a batch, as the graphs take it.

    Attributes:
        values: (B, T, D) float32, scaled as in training; of text also (B, T) int64 token ids. T is at least 1.
        valid: (B, T) bool, true inside the true length, that is at the first steps; an absent modality has none.
        available: (B, T) bool, true where the step was observed.
    """

    values: np.ndarray
    valid: np.ndarray
    available: np.ndarray


class Answers(NamedTuple):
    """What a run says of a batch.

    Attributes:
        prediction: (B,) float32 in label units, not clipped to the scale; or the index of the likeliest class.
        probabilities: (B, C), of classes only.
        all_missing: (B,) bool, nothing was observed, and the answer is the prior.
    """

    prediction: np.ndarray
    probabilities: np.ndarray | None
    all_missing: np.ndarray


class Tokens:
    """The tokenizer of an export.

    Args:
        path: `tokenizer.json`.
        about: the entry `text` of `onnx.json`.

    Raises:
        MitrError: tokenizers is not installed, or cannot read the file.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]):
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MitrError("text needs the package tokenizers: pip install tokenizers") from None
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain exceptions
            raise MitrError(f"{path} is not a tokenizer that can be read ({error}); {AGAIN}") from None
        self.max_tokens, self.sep = int(about["max_tokens"]), int(about["sep"])

    def ids(self, texts: Iterable[str]) -> tuple[list[np.ndarray], int]:
        """Texts -> int32 ids with [CLS] and [SEP], empty for a blank text; and how many were cut to `max_tokens`."""
        return self.cut([self._ids(text) if text.strip() else np.zeros(0, np.int32) for text in texts])

    def cut(self, ids: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
        """Ids, at most `max_tokens` of them, the last [SEP]; and how many were cut."""
        long = [len(one) > self.max_tokens for one in ids]
        end = np.int32(self.sep)
        shown = [np.append(i[: self.max_tokens - 1], end) if cut else i for i, cut in zip(ids, long, strict=True)]
        return shown, sum(long)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """First and last character of each token that `ids` gives for a text; (0, 0) of [CLS] and [SEP]."""
        spans = [(int(first), int(last)) for first, last in self._tokenizer.encode(text).offsets]
        return spans if len(spans) <= self.max_tokens else [*spans[: self.max_tokens - 1], (0, 0)]

    def _ids(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(text).ids, np.int32)


class OnnxEngine:
    """The graphs of an export, with all that an answer takes.

    Args:
        folder: what `mitr export` made.
        threads: of each graph; 0: as many as the machine has cores.

    Attributes:
        about: the content of `onnx.json`.
        modalities: those of the run, in the order text, audio, vision.
        tokens: the tokenizer; None where text is no token ids.
        normalizer: how features are scaled.

    Raises:
        MitrError: the folder is no export of this version, is damaged, or onnxruntime is not installed.
    """

    def __init__(self, folder: str | Path, threads: int = 0):
        self.folder = Path(folder)
        self.about = read_about(self.folder)
        self.modalities = [m for m in MODALITIES if m in self.about["modalities"]]
        self.normalizer = Normalizer.from_tensors(_arrays(self.folder / SCALING))
        self._model = session(self.folder / MODEL, threads)
        self._inputs = [one.name for one in self._model.get_inputs()]
        self.tokens: Tokens | None = None
        if self.about["text"] is not None:
            self._text = session(self.folder / TEXT, threads)
            self.tokens = Tokens(self.folder / TOKENIZER, self.about["text"])

    def predict(self, samples: "Sequence[Sample]", batch_size: int = 32) -> Answers:
        """Answer about samples, those of like length together.

        Args:
            samples: features as they were extracted, of the widths in `onnx.json`; text as `raw_text`, or as the token
                ids or embeddings in `features`.
            batch_size: samples a batch.

        Raises:
            MitrError: features of another shape.
        """
        if not len(samples):
            classes = self.about["classes"]
            blank = None if classes is None else np.zeros((0, len(classes)), np.float32)
            return Answers(np.zeros(0, np.float32), blank, np.zeros(0, bool))
        parts = {m: self._steps(m, samples) for m in self.modalities}
        lengths = {m: np.array([len(values) for values, _ in steps]) for m, steps in parts.items()}
        total = np.sum(list(lengths.values()), axis=0)
        order = np.lexsort((total, total if self.tokens is None else lengths["text"]))  # tokens cost most
        answers = []
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            answers.append(self.answer({m: padded([steps[i] for i in chosen]) for m, steps in parts.items()}))
        back = np.argsort(order, kind="stable")
        shares = [one.probabilities for one in answers if one.probabilities is not None]
        return Answers(
            np.concatenate([one.prediction for one in answers])[back],
            np.concatenate(shares)[back] if shares else None,
            np.concatenate([one.all_missing for one in answers])[back],
        )

    def answer(self, view: Mapping[str, Part]) -> Answers:
        """Answer about one batch; text may be token ids."""
        if self.tokens is not None and view["text"].values.ndim == 2:
            view = {**view, "text": view["text"]._replace(values=self.states(view["text"]))}
        raw, nothing = self.run(view)
        if self.about["classes"] is None:
            return Answers(raw, None, nothing)
        odds = np.exp(raw - raw.max(axis=1, keepdims=True))
        return Answers(raw.argmax(axis=1).astype(np.float32), odds / odds.sum(axis=1, keepdims=True), nothing)

    def states(self, text: Part) -> np.ndarray:
        """Token ids (B, T) -> what the text encoder says of each, (B, T, D) float32."""
        feeds = {f"text_{name}": part for name, part in zip(("ids", *Part._fields[1:]), text, strict=True)}
        states: np.ndarray = self._text.run(None, feeds)[0]
        return states

    def run(self, view: Mapping[str, Part]) -> tuple[np.ndarray, np.ndarray]:
        """The model's own outputs, text as states: prediction, (B,) or (B, C) logits, and (B,) bool, all missing."""
        feeds = {f"{m}_{name}": part for m, parts in view.items() for name, part in parts._asdict().items()}
        prediction, nothing = self._model.run(None, {name: feeds[name] for name in self._inputs})
        return prediction, nothing

    def _steps(self, modality: str, samples: "Sequence[Sample]") -> list[tuple[np.ndarray, np.ndarray]]:
        if modality == "text" and self.tokens is not None:
            ids, _ = self.tokens.ids("" if "text" in sample.features else sample.raw_text for sample in samples)
            ids, _ = self.tokens.cut([self._own(s, "text", one) for s, one in zip(samples, ids, strict=True)])
            return [(one.astype(np.int64), one != self.about["text"]["unknown"]) for one in ids]
        found = []
        nothing = np.zeros((0, int(self.about["modalities"][modality]["dim"])), np.float32)
        for sample in samples:
            values = self._own(sample, modality, nothing)
            there = sample.available.get(modality, np.ones(len(values), bool))
            found.append((self.normalizer.apply(modality, values, there), there))
        return found

    def _own(self, sample: "Sample", modality: str, otherwise: np.ndarray) -> np.ndarray:
        """A sample's features, which must have the width of those that stand for an absent modality."""
        values = sample.features.get(modality, otherwise)
        if values.ndim != otherwise.ndim or values.shape[1:] != otherwise.shape[1:]:
            takes = f"({', '.join(['steps', *map(str, otherwise.shape[1:])])})"
            raise MitrError(
                f"sample {sample.id!r}: {modality} has the shape {values.shape}; {self.folder} takes {takes}"
            )
        return values


def padded(steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> Part:
    """Values (T, D) or (T,) and masks (T,) bool of B samples -> a batch, padded to its longest (two steps at least)."""
    longest = max(2, *(len(values) for values, _ in steps))
    first = steps[0][0]
    values = np.zeros((len(steps), longest, *first.shape[1:]), first.dtype)
    valid, available = np.zeros((2, len(steps), longest), bool)
    for i, (own, there) in enumerate(steps):
        values[i, : len(own)], valid[i, : len(own)], available[i, : len(own)] = own, True, there
    return Part(values, valid, available)


def session(path: Path, threads: int = 0) -> Any:
    """A graph, ready to run on the CPU.

    Raises:
        MitrError: onnxruntime is not installed, or cannot read the file.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # threads that spin while they wait take a busy machine's time from those that work: 90 ms a clip instead of 11
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors alone
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's exceptions have no base of their own
        reason = str(error).splitlines()[0] if path.is_file() else "it is not there"
        raise MitrError(f"{path} cannot be used ({reason}); {AGAIN}") from None


def onnxruntime() -> Any:
    """The module onnxruntime, which is kept from sending usage data.

    Raises:
        MitrError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it is read at the import
    try:
        return import_module("onnxruntime")
    except ImportError:
        raise MitrError("this needs the package onnxruntime: pip install 'mitr[onnx]'") from None


def read_about(folder: Path) -> dict[str, Any]:
    """The description of an export.

    Raises:
        MitrError: there is none, or it is of another version.
    """
    path = folder / ABOUT
    if not path.is_file():
        raise MitrError(f"{folder} is not an exported run (it has no {ABOUT}): make one with `mitr export RUN`")
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise MitrError(f"{path} is not of this version; {AGAIN}")
    return about


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, BadZipFile) as error:
        raise MitrError(f"{path} cannot be read ({error}); {AGAIN}") from None
