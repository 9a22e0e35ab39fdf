"""The contract of every model: encoder -> decoder -> head, targets always handed to the decoder."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ocrctl.errors import UsageError


class OCRModel(nn.Module):
    """Pictures in, a dictionary of raw outputs out.

    The encoder turns normalised pictures into features, the decoder turns features (and, where it is autoregressive,
    targets) into states, the head turns states into outputs. Normalisation happens here, on the device, so that
    loaders ship uint8 and no second copy of it exists.
    """

    mean: Tensor
    std: Tensor
    norm_frozen = False
    """batch normalisation stays in evaluation's mode, with the statistics it has, when the model is set to train"""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        *,
        mean: float | list[float],
        std: float | list[float],
        class_tensors: tuple[str, ...] = (),
    ) -> None:
        """`class_tensors` names the tensors with a row for each class: row 0 special, then the charset in order, then
        further special ones. Weights go from one charset to another by them."""
        super().__init__()
        self.class_tensors = class_tensors
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """As torch does it, but for `norm_frozen`."""
        super().train(mode)
        if self.norm_frozen:
            for part in self.modules():
                if isinstance(part, _BatchNorm):
                    part.eval()
        return self

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) in 0..255 to float32 (x / 255 - mean) / std, same shape and memory format."""
        return (images.float() / 255.0 - self.mean) / self.std

    def forward(self, images: Tensor, targets: Tensor | None = None) -> dict[str, Tensor]:
        """Run the model.

        images: uint8 (N, C, H, W). targets: what the decoder of the architecture documents; CTC and detection
        decoders ignore it. Returns the head's outputs, for recognisers {"logits": (N, T, K)}.
        """
        features = self.encoder(self.normalise(images))
        states = self.decoder(features, targets)
        outputs: dict[str, Tensor] = self.head(states)
        return outputs

    def fit_size(self, weights: dict[str, Tensor]) -> None:
        """Bring those of `weights` that depend on the picture's size to this model's, in place. Most have none."""

    def undecayed(self) -> set[str]:
        """Names of matrices that weight decay leaves alone, besides every vector."""
        return set()

    def is_hidden_matrix(self, name: str, parameter: Tensor) -> bool:
        """Whether Muon may take `parameter`: a matrix or a kernel between the layers, not one that reads pixels, holds
        a row for each class, or filters each channel alone."""
        if name in self.class_tensors or name in self.undecayed() or parameter.ndim not in (2, 4):
            return False
        return parameter.ndim == 2 or parameter.shape[1] > 3

    def recompute_activations(self) -> None:
        """Compute the encoder's activations again in the backward pass instead of keeping them. Raises UsageError where
        an architecture does not offer it."""
        raise UsageError("train.activation_checkpointing: this architecture does not support it.")

    def layer_depth(self, name: str) -> int | None:
        """Which layer the parameter `name` belongs to, counted from the picture, for a learning rate that shrinks with
        the distance from the output: 0 is what first meets the picture, `layers` - 1 what stands behind the last layer.
        None: the model has no layers to tell apart."""
        return None

    @property
    def layers(self) -> int:
        """How many numbers layer_depth can give."""
        return 1

    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Only an autoregressive model generates; raises UsageError on every other."""
        raise UsageError(
            f"a model with a {type(self.decoder).__name__} does not support generate; it predicts all steps at once: "
            "only autoregressive models generate."
        )
