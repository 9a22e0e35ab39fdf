"""CPU time of this checkout against an older one, command by command: pairs of fresh processes in turn, one thread.

    python benchmarks/compare_versions.py OLD --data DIR [--rounds 7] [--only NAME...]

OLD is a checkout (`git worktree add OLD COMMIT`), DIR holds the data sets of docs/research/benchmarks.md by their
names. A process does its work once, so that everything is imported, and then several times; the least CPU time of
these is its figure. A ratio above 1 means that this checkout is slower. Printed are the median of the ratios of the
pairs, their quartiles, and the ratio of the least times of all, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

HERE = Path(__file__).resolve().parents[1]
FIXTURES = HERE / "tests" / "fixtures" / "v0_1"

# Every workload defines `work(number)`; `find` takes the first name that the checkout has.
PRELUDE = """
import contextlib, importlib, io, json, os, random, resource, sys, time
import numpy as np
DATA, MODELS, SCRATCH = {data!r}, {models!r}, {scratch!r}

def find(*places):
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"none of {{places}}")

def run(*words, codes=(0,)):
    from ocrctl.cli.app import run as command
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command([str(word) for word in words])
    if code not in codes:
        raise SystemExit(f"{{words}}: exit {{code}}\\n{{err.getvalue()[-2000:]}}")

def used():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)
"""
MEASURE = """
work(0)
best = float("inf")
for number in range(1, {times} + 1):
    start = used()
    work(number)
    best = min(best, used() - start)
print(json.dumps(best), file=sys.__stdout__)
"""


def command(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """A workload that is one command line; `{data}`, `{models}` and `{out}` are replaced."""
    return f"""
def work(number):
    names = dict(data=DATA, models=MODELS, out=os.path.join(SCRATCH, str(number)))
    run(*[word.format(**names) for word in {words!r}], codes={codes!r})
"""


def train(architecture: str, data: str, *, steps: int, batch: int) -> str:
    """A workload that is a training without loader processes."""
    values = (f"train.max_steps={steps}", f"train.batch_size={batch}", "data.workers=0", "train.threads=1")
    values += ("data.max_val_samples=16",)
    settings = (word for value in values for word in ("--set", value))
    return command("train", architecture, "-d", data, *settings, "-o", "{out}")


POLYGONS = """
check = find("ocrctl.data.polygons.rules:check_polygons", "ocrctl.data.polygons:check_polygons")
pairs = find("ocrctl.data.polygons.pair_rules:check_pairs", "ocrctl.data.polygon_pairs:check_pairs")
count, points = 60_000, {points}
random = np.random.default_rng(0)
along = np.linspace(0, 1, points // 2)
top = np.stack([along * 100, -20 * np.sin(along * 3) * (points > 4)], 1)
shape = np.concatenate([top, (top + (0, 20))[::-1]])
flat = (np.tile(shape, (count, 1)) + random.normal(0, 0.4, (count * points, 2)) + 200
        + np.repeat(random.uniform(0, 400, (count, 2)), points, 0))
offsets = np.arange(count + 1) * points
image, texts, sides = np.repeat(np.arange(count // 20), 20).astype(np.int32), ["word"] * count, np.full(count, 1000.0)
def work(number):
    findings = check(flat, offsets, sides, sides, np.full(count, 5))
    if {pairs}:
        pairs(findings, flat, offsets, image, texts)
"""
DB_TARGETS = """
db_targets = find("ocrctl.models.dbnet.targets:db_targets", "ocrctl.data.targets.db:db_targets")
random = np.random.default_rng(1)
polygons = []
for number in range({texts}):
    x, y, w, h = *random.uniform(40, 560, 2), random.uniform(30, 100), random.uniform(10, 30)
    turn = random.uniform(-0.17, 0.17)
    box = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    polygons.append(box @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (x, y))
offsets = np.arange({texts} + 1) * 4
def work(number):
    for _ in range(40):
        db_targets(np.concatenate(polygons), offsets, np.zeros({texts}, bool), 640, 640)
"""
DB_BOXES = """
import cv2
db_boxes = find("ocrctl.models.dbnet.postprocess:db_boxes", "ocrctl.postprocess.db:db_boxes")
random = np.random.default_rng(2)
chart = np.zeros((736, 1280), np.float32)
for row in range(10):
    for column in range({texts} // 10):
        width = 1280 / ({texts} // 10)
        box = ((column + 0.5) * width, 36 + row * 72), (width * 0.6, 20), float(random.uniform(-8, 8))
        cv2.fillPoly(chart, [cv2.boxPoints(box).astype(np.int32)], float(random.uniform(0.7, 1)))
chart = cv2.GaussianBlur(chart, (5, 5), 0)
def work(number):
    for _ in range(40):
        db_boxes(chart)
"""
CLEVAL = """
import zipfile
random = np.random.default_rng(3)
letters = list("abcdefghijklmnopqrstuvwxyz")
names = {{kind: os.path.join(SCRATCH, kind + ".zip") for kind in ("gt", "pred")}}
archives = {{kind: zipfile.ZipFile(name, "w") for kind, name in names.items()}}
for page in range(40):
    lines = {{kind: [] for kind in names}}
    for word in range(100):
        x, y = word % 10 * 100, word // 10 * 40
        text = "".join(random.choice(letters, 6))
        for kind in names:
            left, top = x + int(random.integers(0, 5)), y + int(random.integers(0, 3))
            corners = [left, top, left + 80, top, left + 80, top + 25, left, top + 25]
            read = text if kind == "gt" or random.random() < 0.9 else text[:-1]
            lines[kind].append(",".join(map(str, corners)) + "," + read)
    archives["gt"].writestr(f"gt_img_{{page}}.txt", "\\n".join(lines["gt"]))
    archives["pred"].writestr(f"res_img_{{page}}.txt", "\\n".join(lines["pred"]))
for archive in archives.values():
    archive.close()
def work(number):
    run("eval", "--gt", names["gt"], "--pred", names["pred"], "--protocol", "{protocol}", *{more!r})
"""
PAGES, WORDS, RECEIPTS = "{data}/ic15_detection_train", "{data}/ic15_words_train", "{data}/sroie_train_60"
ONE = ("--threads", "1")
WORKLOADS: dict[str, tuple[int, str]] = {  # times within a process, and the code
    "validate pages": (2, command("dataset", "validate", PAGES, codes=(0, 1))),
    "validate pages, header only": (5, command("dataset", "validate", PAGES, "--header-only", codes=(0, 1))),
    "validate words": (4, command("dataset", "validate", WORDS, codes=(0, 1))),
    "validate words, header only": (8, command("dataset", "validate", WORDS, "--header-only", codes=(0, 1))),
    "validate receipts": (6, command("dataset", "validate", RECEIPTS, codes=(0, 1))),
    "validate WebP words": (3, command("dataset", "validate", "{data}/iiit5k_train", codes=(0, 1))),
    "rules, quads": (5, POLYGONS.format(points=4, pairs=False)),
    "rules, curves": (3, POLYGONS.format(points=14, pairs=False)),
    "rules, quads and pairs": (4, POLYGONS.format(points=4, pairs=True)),
    "lmdb build": (3, command("lmdb", "build", WORDS, "{out}", "--jobs", "1")),
    "dataset charset": (4, command("dataset", "charset", WORDS)),
    "dataset stats": (4, command("dataset", "stats", PAGES)),
    "dataset convert": (3, command("dataset", "convert", PAGES, "{out}", "--format", "coco-text", "--labels-only")),
    "dataset clean": (
        2,
        command("dataset", "clean", RECEIPTS, "--clamp", "--repair", "--remove-bad", "--out", "{out}"),
    ),
    "dataset crop": (2, command("dataset", "crop", RECEIPTS, "{out}")),
    "synth words": (3, command("dataset", "synth", "{out}", "--count", "1500")),
    "synth pages": (2, command("dataset", "synth", "{out}", "--pages", "--count", "25")),
    "DB targets, 10 texts": (5, DB_TARGETS.format(texts=10)),
    "DB targets, 100 texts": (4, DB_TARGETS.format(texts=100)),
    "DB boxes, 20 texts": (5, DB_BOXES.format(texts=20)),
    "DB boxes, 100 texts": (4, DB_BOXES.format(texts=100)),
    "CLEval": (3, CLEVAL.format(protocol="cleval", more=())),
    "CLEval, end to end": (3, CLEVAL.format(protocol="cleval", more=("--e2e",))),
    "predict, ONNX": (3, command("predict", WORDS, "-m", "{models}/crnn-tiny.onnx", "--jobs", "1", *ONE)),
    "predict, PyTorch": (2, command("predict", WORDS, "-m", "{models}/crnn-tiny.ckpt", "--jobs", "1", *ONE)),
    "eval words": (2, command("eval", "{models}/crnn-tiny.ckpt", "-d", WORDS, *ONE)),
    "eval PARSeq": (2, command("eval", "{models}/parseq-tiny.ckpt", "-d", WORDS, "--limit", "200", *ONE)),
    "eval pages": (2, command("eval", "{models}/dbnet.ckpt", "-d", RECEIPTS, "--limit", "8", *ONE)),
    "train crnn-tiny": (2, train("crnn-tiny", "synth:words", steps=40, batch=32)),
    "train parseq-tiny": (2, train("parseq-tiny", "synth:words", steps=6, batch=16)),
    "train dbnet": (2, train("dbnet", "synth:pages", steps=3, batch=2)),
}


def seconds(checkout: Path, data: Path, models: Path, name: str) -> float:
    """Least CPU seconds of a workload in a fresh process that imports `checkout`."""
    times, code = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as scratch:
        prelude = PRELUDE.format(data=str(data), models=str(models), scratch=scratch)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", prelude + code + MEASURE.format(times=times)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, cwd=scratch, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} with {checkout}:\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Measure and print a table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        models = Path(name)
        for file in FIXTURES.glob("*.xz"):
            (models / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
        print("| work | old | this | median of the ratios | quartiles | of the least |")
        print("| --- | --- | --- | --- | --- | --- |")
        for what in options.only:
            old: list[float] = []
            new: list[float] = []
            for number in range(options.rounds):
                both = [(old, options.old.resolve()), (new, HERE)]
                for times, checkout in both if number % 2 else both[::-1]:  # neither is always the first
                    times.append(seconds(checkout, options.data, models, what))
            ratios = [one / other for one, other in zip(new, old, strict=True)]
            low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
            least = f"{min(old):.3f} s | {min(new):.3f} s"
            spread = f"{low:.3f} to {high:.3f} | {min(new) / min(old):.3f}"
            print(f"| {what} | {least} | **{median(ratios):.3f}** | {spread} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
