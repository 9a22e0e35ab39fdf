"""What the parts of true2d contribute: relative bias, deformable or full cross-attention, and the number of points.

    python benchmarks/true2d_ablation.py [VARIANT...] [--samples N] [--out DIR] [--set NAME=VALUE...]

Every variant is the true2d-tiny of `ocrctl train` on the same samples of synth:words in the same order, from the same
seed; then it reads 2,000 words that training never draws. A row: parameters, seconds of training, accuracy with its
95 % interval, character error rate, and the figures of the sampling points at the last log row. --set passes further
settings to every training.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

VARIANTS: dict[str, list[str]] = {
    "default": [],
    "no relative bias": ["model.relative_bias=false"],
    "full cross-attention": ["model.cross_attention=full"],
    "neither": ["model.relative_bias=false", "model.cross_attention=full"],
    "K = 2": ["model.points=2"],
    "K = 8": ["model.points=8"],
}
FIGURES = ("points_outside", "weight_spread", "offset_gradient")
BATCH, UNSEEN = 32, 2000


def command(*arguments: str) -> str:
    """Run ocrctl in a process of its own; returns its standard output, or ends the program with its error."""
    done = subprocess.run([sys.executable, "-m", "ocrctl", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout


def measure(settings: list[str], steps: int, run: Path) -> list[str]:
    """Train one variant, or take it from `run` where it is complete, and return the cells of its row."""
    sets = [f"train.max_steps={steps}", f"train.batch_size={BATCH}", f"data.max_val_samples={UNSEEN}",
            f"train.val_every_steps={steps}", "train.precision=32-true", *settings]  # fmt: skip
    start = time.monotonic()
    if not (run / "result.json").exists():
        command("train", "true2d-tiny", "-d", "synth:words", "-o", str(run), "-q",
                *(part for one in sets for part in ("--set", one)))  # fmt: skip
        (run / "result.json").write_text(json.dumps({"seconds": time.monotonic() - start}), encoding="utf-8")
    seconds = json.loads((run / "result.json").read_text(encoding="utf-8"))["seconds"]
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    last = {name: value for row in rows for name, value in row.items() if value}
    exact = float(last["val_exact"])
    margin = 1.96 * (exact * (1 - exact) / UNSEEN) ** 0.5
    parameters = json.loads(command("model", "info", str(run), "--json")).get("parameters", "")
    cells = [str(parameters), f"{seconds:.0f}", f"{exact:.1%} +- {margin:.1%}", f"{float(last['val_cer']):.3f}"]
    return cells + [last.get(name, "-") for name in FIGURES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}; default: all")
    parser.add_argument("--samples", type=int, default=96_000)
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    parser.add_argument("--set", action="append", default=[], dest="sets")
    options = parser.parse_args()
    unknown = [name for name in options.variants if name not in VARIANTS]
    if unknown:
        parser.error(f"unknown variants {', '.join(unknown)}; known are {', '.join(VARIANTS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    print("| variant | parameters | seconds | accuracy | CER |", " | ".join(FIGURES), "|")
    print("| --- " * (5 + len(FIGURES)) + "|")
    for name in options.variants or VARIANTS:
        run = options.out / name.replace(" ", "-").replace("=", "")
        row = measure([*VARIANTS[name], *options.sets], options.samples // BATCH, run)
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
