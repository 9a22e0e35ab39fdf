"""Make the weight files of the default models again, by the commands of their manifest, and compare them.

    python benchmarks/default_weights.py [FOLDER]      (default: a temporary one; needs network access for rapidocr)

Prints the SHA-256 of each new file; where it is not that of the manifest, whether the weights are the same: other
versions of PyTorch or onnxscript may write another graph around them. Exit 1 when weights differ.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ocrctl.inference.default_models import WEIGHTS, default_models
from ocrctl.models.onnx_tensors import read_onnx_tensors

WITH = ("torch", "onnx", "onnxscript", "numpy")


def same_weights(one: Path, other: Path) -> bool:
    """Whether both files hold the same tensors, bit for bit."""
    left, right = (read_onnx_tensors(path).tensors for path in (one, other))
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def main(folder: Path) -> int:
    """Run each command once, then compare."""
    models = [model for model in default_models().values() if model.package is None]
    for command in dict.fromkeys(command for model in models for command in model.commands):
        print(f"$ {command}", flush=True)
        ocrctl = f"{sys.executable} -m ocrctl"
        line = command.replace("ocrctl ", f"{ocrctl} ", 1) if command.startswith("ocrctl ") else command
        line = line.replace("python ", f"{sys.executable} ", 1) if line.startswith("python ") else line
        line = line.replace("pip ", f"{sys.executable} -m pip ", 1) if line.startswith("pip ") else line
        subprocess.run(line, shell=True, cwd=folder, check=True)
    print("with " + ", ".join(f"{name} {version(name)}" for name in WITH))
    wrong = 0
    for model in models:
        made = folder / "weights" / model.file
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        same = digest == model.sha256 or same_weights(made, WEIGHTS / model.file)
        verdict = "equal" if digest == model.sha256 else "equal weights, another graph" if same else "OTHER WEIGHTS"
        print(f"{model.file}: {digest}, {made.stat().st_size:,} bytes, {verdict}")
        wrong += not same
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
