"""Keep the features of a frozen encoder, so that further epochs compute only what is trained.

The encoder of a sample that is not augmented gives the same features in every epoch. At one input size a whole batch is
computed as without the cache, so that the run is the same bit for bit. Where the aspect ratio is kept, each image is
computed by itself at its own width: its features do not depend on its batch, so a resumed run is exact, and they equal
those of a batch up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ocrctl.models.layers.columns import Columns
from ocrctl.models.ocr_model import OCRModel

Key = tuple[int, int]  # (source, index) of a sample
Features = tuple[Tensor, ...]


class FeatureCache:
    """Features of the samples of one run, in memory.

    limit: maximum bytes; what is beyond it is computed each time. locate: a draw number to (source, index).
    """

    def __init__(self, model: OCRModel, locate: Callable[[int], tuple[Key, str]], limit: int) -> None:
        self._model, self._locate, self._limit = model, locate, limit
        self._held: dict[Key, Features] = {}
        self._bytes = 0
        self._keys: list[Key] | None = None
        self._single = False  # whether the encoder gives one tensor, not a tuple

    def begin(self, numbers: Sequence[int]) -> None:
        """Name the samples of the next forward pass by their draw numbers; later ones are computed."""
        self._keys = [self._locate(n)[0] for n in numbers]

    def __call__(self, encoder: Any, images: Tensor, columns: Columns | None) -> Any:
        """Return the encoder's features of normalised images (N, C, H, W), a tensor or a tuple of tensors (N, ...)."""
        keys, self._keys = self._keys, None
        with torch.no_grad():
            if keys is None:
                return _run(encoder, images, columns)
            if columns is None:
                return self._of_one_size(encoder, images, keys)
            return self._of_many_widths(encoder, images, columns, keys)

    def _of_one_size(self, encoder: Any, images: Tensor, keys: list[Key]) -> Any:
        if all(key in self._held for key in keys):
            rows = [self._held[key] for key in keys]
            return self._whole(tuple(torch.cat(parts) for parts in zip(*rows, strict=True)))
        computed = _run(encoder, images, None)
        features = self._parts(computed)
        for row, key in enumerate(keys):
            self._hold(key, tuple(part[row : row + 1].clone() for part in features))
        return computed

    def _of_many_widths(self, encoder: Any, images: Tensor, columns: Columns, keys: list[Key]) -> Any:
        kept, step = self._model.kept, self._model.columns_per_step
        assert kept is not None and step
        rows: list[Tensor] = []
        for row, key in enumerate(keys):
            width = min(kept.batch_width(int(columns.image[row])), images.shape[3])
            if key in self._held:
                (features,) = self._held[key]
            else:
                own = Columns(columns.image[row : row + 1], columns.counted[row : row + 1])
                (features,) = self._parts(_run(encoder, images[row : row + 1, ..., :width], own))
                self._hold(key, (features.clone(),))
            more = images.shape[3] // step - width // step  # columns beyond an image hold what its last one holds
            last = features[..., -1:].expand(*features.shape[:-1], more)
            rows.append(torch.cat([features, last], -1))
        return torch.cat(rows)

    def _hold(self, key: Key, features: Features) -> None:
        size = sum(part.nbytes for part in features)
        if key not in self._held and self._bytes + size <= self._limit:
            self._held[key] = features
            self._bytes += size

    def _parts(self, features: Any) -> Features:
        self._single = isinstance(features, Tensor)
        return (features,) if self._single else tuple(features)

    def _whole(self, features: Features) -> Any:
        return features[0] if self._single else features


def _run(encoder: Any, images: Tensor, columns: Columns | None) -> Any:
    return encoder(images) if columns is None else encoder(images, columns=columns)
