"""`dataset validate` against decoding the same files with cv2, in processor seconds of one core.

python benchmarks/validate_speed.py SPEC... [--runs 3] [--no-start]

Of each SPEC: only reading and decoding its files (`cv2.imread`'s work), every rule with every image decoded, every
rule with headers alone; best of the interleaved runs, and the sums over all SPECs. Once within a process that has done
it before, and once as commands of their own, start of the process included (`--no-start` leaves that out).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

import cv2
import numpy as np

from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.validate.run import run_rules

DECODE = """
import sys, cv2, numpy as np
from pathlib import Path
for name in sys.stdin.read().split("\\n"):
    cv2.imdecode(np.frombuffer(Path(name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
"""


def decode_all(files: list[str]) -> None:
    """What any user of the files does first."""
    for name in files:
        with open(name, "rb") as stream:
            cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)


def judge(spec: str, decode: bool) -> None:
    """What `dataset validate` does, labels read included."""
    run_rules(open_annotations(spec), decode=decode)


def command(arguments: list[str], text: str = "") -> float:
    """Processor seconds of a command of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    subprocess.run(arguments, input=text.encode(), env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line for each set and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="SPEC")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-start", action="store_true", help="leave out commands of their own")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    together, pictures = [0.0] * 3, 0
    for spec in options.specs:
        data = open_annotations(spec)
        files = data.image_paths(0, len(data.images))
        ways = [lambda f=files: decode_all(f), lambda s=spec: judge(s, True), lambda s=spec: judge(s, False)]
        best = [float("inf")] * 3
        for _ in range(options.runs):
            for number, way in enumerate(ways):
                start = time.process_time()
                way()
                best[number] = min(best[number], time.process_time() - start)
        show(spec, "work alone", best, len(files))
        together, pictures = [sum(pair) for pair in zip(together, best, strict=True)], pictures + len(files)
        if not options.no_start:
            validate = [sys.executable, "-m", "ocrctl", "dataset", "validate", spec]
            best = [float("inf")] * 3
            for _ in range(options.runs):
                times = [
                    command([sys.executable, "-c", DECODE], "\n".join(files)),
                    command(validate),
                    command([*validate, "--header-only"]),
                ]
                best = [min(pair) for pair in zip(best, times, strict=True)]
            show(spec, "with the start", best, len(files))
    if len(options.specs) > 1:
        show("together", "work alone", together, pictures)


def show(spec: str, what: str, seconds: list[float], files: int) -> None:
    """One line: the three times and both ratios."""
    decode, full, header = seconds
    print(
        f"{spec}: {what}, {files:,} pictures: decoding {decode:.3f} s, validate {full:.3f} s"
        f" ({full / decode:.2f} times), header only {header:.3f} s (validate is {full / header:.1f} times that;"
        f" {header / files * 1e6:.0f} us a picture)",
        flush=True,
    )


if __name__ == "__main__":
    main()
