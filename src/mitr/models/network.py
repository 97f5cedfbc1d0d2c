"""A model with its text encoder and its prior: from batches as they are loaded to predictions and losses."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mitr.batches.views import Steps, Targets, View, all_missing, trimmed, without_cls
from mitr.models.base import Model
from mitr.text.encoder import TextEncoder


class Output(NamedTuple):
    """What a network says of a batch.

    Attributes:
        prediction: (B,) sentiment, or (B, C) logits of classes; the prior where nothing was observed.
        all_missing: (B,) bool, nothing was observed.
        losses: unweighted loss terms by name; empty without an incomplete view.
        total: their weighted sum.
    """

    prediction: Tensor
    all_missing: Tensor
    losses: dict[str, Tensor]
    total: Tensor

    @property
    def label(self) -> Tensor:
        """(B,) the answer in label units: the sentiment, or the index of the likeliest class."""
        return self.prediction if self.prediction.dim() == 1 else self.prediction.argmax(dim=1).float()


class Network(nn.Module):
    """Text encoder + model + prior.

    Args:
        model: the model over encoded views.
        text: the encoder of token ids; None where text is embeddings or absent.
        special_tokens: text embeddings begin with [CLS], which is set aside.
        prior: the answer where nothing was observed: the median of the training labels, which is the best constant for
            MAE; or the logarithms of the C classes' shares in training.
        teacher: a trained network that is kept frozen.
    """

    prior: Tensor

    def __init__(
        self,
        model: Model,
        text: TextEncoder | None = None,
        special_tokens: bool = False,
        prior: float | Sequence[float] = 0.0,
        teacher: "Network | None" = None,
    ):
        super().__init__()
        self.model = model
        self.text = text
        self.special_tokens = special_tokens
        self.register_buffer("prior", torch.tensor(prior))
        self._teacher = [teacher.eval().requires_grad_(False)] if teacher else []  # in a list: not a part of us

    def forward(self, complete: View, incomplete: View | None = None, targets: Targets | None = None) -> Output:
        """Predict from `complete`; or, given an incomplete view and targets, from that one, with the losses."""
        if incomplete is None or targets is None:
            encoded = self.encode(complete)
            if self.text is not None and self.text.skip_hidden and "text" in encoded:
                encoded["text"] = trimmed(encoded["text"])  # what was hidden is padding now
            return self._answer(self.model(encoded), complete, {})
        if self._teacher:
            prediction, losses = self.model.losses(
                self._teacher[0].encode(complete), self.encode(incomplete), targets, self._teacher[0].model
            )
        else:
            prediction, losses = self.model.losses(*self._encode_both(complete, incomplete), targets)
        return self._answer(prediction, incomplete, losses)

    def encode(self, view: View) -> dict[str, Steps]:
        """Token ids become states; the [CLS] step of text becomes its summary."""
        encoded = dict(view)
        if "text" in view:
            if self.text is not None:
                encoded["text"] = self.text(view["text"])
            elif self.special_tokens:
                encoded["text"] = without_cls(view["text"])
        return encoded

    def _encode_both(self, one: View, other: View) -> tuple[dict[str, Steps], dict[str, Steps]]:
        """`encode` of two views of the same samples; an encoder that learns reads both in one pass."""
        if self.text is None or not self.text.finetune or "text" not in one:
            return self.encode(one), self.encode(other)
        first, second = one["text"], other["text"]
        both = Steps(*(torch.cat(parts) for parts in zip(first[:4], second[:4], strict=True)))
        read = self.text(both)
        parts = [part.chunk(2) for part in read]
        return tuple({**view, "text": Steps(*(p[i] for p in parts))} for i, view in enumerate((one, other)))  # type: ignore[return-value]

    @property
    def remembers_texts(self) -> bool:
        """The text encoder is frozen and remembers what it has read: `prepare` is worth its while."""
        return self.text is not None and not self.text.finetune and self.text.most_bytes > 0

    def prepare(self, *splits: Sequence[View]) -> None:
        """Let a frozen text encoder read these splits, each a list of batches, before they are asked for."""
        texts = [[view["text"] for view in views if "text" in view] for views in splits]
        if self.text is not None:
            self.text.prepare(*texts)
        if self._teacher:
            self._teacher[0].prepare(*splits)

    def to_device(self, device: torch.device) -> "Network":
        """Move the network, and the teacher with it."""
        for teacher in self._teacher:
            teacher.to(device)
        return self.to(device)

    def _answer(self, prediction: Tensor, view: View, losses: dict[str, Tensor]) -> Output:
        nothing = all_missing(view)
        total = (
            torch.stack([self.model.weight_of(name) * term for name, term in losses.items()]).sum()
            if losses
            else (torch.zeros((), device=prediction.device))
        )
        blank = nothing.view(-1, *[1] * (prediction.dim() - 1))
        return Output(torch.where(blank, self.prior.to(prediction.dtype), prediction), nothing, losses, total)
