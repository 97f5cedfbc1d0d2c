"""Options that the models on crossmodal encoders (MulT, TFR-Net) share."""

from dataclasses import dataclass

from mitr.models.options import ModelOptions, check_heads, dropout_rate, kernel, size
from mitr.nn.crossmodal import Dropouts


@dataclass(frozen=True)
class CrossmodalOptions(ModelOptions):
    """What models on crossmodal encoders have in common; each model gives its own defaults.

    Args:
        width: D, to which all modalities are brought.
        heads: attention heads; divide `width`.
        layers: of an encoder that reads another modality; those that read their own have at least three.
        kernel_text: steps of text that its convolution spans, odd.
        kernel_audio: the same for audio.
        kernel_vision: the same for vision.
        dropout_text: on the text states.
        dropout_read_text: on attention weights where text is read, or the own modality.
        dropout_read_audio: the same where audio is read.
        dropout_read_vision: the same where vision is read.
        dropout_inner: inside the encoders' feed-forward networks.
        dropout_residual: before each addition in the encoders.
        dropout_embedding: on the encoders' input.

    Raises:
        MitrError: an option out of range, or heads that do not divide the width.
    """

    width: int = size(30)
    heads: int = size(6)
    layers: int = size(3)
    kernel_text: int = kernel(1)
    kernel_audio: int = kernel(1)
    kernel_vision: int = kernel(1)
    dropout_text: float = dropout_rate(0.0)
    dropout_read_text: float = dropout_rate(0.0)
    dropout_read_audio: float = dropout_rate(0.0)
    dropout_read_vision: float = dropout_rate(0.0)
    dropout_inner: float = dropout_rate(0.0)
    dropout_residual: float = dropout_rate(0.0)
    dropout_embedding: float = dropout_rate(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads)

    @property
    def own_layers(self) -> int:
        """Layers of an encoder that reads its own modality."""
        return max(self.layers, 3)

    def dropouts(self, read: str) -> Dropouts:
        """Of an encoder that reads a modality."""
        attention: float = getattr(self, f"dropout_read_{read}")
        return Dropouts(attention, self.dropout_inner, self.dropout_residual, self.dropout_embedding)
