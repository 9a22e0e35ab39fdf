"""What the engine requires of a runtime: PyTorch or ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard

if TYPE_CHECKING:
    from ocrctl.text.lexicon import Lexicon


class Backend(Protocol):
    """Interface of a runtime: PyTorch or ONNX Runtime."""

    name: str
    device: str
    note: str
    card: ModelCard

    def outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run uint8 (N, H, W, C); returns the head's outputs, float32: logits (N, T, K) or maps (N, ..., h, w).

        widths: int64 (N,), the columns of each image in the batch, for a model that keeps the aspect ratio.
        """


@runtime_checkable
class SearchBackend(Backend, Protocol):
    """A runtime that can search an autoregressive model, and tell where it attends to."""

    def allow(self, classes: NDArray[np.bool_]) -> None:
        """Let an autoregressive model read only `classes` (K,) from now on. Raises UsageError when it cannot."""

    def check_search(self) -> None:
        """Raise UsageError when `beams` is not supported."""

    def beams(
        self,
        batch: NDArray[np.uint8],
        widths: NDArray[np.int64] | None,
        beam: int,
        power: float,
        lexicon: Lexicon | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Search an autoregressive model; returns the arrays of models.layers.beam_search.Beams: ids (N, B, T), steps
        (N, B, T) and scores (N, B)."""

    def attention(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None, ids: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Return where each image was attended to for each character of `ids` (N, T), float32 (N, T, h, w); None when
        the runtime or the model does not tell."""

    def step_attention(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Return where each step of a CTC model attends to, float32 (N, T, h, w)."""

    def sampling_points(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None, ids: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]] | None:
        """Return the arrays of models.ocr_model.SamplingPoints for each character of `ids`; None when the model does
        not sample."""
