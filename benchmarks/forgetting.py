"""Fine-tune on receipts only, with and without --keep, and merge: what is gained, and what is forgotten.

    python benchmarks/forgetting.py BASE --lines LMDB --val LMDB --general SPEC --keep SPEC -o DIR [--labels 50 200]

BASE: a recogniser, such as default:rec-latin. --lines, --val: receipt lines (`ocrctl dataset crop`), the first as many
as --labels of them, shuffled by a fixed seed. Decoder and head are trained on features of the frozen encoder, which
are computed once (train.cache_features). Prints one table of all runs and the curve of both datasets against alpha of
the largest run. Every run and merge is a command of ocrctl; results are kept in DIR and not computed again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lmdb

RATE = "1e-3"


def subset(source: Path, folder: Path, count: int) -> Path:
    """Write `count` samples of a word LMDB as a folder with rec_gt.txt."""
    if (folder / "rec_gt.txt").exists():
        return folder
    folder.mkdir(parents=True)
    with lmdb.open(str(source), readonly=True, lock=False) as store, store.begin() as data:
        numbers = list(range(1, int(data.get(b"num-samples")) + 1))
        random.Random(0).shuffle(numbers)
        rows = []
        for number in numbers[:count]:
            image, label = (data.get(b"%s-%09d" % (kind, number)) for kind in (b"image", b"label"))
            (folder / f"{number}.png").write_bytes(image)
            rows.append(f"{number}.png\t{label.decode()}\n")
    (folder / "rec_gt.txt").write_text("".join(rows), encoding="utf-8")
    return folder


def command(*words: str) -> dict[str, Any]:
    """Run ocrctl with --json; returns what it prints. Exit 1, more forgotten than allowed, is no failure here."""
    line = [sys.executable, "-m", "ocrctl", *words, "--json"]
    found = subprocess.run(line, capture_output=True, text=True)
    if found.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(line)}\n{found.stderr}")
    return {**json.loads(found.stdout), "exit": found.returncode}


def main() -> None:
    """Run everything that DIR does not hold yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    for name in ("--lines", "--val", "--general", "--keep", "-o"):
        parser.add_argument(name, required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[200])
    parser.add_argument("--val-lines", type=int, default=150)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--keep-weight", type=float, nargs="+", default=[1])
    given = parser.parse_args()
    out = Path(given.o)
    val = str(subset(Path(given.val), out / "val", given.val_lines))
    sets = [
        "train.freeze=encoder", "data.augment=0", f"train.lr={RATE}", "train.batch_size=16", "data.workers=0",
        f"train.max_steps={given.steps}", f"train.val_every_steps={given.steps}", "train.threads=1", "log.previews=0",
        "data.unknown_chars=skip",
    ]  # fmt: skip
    options = [word for one in sets for word in ("--set", one)]
    print("| labels | --keep | new before | new after | general before | general after | exit | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for labels in given.labels:
        new = str(subset(Path(given.lines), out / f"new{labels}", labels))
        for weight in (0, *given.keep_weight):
            keep = given.keep if weight else "none"
            run = out / f"run{labels}-{f'keep{weight:g}' if weight else 'plain'}"
            result = run / "result.json"
            if not result.exists():
                start = time.perf_counter()
                arguments = ["--from", given.base, "-d", new, "--val", val, "--general", given.general, "--keep", keep]
                arguments += ["--set", f"train.keep_weight={weight:g}"]
                found = command("train", "ppocr-rec-small", *arguments, "-o", str(run), *options)
                result.write_text(json.dumps({**found, "wall": time.perf_counter() - start}))
            found = json.loads(result.read_text())
            sets_of = found["forgetting"]
            cells = [f"{100 * sets_of[one][when]:.1f}" for one in ("new", "general") for when in ("before", "after")]
            kind = f"weight {weight:g}" if weight else "no"
            cells += [str(found["exit"]), f"{found['wall']:.0f}"]
            print(f"| {labels} | {kind} | {' | '.join(cells)} |", flush=True)
    largest = max(given.labels)
    for kind in ("plain", *(f"keep{weight:g}" for weight in given.keep_weight)):
        merged = out / f"merged{largest}-{kind}"
        if not merged.with_suffix(".json").exists():
            run = str(out / f"run{largest}-{kind}")
            arguments = ["--val", val, "--general", given.general, "-o", str(merged.with_suffix(".ckpt"))]
            found = command("model", "merge", given.base, run, *arguments, "--threads", "1", "--jobs", "0")
            merged.with_suffix(".json").write_text(json.dumps(found))
        found = json.loads(merged.with_suffix(".json").read_text())
        print(f"\n{kind}: alpha {found['alpha']:g} chosen\n\n| alpha | new | general | change |")
        print("| --- | --- | --- | --- |")
        for point in found["points"]:
            change = point["general_change"]
            interval = f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]"
            print(f"| {point['alpha']:g} | {100 * point['val']:.1f} | {100 * point['general']:.1f} | {interval} |")


if __name__ == "__main__":
    main()
