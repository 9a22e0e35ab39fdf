"""`ocrctl --help` against `--help` of a bare two-command Typer app with rich installed, in interleaved pairs.

    python benchmarks/help_speed.py [--pairs 30] [--limit 1.10]

Prints both medians and the median of the pairs' ratios; exits 1 above the limit. Both run as `python FILE --help`-like
fresh processes of this interpreter, so that neither pays for a wrapper the other lacks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BARE = '''\
import typer

app = typer.Typer()


@app.command()
def hello(name: str, count: int = 1):
    """Say hello."""


@app.command()
def goodbye(name: str, formal: bool = False):
    """Say goodbye."""


if __name__ == "__main__":
    app()
'''


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one run that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--limit", type=float, default=1.10)
    arguments = parser.parse_args()
    import rich  # noqa: F401  # the comparison is with rich installed

    with tempfile.TemporaryDirectory() as folder:
        bare_file = Path(folder) / "bare.py"
        bare_file.write_text(BARE)
        bare = [sys.executable, str(bare_file), "--help"]
        ours = [sys.executable, "-m", "ocrctl", "--help"]
        seconds(bare), seconds(ours)  # bytecode and page cache
        pairs = []
        for number in range(arguments.pairs):
            first, second = (bare, ours) if number % 2 else (ours, bare)  # neither is always the first
            one, two = seconds(first), seconds(second)
            pairs.append((one, two) if number % 2 else (two, one))
    ratio = median(own / other for other, own in pairs)
    print(f"bare typer app --help: {median(other for other, _ in pairs) * 1000:.0f} ms")
    print(f"ocrctl --help:         {median(own for _, own in pairs) * 1000:.0f} ms")
    print(f"ratio:                 {ratio:.2f} (median of {len(pairs)} pairs, limit {arguments.limit:.2f})")
    return 0 if ratio <= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
