"""Run a checkpoint with PyTorch, on the CPU or on a CUDA device, as a backend of the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.errors import ResumableStop
from ocrctl.models.build import build_trained
from ocrctl.models.card import with_decoding
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.plugins import guarded
from ocrctl.models.registry import family_of
from ocrctl.runtime import model_threads, torch_device


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
        self.model = model

    def outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run uint8 (N, H, W, C); returns the head's outputs, float32. widths: as in Engine.logits. Raises
        ResumableStop when the device runs out of memory."""
        images = torch.from_numpy(batch).permute(0, 3, 1, 2)  # (N, C, H, W), a view that is channels-last already
        try:
            with torch.inference_mode(), guarded(self._plugin, "the forward pass"):
                named = {} if widths is None else {"widths": torch.from_numpy(widths).to(self.device)}
                outputs = self.model(images.to(self.device), **named)
                return {name: value.float().cpu().numpy() for name, value in outputs.items()}
        except torch.OutOfMemoryError as error:
            raise ResumableStop(
                f"{self.device} ran out of memory with a batch of {len(batch)}.",
                hint=f"--batch-size {len(batch) // 2}" if len(batch) > 1 else "--device cpu",
            ) from error
