"""Run a checkpoint with PyTorch, on the CPU or on a CUDA device, as a backend of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocrctl.errors import ResumableStop, UsageError
from ocrctl.models.build import build_trained
from ocrctl.models.card import with_decoding
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.layers.word_tree import WordTree
from ocrctl.models.ocr_model import NEVER, OCRModel
from ocrctl.models.plugins import guarded
from ocrctl.models.registry import family_of
from ocrctl.runtime import model_threads, torch_device
from ocrctl.text.lexicon import Lexicon


class TorchBackend:
    """Run a checkpoint. `threads`: CPU threads of PyTorch for the whole process; None leaves them unchanged.
    `decoding` as in models.card.with_decoding."""

    name = "torch"

    def __init__(self, path: Path, device: str, threads: int | None, decoding: str | None = None) -> None:
        self.device = torch_device(device)
        self.note = ""
        if threads is not None:
            torch.set_num_threads(model_threads(threads))
        card, state = load_checkpoint(path)
        self.card = with_decoding(card, decoding, path)
        self._plugin = family_of(card.arch).plugin
        model = build_trained(self.card, state, path)
        # NHWC memory: the uint8 batch arrives in that order, and convolutions are faster in it.
        model = model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.inference_mode():
            model.copy_weights()
        self.model = model
        self._path = path
        self._tree: tuple[Lexicon, WordTree] | None = None

    def outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run uint8 (N, H, W, C); returns the head's outputs, float32. widths: as in Engine.logits. Raises
        ResumableStop when the device runs out of memory."""
        named = {} if widths is None else {"widths": torch.from_numpy(widths).to(self.device)}
        with self._running(batch, "the forward pass"):
            outputs = self.model(self._images(batch), **named)
            return {name: value.float().cpu().numpy() for name, value in outputs.items()}

    def allow(self, classes: NDArray[np.bool_]) -> None:
        """Let an autoregressive model read only `classes` (K,) from now on. Raises UsageError when its head is not a
        linear layer with a bias."""
        head = self.model.head
        if not isinstance(head, torch.nn.Linear) or head.bias is None:
            raise UsageError(f"{self._path}: {self.card.arch} does not support an allowlist.")
        with torch.no_grad():
            head.bias[torch.from_numpy(~classes).to(self.device)] = NEVER

    def check_search(self) -> None:
        """Raise UsageError when the model has no beam search."""
        if type(self.model).generate_beam is OCRModel.generate_beam:
            raise UsageError(
                f"{self._path}: {self.card.arch} does not support beam search, a lexicon or an n-gram model.",
                hint="leave --decoding out",
            )

    def beams(
        self,
        batch: NDArray[np.uint8],
        widths: NDArray[np.int64] | None,
        beam: int,
        power: float,
        lexicon: Lexicon | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Search for the best texts: ids (N, B, T), steps (N, B, T) and scores (N, B) of layers.beam_search.Beams.
        Raises ResumableStop when the device runs out of memory."""
        tree = None
        if lexicon is not None:
            if self._tree is None or self._tree[0] is not lexicon:
                self._tree = lexicon, WordTree(lexicon, len(self.card.charset) + 1, self.device)
            tree = self._tree[1]
        columns = None if widths is None else torch.from_numpy(widths).to(self.device)
        with self._running(batch, "the beam search"):
            found = self.model.generate_beam(self._images(batch), beam, power=power, words=tree, widths=columns)
            return found.ids.cpu().numpy(), found.steps.float().cpu().numpy(), found.scores.float().cpu().numpy()

    def attention(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None, ids: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Return the attention to the image for each character, float32 (N, T, h, w); None when the model has none."""
        columns = None if widths is None else torch.from_numpy(widths).to(self.device)
        with self._running(batch, "the attention"):
            found = self.model.attention(self._images(batch), torch.from_numpy(ids).to(self.device), widths=columns)
            return None if found is None else found.float().cpu().numpy()

    def step_attention(self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """Return where each step of a CTC model attends to, float32 (N, T, h, w). Raises ValueError when the model has
        no attention."""
        columns = None if widths is None else torch.from_numpy(widths).to(self.device)
        with self._running(batch, "the attention"):
            found = self.model.step_attention(self._images(batch), widths=columns)
            if found is None:
                raise ValueError(f"{self.card.arch} has no attention of output steps")
            return found.float().cpu().numpy()

    def sampling_points(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None, ids: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]] | None:
        """Return the arrays of models.ocr_model.SamplingPoints for each character; None when the model has none."""
        columns = None if widths is None else torch.from_numpy(widths).to(self.device)
        with self._running(batch, "the sampling points"):
            found = self.model.sampling_points(self._images(batch), torch.from_numpy(ids).to(self.device), columns)
            if found is None:
                return None
            return found.cells.float().cpu().numpy(), found.weights.float().cpu().numpy(), found.outside.cpu().numpy()

    def _images(self, batch: NDArray[np.uint8]) -> Tensor:
        """Return (N, C, H, W), a view that is channels-last already."""
        return torch.from_numpy(batch).permute(0, 3, 1, 2).to(self.device)

    @contextmanager
    def _running(self, batch: NDArray[np.uint8], what: str) -> Iterator[None]:
        """Run the model on a batch. Raises ResumableStop when the device runs out of memory."""
        try:
            with torch.inference_mode(), guarded(self._plugin, what):
                yield
        except torch.OutOfMemoryError as error:
            raise ResumableStop(
                f"{self.device} ran out of memory with a batch of {len(batch)}.",
                hint=f"--batch-size {len(batch) // 2}" if len(batch) > 1 else "--device cpu",
            ) from error
