"""Small commands against the least that any program for the same task must do, fresh processes in interleaved pairs.

    python benchmarks/start_speed.py [--pairs 30] [--only predict|validate]

`predict one.jpg` with an ONNX model (limit 1.5) against a minimal script of onnxruntime and cv2 that reads, resizes and
recognises the same image with the same model; `dataset validate` of 20 words (limit 1.8) against importing numpy, cv2
and shapely. A process is measured by its CPU time, user and system, with one thread, which other work on the machine
disturbs less than the wall clock; that is printed too. Exits 1 above a limit.
"""

from __future__ import annotations

import argparse
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

MODEL = Path(__file__).parents[1] / "tests" / "fixtures" / "v0_1" / "crnn-tiny.onnx.xz"
MINIMAL = """\
import sys

import cv2
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
image = cv2.resize(cv2.imread(sys.argv[2], cv2.IMREAD_GRAYSCALE), (100, 32))
logits = session.run(None, {"images": image[None, None]})[0]
print(logits.argmax(-1).tolist())
"""
IMPORTS = "import numpy, cv2, shapely"
LIMITS = {"predict": 1.5, "validate": 1.8}


def make_files(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Write a model, a script and 20 words; the reference and the command of each measurement."""
    import cv2
    import numpy as np

    (folder / "model.onnx").write_bytes(lzma.decompress(MODEL.read_bytes()))
    (folder / "minimal.py").write_text(MINIMAL)
    (folder / "words").mkdir()
    labels = []
    for number in range(20):
        image = np.full((48, 160, 3), 235, np.uint8)
        cv2.putText(image, f"word{number}", (8, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2)
        cv2.imwrite(str(folder / "words" / f"{number}.jpg"), image)
        labels.append(f"{number}.jpg\tword{number}\n")
    (folder / "words" / "rec_gt.txt").write_text("".join(labels))
    ocrctl = [sys.executable, "-m", "ocrctl"]
    model, image = str(folder / "model.onnx"), str(folder / "words" / "0.jpg")
    return {
        "predict": (
            [sys.executable, str(folder / "minimal.py"), model, image],
            [*ocrctl, "predict", image, "-m", model, "--threads", "1"],
        ),
        "validate": (
            [sys.executable, "-c", IMPORTS],
            [*ocrctl, "dataset", "validate", str(folder / "words")],
        ),
    }


def seconds(command: list[str]) -> tuple[float, float]:
    """CPU and wall-clock seconds of one run that must succeed. Bytecode is kept, as on a user's machine."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - start


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--only", choices=sorted(LIMITS))
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        for what, (reference, ours) in make_files(Path(name)).items():
            if arguments.only not in (None, what):
                continue
            seconds(reference), seconds(ours)  # bytecode and page cache
            pairs = []
            for number in range(arguments.pairs):
                if number % 2:  # neither is always the first
                    pairs.append((seconds(reference), seconds(ours)))
                else:
                    own = seconds(ours)
                    pairs.append((seconds(reference), own))
            least, own = (median(pair[side][0] for pair in pairs) * 1000 for side in (0, 1))
            cpu, wall = (median(own[kind] / least[kind] for least, own in pairs) for kind in (0, 1))
            print(
                f"{what}: reference {least:.0f} ms, ocrctl {own:.0f} ms of CPU time, ratio {cpu:.2f} "
                f"(median of {len(pairs)} pairs, limit {LIMITS[what]:.2f}); of the wall clock {wall:.2f}"
            )
            failed = failed or cpu > LIMITS[what]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
