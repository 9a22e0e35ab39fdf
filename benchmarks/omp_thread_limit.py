"""Does a backward pass end where OpenMP may start fewer threads than PyTorch uses? One process per case, with a limit.

python benchmarks/omp_thread_limit.py [--limit SECONDS]

Each case runs forward and backward of a convolution with OMP_THREAD_LIMIT, the threads of PyTorch and oneDNN on or off,
and prints whether it ended, and how long the passes took. A case that does not end is killed at the limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

CASES = (  # OMP_THREAD_LIMIT ("" for none), threads of PyTorch, oneDNN
    ("", 2, True), ("1", 2, True), ("1", 2, False), ("1", 1, True), ("2", 2, True),
)  # fmt: skip
CHILD = """
import sys, time, torch
threads, onednn = int(sys.argv[1]), sys.argv[2] == "True"
torch.set_num_threads(threads)
torch.backends.mkldnn.enabled = onednn
images = torch.randn(8, 16, 32, 100)
layer = torch.nn.Conv2d(16, 32, 3, padding=1)
print("ready", flush=True)
start = time.process_time()
layer(images).square().mean().backward()
print(f"{1000 * (time.process_time() - start):.0f} ms of CPU time, gradient {float(layer.weight.grad.norm()):.6f}")
"""


def main() -> None:
    """Run every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--limit", type=float, default=30.0, help="seconds after the imports until a case counts as hanging"
    )
    options = parser.parse_args()
    print("OMP_THREAD_LIMIT\tthreads\toneDNN\tresult")
    for limit, threads, onednn in CASES:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
        if limit:
            environment["OMP_THREAD_LIMIT"] = limit
        command = [sys.executable, "-c", CHILD, str(threads), str(onednn)]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        try:
            result = child.communicate(timeout=options.limit)[0].strip()
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            result = f"hangs: killed after {options.limit:g} s"
        print(f"{limit or 'none'}\t{threads}\t{'on' if onednn else 'off'}\t{result}", flush=True)


if __name__ == "__main__":
    main()
