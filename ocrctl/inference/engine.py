"""The engine: a model loaded once per process, pictures in as arrays, text out as dataclasses, no files in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.data.images import resize_word
from ocrctl.errors import InputError
from ocrctl.inference.devices import parse_device
from ocrctl.inference.locate import ModelFile, locate
from ocrctl.text.tokenizer import make_tokenizer


@dataclass(frozen=True)
class Recognition:
    """What was read in one picture; `confidence` 0..1 is the geometric mean of the characters' probabilities."""

    text: str
    confidence: float


class Backend(Protocol):
    """What the engine needs of a runtime."""

    name: str
    device: str
    note: str
    card: ModelCard

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) -> float32 (N, T, K)."""


class Engine:
    """A recogniser. `Engine.load("runs/last").recognize([rgb_array, ...])` is the whole use.

    card: the model's own charset, preprocessing and thresholds; device: where it runs; backend: "torch" or "onnx";
    note: what should be told about how it was loaded ("" when nothing).
    """

    def __init__(self, file: ModelFile, backend: Backend) -> None:
        """Use `load`. Raises InputError when the model is no recogniser that this version knows."""
        self.card = backend.card
        if self.card.task != "recognition":
            raise InputError(f"{file.path}: expected a recogniser, found a model for '{self.card.task}'.")
        self.path, self.name = file.path, file.name
        self.backend, self.device, self.note = backend.name, backend.device, backend.note
        self._backend = backend
        self._tokenizer = make_tokenizer(self.card)

    @classmethod
    def load(
        cls, model: str | Path, device: str = "auto", threads: int | None = None, decoding: str | None = None
    ) -> Engine:
        """Load `model` (checkpoint, ONNX file, export bundle, run folder), or return it when this process has it.

        device: auto, cpu, cuda or cuda:INDEX; threads: CPU threads (None: the runtime's own choice);
        decoding: ar or nar, how an autoregressive model reads (None: as it was trained or exported to).
        Raises UsageError, InputError (no model there) or MissingRequirement (CUDA asked for and not usable).
        """
        parse_device(device)
        file = locate(model)
        status = file.path.stat()
        place = (str(file.path.resolve()), device, threads, decoding)
        stamp = (status.st_mtime_ns, status.st_size)
        with _lock:
            cached = _loaded.get(place)
            if cached is None or cached[0] != stamp:  # a file written anew replaces the engine of the old one
                cached = (stamp, cls(file, _open_backend(file, device, threads, decoding)))
                _loaded[place] = cached
            return cached[1]

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB uint8 (h, w, 3) -> the model's input uint8 (H, W, C), by the one resize that training uses too.

        Raises InputError for an array that is no such picture.
        """
        return resize_word(image, self.card.height, self.card.width, self.card.channels)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Prepared uint8 (N, H, W, C) -> float32 (N, T, K): T steps, K classes, class 0 the blank or the end."""
        wanted = (self.card.height, self.card.width, self.card.channels)
        if batch.dtype != np.uint8 or batch.shape[1:] != wanted:
            raise ValueError(f"expected a prepared uint8 batch (N, {wanted}), got {batch.dtype} {batch.shape}")
        return self._backend.logits(batch)

    def recognize_prepared(self, batch: NDArray[np.uint8]) -> list[Recognition]:
        """Read a batch of `prepare`d pictures, uint8 (N, H, W, C), in order."""
        if len(batch) == 0:
            return []
        return self.decode(self.logits(batch))

    def decode(self, logits: NDArray[np.float32]) -> list[Recognition]:
        """float32 (N, T, K) -> one Recognition per row, by the best class of each step."""
        ids = logits.argmax(axis=2)  # (N, T)
        best = np.take_along_axis(logits, ids[:, :, None], axis=2)  # (N, T, 1)
        probs = 1.0 / np.exp(logits - best).sum(axis=2)  # softmax of the best class, without overflow
        return [Recognition(text, confidence) for text, confidence in self._tokenizer.decode(ids, probs)]

    def recognize(self, images: Sequence[NDArray[np.uint8]], batch_size: int = 64) -> list[Recognition]:
        """Read RGB uint8 pictures (h, w, 3) of any sizes; one Recognition each, in input order.

        Raises InputError for an array that is no such picture, ValueError for a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        results: list[Recognition] = []
        for start in range(0, len(images), batch_size):
            batch = np.stack([self.prepare(image) for image in images[start : start + batch_size]])
            results.extend(self.recognize_prepared(batch))
        return results


def _open_backend(file: ModelFile, device: str, threads: int | None, decoding: str | None) -> Backend:
    # Imported on demand: an ONNX file is read without paying for torch, a checkpoint without onnxruntime.
    if file.kind == "onnx":
        from ocrctl.inference.onnx_backend import OnnxBackend

        return OnnxBackend(file.path, device, threads, decoding)
    from ocrctl.inference.torch_backend import TorchBackend

    return TorchBackend(file.path, device, threads, decoding)


_loaded: dict[tuple[str, str, int | None, str | None], tuple[tuple[int, int], Engine]] = {}
_lock = threading.Lock()
