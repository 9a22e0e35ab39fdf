"""From process start to the end of the first optimiser step, against `import torch, lightning`, in interleaved pairs.

    python benchmarks/time_to_first_step.py [--pairs 9] [--limit 0.8]

Trains `crnn` from an LMDB with two workers; the process ends itself right after the step. Exits 1 when the median
difference is above the limit in seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# Runs inside the measured process. A thread waits for torch.optim to appear, so that nothing is imported earlier or
# in another order than `ocrctl train` does it by itself.
TRAIN = """
import os, sys, threading, time

def first_step(*_):
    open({stamp!r}, "w").write(str(time.time()))
    os._exit(0)

def watch():
    while True:
        register = getattr(sys.modules.get("torch.optim.optimizer"), "register_optimizer_step_post_hook", None)
        if register is not None:
            register(first_step)
            return
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
sys.argv = ["ocrctl", *{arguments!r}]
from ocrctl.__main__ import main
main()
"""
IMPORTS = "import torch, lightning, os, time; open({stamp!r}, 'w').write(str(time.time())); os._exit(0)"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def make_lmdb(folder: Path, count: int) -> Path:
    """An LMDB of `count` plainly drawn words."""
    import cv2
    import numpy as np

    random = np.random.default_rng(0)
    lines = []
    for number in range(count):
        word = "".join(random.choice(list(LETTERS), size=random.integers(3, 9)))
        image = np.full((48, 24 * len(word) + 16, 3), 235, np.uint8)
        cv2.putText(image, word, (8, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2)
        cv2.imwrite(str(folder / f"{number}.jpg"), image)
        lines.append(f"{number}.jpg\t{word}\n")
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "ocrctl", "lmdb", "build", str(folder / "rec_gt.txt"), str(folder / "lmdb")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "lmdb"


def seconds(code: str, stamp: Path) -> float:
    """Wall-clock seconds from just before the process starts to the moment that it writes into `stamp`."""
    stamp.unlink(missing_ok=True)
    start = time.time()
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not stamp.exists():
        raise SystemExit(f"the measured process made no step:\n{done.stderr.decode()[-2000:]}")
    return float(stamp.read_text()) - start


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--limit", type=float, default=0.8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lmdb, stamp = make_lmdb(folder, 1000), folder / "stamp"
        command = ["train", "crnn", "-d", str(lmdb), "--set", "data.workers=2", "--set", "train.max_steps=100"]
        differences, steps, imports = [], [], []
        for number in range(options.pairs + 1):
            base = seconds(IMPORTS.format(stamp=str(stamp)), stamp)
            arguments = [*command, "-o", str(folder / f"run{number}")]
            step = seconds(TRAIN.format(stamp=str(stamp), arguments=arguments), stamp)
            if number:  # the first pair only brings the files into the page cache
                imports.append(base)
                steps.append(step)
                differences.append(step - base)
    difference = median(differences)
    print(f"import torch, lightning:    {median(imports):.2f} s")
    print(f"to the first step:          {median(steps):.2f} s")
    print(
        f"difference:                 {difference:+.2f} s (median of {len(steps)} pairs, limit {options.limit:+.2f} s)"
    )
    return 0 if difference <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
