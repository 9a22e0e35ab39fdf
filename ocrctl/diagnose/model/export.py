"""Check that the exported graph computes what PyTorch does, with the model of the diagnosis."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.diagnose.checks import Check, fail, first_line, ok
from ocrctl.diagnose.model.subject import Subject
from ocrctl.errors import OcrctlError
from ocrctl.export.onnx import to_onnx, write_onnx
from ocrctl.export.parity import Parity, compare, probe_images
from ocrctl.export.parity_pages import PROBE_SIZES, compare_pages, probe_pages
from ocrctl.inference.engine import Engine
from ocrctl.inference.locate import ModelFile
from ocrctl.inference.onnx_backend import OnnxBackend
from ocrctl.models.ocr_model import OCRModel

PROBES = 5  # images, among them black and white
TOLERANCE = 1e-3  # of the largest difference of logits or maps, as for `ocrctl export`


@dataclass
class LiveBackend:
    """Run a model that is in memory, as a backend of the engine."""

    model: OCRModel
    card: ModelCard
    name: str = "torch"
    device: str = "cpu"
    note: str = ""

    def outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run uint8 (N, H, W, C); returns the outputs, float32."""
        images = torch.from_numpy(batch).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = self.model(images) if widths is None else self.model(images, widths=torch.from_numpy(widths))
        return {name: value.float().numpy() for name, value in found.items()}


def check_export(subject: Subject, model: OCRModel) -> Check:
    """Export `model` to a temporary ONNX file and compare outputs on probes."""
    fix = (
        "no branch on values and no Python numbers from tensors in forward; ocrctl export MODEL -o DIR shows the layer"
    )
    meaning = "the shipped model is another one than the one that was trained"
    model = model.to("cpu").eval()
    with tempfile.TemporaryDirectory(prefix="ocrctl-") as folder:
        path = Path(folder) / "model.onnx"
        try:
            write_onnx(to_onnx(model, subject.card), path)
            live = Engine(ModelFile(path, "checkpoint", "model"), LiveBackend(model, subject.card))
            onnx = Engine(ModelFile(path, "onnx", "model"), OnnxBackend(path, "cpu", None))
            found = _compare(live, onnx)
        except OcrctlError as error:
            return fail("export", error.message, fix, meaning)
        except Exception as error:  # whatever the exporter raises is the finding itself
            return fail("export", f"{type(error).__name__}: {first_line(error)}", fix, "the model cannot be shipped")
    worst = max(one.max_diff for one in found)
    differing = sum(len(one.differing) for one in found)
    seen = f"outputs of {sum(one.samples for one in found)} probes differ by {worst:.1e} at most"
    if not worst <= TOLERANCE or differing:
        more = f", {differing} give other {found[0].of}" if differing else ""
        return fail("export", f"{seen} (allowed {TOLERANCE:g}){more}", fix, meaning)
    return ok("export", f"{seen} between PyTorch and ONNX Runtime")


def _compare(live: Engine, onnx: Engine) -> list[Parity]:
    if live.detects:
        return [
            compare_pages(live, onnx, "probes", [([f"probe {i}" for i in range(2)], probe_pages(2, size))])
            for size in PROBE_SIZES
        ]
    return [
        compare(live, onnx, "probes", [([f"probe {i}" for i in range(size)], [[i] for i in probe_images(live, size)])])
        for size in (1, PROBES)
    ]
