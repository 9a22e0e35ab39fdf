"""The contract of every model: encoder -> decoder -> head, targets always handed to the decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OCRModel(nn.Module):
    """Pictures in, a dictionary of raw outputs out.

    The encoder turns normalised pictures into features, the decoder turns features (and, where it is autoregressive,
    targets) into states, the head turns states into outputs. Normalisation happens here, on the device, so that
    loaders ship uint8 and no second copy of it exists.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, *, mean: float, std: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

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
