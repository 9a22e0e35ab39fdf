"""Find non-finite weights in an ONNX file, without importing onnx.

ONNX Runtime may turn NaN into numbers (its ReLU gives 0), so that the outputs of a broken model may look fine.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.models.finite_arrays import not_finite
from ocrctl.models.onnx_tensors import read_float_tensors


def refuse_not_finite(path: Path) -> None:
    """Raise InputError when a weight of the model at `path` is NaN or infinite, or a constant NaN (attention masks are
    infinite constants). Weights are the tensors named `model.`, as `ocrctl export` names them."""
    for name, values in read_float_tensors(path):
        if held := not_finite(values, infinite=name.startswith("model.")):
            raise InputError(
                f"{path}: its weights {name} hold {held}.",
                hint="export a checkpoint from before training broke them",
            )
