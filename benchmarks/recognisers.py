"""Every recogniser in its tiny size beside the others: the same samples, settings and cores.

    python benchmarks/recognisers.py latin|hangul|words|true2d [ROW...] [--samples N] [--out DIR] [--set NAME=VALUE...]

latin: words of 3 to 6 lower-case letters and digits from synth:words. hangul: words of 3 or 4 of the 400 commonest
Hangul syllables in the fonts of --fonts, read again in those of --unseen-fonts. words: the word sets of --data, as
many images of synth:words, the labels in lower-case letters and digits; read are the words of --test. true2d:
variants of true2d-tiny on the words of latin. Each row is one `ocrctl train` to DIR/TABLE/ROW, which a later call
takes over where it is complete. Its accuracy is that of `ocrctl eval` on 2,000 words that training never draws. Then
the speeds of all rows are measured in turn, on one thread: the median time of one word, and words per second in
batches of 64. Prints a Markdown table, then the accuracy of each validation during training.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.core.streams import synth_config
from ocrctl.core.train.run import load_train_settings
from ocrctl.data.formats.spec import open_source
from ocrctl.data.images.decode import decode
from ocrctl.data.synth import SynthWords
from ocrctl.data.synth.words.vocabulary import dictionary
from ocrctl.inference.engine import Engine
from ocrctl.metrics.recognition import normalise36_nfkd
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset

BATCH, UNSEEN, VALIDATIONS, ROUNDS, TIMED = 32, 2000, 8, 7, 256
MUON = {"train.optimizer": "muon", "train.lr": 3e-3, "train.muon_lr": 0.02, "model.dropout": 0.0}
RECOGNISERS = (
    "crnn-tiny", "crnn-vgg", "attention-crnn-tiny", "efficient-crnn-tiny", "ppocr-rec-tiny", "svtrv2-tiny",
    "parseq-tiny", "satrn-tiny", "true2d-tiny",
)  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no relative bias": {"model.relative_bias": "false"},
    "full cross-attention": {"model.cross_attention": "full"},
    "neither": {"model.relative_bias": "false", "model.cross_attention": "full"},
    "K = 2": {"model.points": 2},
    "K = 8": {"model.points": 8},
}
POINTS = ("points_outside", "weight_spread", "offset_gradient")


@dataclass(frozen=True)
class Table:
    """One comparison. rows: architecture and further settings by name. settings: those of all rows."""

    rows: dict[str, tuple[str, dict[str, Any]]]
    settings: dict[str, Any]
    charset: str
    figures: tuple[str, ...] = field(default=())  # columns of metrics.csv to show as they were logged last


LATIN = {"synth.min_length": 3, "synth.max_length": 6, "synth.strength": 0.2, "model.width": 64}
HANGUL = {**LATIN, "synth.script": "hangul", "synth.max_length": 4, "model.width": 96}
WORDS = {"synth.min_length": 1, "synth.max_length": 6, "synth.strength": 0.2, "data.bad_labels": "skip"}
OWN: dict[str, dict[str, Any]] = {
    "ppocr-rec-tiny": {"model.width": None},  # it keeps the aspect ratio
    # At the common rates these stay on the plateau of character frequencies.
    "svtrv2-tiny": {"model.resize": "stretch", "train.lr": 1e-3, "train.muon_lr": 4e-3},
    "parseq-tiny": {"train.lr": 1e-3, "train.muon_lr": 2e-3},
}
ALL = {arch: (arch, OWN.get(arch, {})) for arch in RECOGNISERS}
TABLES = {
    "latin": Table(ALL, LATIN, "lower36"),
    "hangul": Table(ALL, HANGUL, "hangul.txt"),
    "words": Table(ALL, WORDS, "lower36"),
    "true2d": Table({name: ("true2d-tiny", own) for name, own in VARIANTS.items()}, LATIN, "lower36", POINTS),
}
SYLLABLES = 400


def command(*arguments: str) -> str:
    """Run ocrctl in a process of its own; returns its standard output, or ends the program with its error."""
    done = subprocess.run([sys.executable, "-m", "ocrctl", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"ocrctl {' '.join(arguments)}\n{done.stderr[-2000:]}")
    return done.stdout


def flags(settings: dict[str, Any]) -> list[str]:
    """`--set NAME=VALUE` for each setting that is not None."""
    return [part for name, value in settings.items() if value is not None for part in ("--set", f"{name}={value}")]


def write_syllables(path: Path) -> None:
    """Write a charset file of the syllables that are commonest in frequent Korean words."""
    counts = Counter(syllable for word in dictionary("hangul")[:4000] for syllable in word)
    path.write_text("".join(sorted(one for one, _ in counts.most_common(SYLLABLES))), encoding="utf-8")


def train(run: Path, arch: str, settings: dict[str, Any], data: list[str], charset: str) -> None:
    """Train one row, unless `run` holds it."""
    if not (run / "table.json").exists():
        start = time.monotonic()
        command("train", arch, *(part for spec in data for part in ("-d", spec)), "--val", "synth:words",
                "--charset", charset, *flags(settings), "-o", str(run), "-q")  # fmt: skip
        (run / "table.json").write_text(json.dumps({"seconds": time.monotonic() - start}), encoding="utf-8")


def logged(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def draw(folder: Path, settings: dict[str, Any], charset: str) -> str:
    """Draw the unseen words, unless `folder` holds them; returns its name."""
    if not folder.exists():
        own = {name: value for name, value in settings.items() if name.startswith("synth.")} | {"data.charset": charset}
        command("dataset", "synth", str(folder), "--unseen", "--count", str(UNSEEN), *flags(own))
    return str(folder)


def lower_case(spec: str, folder: Path) -> str:
    """Copy a word set in the 36 characters of `str36`, accents removed, unless `folder` holds the copy; returns its
    name. Words with other letters or digits, and words without any, are left out."""
    if not (folder / "rec_gt.txt").exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        source, lines = open_source(spec), []
        for index, label in enumerate(source.labels):
            text = normalise36_nfkd(label)
            if text and len(text) == sum(map(str.isalnum, unicodedata.normalize("NFKD", label))):
                (folder / "images" / f"word_{index}.jpg").write_bytes(source.image_bytes(index))
                lines.append(f"images/word_{index}.jpg\t{text}\n")
        (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return str(folder)


def draw_in(fonts: str, folder: Path, settings: dict[str, Any], charset: str) -> str:
    """Draw the unseen words in the fonts of one folder alone: those that are installed are seen in training. Writes
    them unless `folder` holds them; returns its name."""
    if not folder.exists():
        (folder / "images").mkdir(parents=True)
        sets = [f"{name}={value}" for name, value in settings.items() if name.startswith("synth.") and value]
        config = synth_config(load_train_settings(None, sets, {}), get_spec("crnn-tiny"), Charset.load(charset), "val")
        words = SynthWords(config.with_(fonts=(fonts,), bundled_fonts=False))
        lines = []
        for index in range(UNSEEN):
            image, text = words.sample(index)
            cv2.imwrite(str(folder / "images" / f"word_{index}.png"), image[..., ::-1])
            lines.append(f"images/word_{index}.png\t{text}\n")
        (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return str(folder)


def accuracy(run: Path, test: str, protocol: str) -> list[str]:
    """Accuracy with its 95 % interval, and CER."""
    found = json.loads(command("eval", str(run), "-d", test, "--protocol", protocol, "--json"))
    metrics = found["results"][0]["summary"]["metrics"]
    exact = metrics["accuracy"]
    interval = f"[{exact['low'] * 100:.1f}, {exact['high'] * 100:.1f}]"
    return [f"{exact['value']:.1%} {interval}", f"{metrics['cer']['value']:.1%}"]


def speeds(runs: list[Path], images: list[NDArray[np.uint8]]) -> list[tuple[float, float]]:
    """Milliseconds of one word alone and words per second in batches of 64 for each run: medians over rounds in which
    the runs take turns, CPU time on one thread, greedy decoding and resizing included."""
    engines = [Engine.load(run, device="cpu", threads=1) for run in runs]
    taken: list[tuple[list[float], list[float]]] = [([], []) for _ in runs]
    for _ in range(ROUNDS + 1):
        for engine, (alone, batches) in zip(engines, taken, strict=True):
            start = time.process_time()
            for image in images[:8]:
                engine.recognize([image])
            middle = time.process_time()
            engine.recognize(images, batch_size=64)
            alone.append((middle - start) / 8)
            batches.append((time.process_time() - middle) / len(images))
    # The first round is not counted: memory and kernels are allocated in it.
    return [(1000 * statistics.median(one[1:]), 1 / statistics.median(many[1:])) for one, many in taken]


def cells(run: Path, tests: list[str], protocol: str, figures: tuple[str, ...]) -> list[str]:
    """What a row says besides its speeds."""
    rows = logged(run)
    last = {name: value for row in rows for name, value in row.items() if value}
    rate = statistics.median(float(row["images_per_second"]) for row in rows if row["images_per_second"])
    info = json.loads(command("model", "info", str(run), "--json"))["figures"]
    return [
        f"{info['parameters']:,}", f"{info['flops'] / 1e6:.0f}", f"{rate:.0f}",
        *(cell for test in tests for cell in accuracy(run, test, protocol)), f"{float(last['val_empty']):.1%}",
        *(f"{float(last[name]):.2g}" if name in last else "-" for name in figures),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("rows", nargs="*", help="default: all rows of the table")
    parser.add_argument("--samples", type=int, default=64_000)
    parser.add_argument("--out", type=Path, default=Path("recognisers"))
    parser.add_argument("--data", action="append", default=[], metavar="SPEC", help="of the table words")
    parser.add_argument("--test", metavar="SPEC", help="of the table words")
    parser.add_argument("--fonts", metavar="DIR", help="of the table hangul")
    parser.add_argument("--unseen-fonts", metavar="DIR", help="of the table hangul")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="NAME=VALUE", help="of every row")
    options = parser.parse_args()
    table = TABLES[options.table]
    names = options.rows or list(table.rows)
    if unknown := [name for name in names if name not in table.rows]:
        parser.error(f"unknown rows {', '.join(unknown)}; known are {', '.join(table.rows)}")
    steps = options.samples // BATCH
    common = {
        **MUON, **table.settings, "train.batch_size": BATCH, "train.max_steps": steps,
        "train.val_every_steps": max(1, steps // VALIDATIONS), "train.threads": 1, "data.workers": 1,
        "data.max_val_samples": UNSEEN, "log.previews": 0, "synth.fonts": options.fonts,
        **dict(one.split("=", 1) for one in options.sets),
    }  # fmt: skip
    folder = options.out / options.table
    folder.mkdir(parents=True, exist_ok=True)
    charset = table.charset
    if charset == "hangul.txt":
        charset = str(folder / charset)
        write_syllables(Path(charset))
    data = [lower_case(spec, folder / "-".join(["data", *re.findall(r"\w+", spec)])) for spec in options.data]
    tests = {"": options.test or draw(folder / "unseen", common, charset)}
    if options.unseen_fonts:
        tests[", unseen fonts"] = draw_in(options.unseen_fonts, folder / "unseen-fonts", common, charset)
    runs = []
    for name in names:
        arch, own = table.rows[name]
        runs.append(folder / name.replace(" = ", "").replace(" ", "-"))
        train(runs[-1], arch, {**common, **own}, ["synth:words", *data], charset)
    protocol = "str36" if options.table == "words" else "exact"
    read = [title for kind in tests for title in (f"accuracy{kind}, {protocol}", f"CER{kind}")]
    titles = ["", "parameters", "MFLOPs", "trained, words/s", *read, "empty", *table.figures]
    titles += ["ms, one word", "words/s, batch 64"]
    print("| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|")
    source = open_source(tests[""])
    images = [decode(source.image_bytes(at), source.where(at)) for at in range(min(TIMED, len(source)))]
    for name, run, (alone, many) in zip(names, runs, speeds(runs, images), strict=True):
        row = [name, *cells(run, list(tests.values()), protocol, table.figures), f"{alone:.1f}", f"{many:.0f}"]
        print(f"| {' | '.join(row)} |", flush=True)
    print("\nAccuracy on the validation words after so many samples:\n")
    for name, run in zip(names, runs, strict=True):
        points = [(row["samples"], float(row["val_exact"])) for row in logged(run) if row["val_exact"]]
        print(f"- {name}: " + ", ".join(f"{int(samples):,}: {exact:.1%}" for samples, exact in points))


if __name__ == "__main__":
    main()
