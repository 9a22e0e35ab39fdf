"""Peak memory of `dataset validate` on many images: generated small JPEGs and a Label.txt of quads.

python benchmarks/annotation_memory.py [--images 100000] [--each 10] [--header-only] [--folder DIR]

DIR (default: a temporary folder, taken away afterwards) takes 4 KB an image on most file systems; what lies there
already from an earlier run is used again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np


def generate(folder: Path, pictures: int, each: int) -> None:
    """Images that differ in size and grain, each with `each` quads within it."""
    generator = np.random.default_rng(0)
    with open(folder / "Label.txt", "w", encoding="utf-8") as labels:
        for number in range(pictures):
            subfolder = f"{number // 1000:03d}"
            if number % 1000 == 0:
                (folder / subfolder).mkdir(exist_ok=True)
            name = f"{subfolder}/{number}.jpg"
            if not (folder / name).exists():
                noise = generator.integers(0, 255, (4, 4, 3), np.uint8)
                grain = cv2.resize(noise, (320 + number % 64, 240), interpolation=cv2.INTER_NEAREST)
                (folder / name).write_bytes(cv2.imencode(".jpg", grain, [cv2.IMWRITE_JPEG_QUALITY, 30])[1].tobytes())
            places = generator.integers(0, 200, (each, 2)).tolist()
            items = [
                {"transcription": f"word{i}", "points": [[x, y], [x + 60, y], [x + 60, y + 20 + i], [x, y + 20 + i]]}
                for i, (x, y) in enumerate(places)
            ]
            labels.write(f"{name}\t{json.dumps(items)}\n")


def main() -> None:
    """Print time and peak memory of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--header-only", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        generate(folder, options.pictures, options.each)
        start = time.perf_counter()
        command = [sys.executable, "-m", "ocrctl", "dataset", "validate", str(folder)]
        command += ["--header-only"] * options.header_only
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    clock, processor, peak = time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(outcome.stderr.strip().splitlines()[-1])
    print(f"exit {outcome.returncode}, {clock:.0f} s, {processor:.0f} s of processor, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
