"""What `diagnose cuda` adds to `import torch`, and what `diagnose environment` takes: interleaved fresh processes.

    python benchmarks/diagnose_speed.py [--pairs 9]

Limits: 2 s beyond `import torch` on a machine without a GPU, 0.5 s for the environment, which imports no PyTorch. CPU
time, user and system, with that of child processes, which other work on the machine disturbs less than the wall clock;
that is printed too. Prints medians; exits 1 above a limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from statistics import median

OCRCTL = [sys.executable, "-m", "ocrctl", "diagnose"]
PAIRS = {
    "cuda": ([sys.executable, "-c", "import torch"], [*OCRCTL, "cuda"], 2.0),
    "environment": ([sys.executable, "-c", "pass"], [*OCRCTL, "environment"], 0.5),
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Return CPU and wall-clock seconds of one process; a check that fails (exit 1) is a result."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=environment | {"OMP_NUM_THREADS": "1"}
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> int:
    """Measure, print, and compare with the limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    count, failed = parser.parse_args().pairs, False
    for name, (reference, command, limit) in PAIRS.items():
        seconds(reference), seconds(command)  # bytecode and page cache
        found = []
        for number in range(count):
            first, second = (reference, command) if number % 2 else (command, reference)
            times = {id(one): seconds(one) for one in (first, second)}
            found.append((times[id(reference)], times[id(command)]))
        base, own = (median(pair[side][0] for pair in found) for side in (0, 1))
        cpu, wall = (median(own[kind] - base[kind] for base, own in found) for kind in (0, 1))
        print(
            f"{name}: {own:.2f} s of CPU time against {base:.2f} s, {cpu:+.2f} s (median of {count} pairs, limit "
            f"{limit:g} s); by the wall clock {wall:+.2f} s",
            flush=True,
        )
        failed = failed or cpu > limit
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
