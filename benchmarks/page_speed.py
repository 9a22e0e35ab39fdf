"""CPU time of one core for training pages (decode, warp, wear, targets) and for synthetic pages.

    python benchmarks/page_speed.py [SPEC] [--pages N] [--synth N]

SPEC: annotated pages, such as ICDAR 2015's 1280x720 photographs; without it only synthetic pages are measured. Stages
are timed by wrapping the functions that do them, the total in a second pass without the wrappers. Pages are grouped in
blocks of 25: the median says what a busy machine gives, the fastest block what the code costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import cv2

from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets import detection
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.synth.pages.config import KINDS, SynthPagesConfig
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.models.dbnet.targets import page_targets as db_maps

BLOCK = 25
SIZE = (640, 640)


def blocks(work: Callable[[int], object], count: int) -> dict[str, float]:
    """Milliseconds a page, and pages a second of one core."""
    times = []
    for first in range(0, count, BLOCK):
        begin = time.process_time()
        for index in range(first, first + BLOCK):
            work(index)
        times.append((time.process_time() - begin) / BLOCK * 1e3)
    middle, best = statistics.median(times), min(times)
    return {"ms_median": round(middle, 2), "ms_fastest_block": round(best, 2), "pages_per_s": round(1e3 / middle, 1)}


def stages(source: PageSource, count: int) -> dict[str, float]:
    """Milliseconds a page for each stage of `PageSource.sample`."""
    spent: defaultdict[str, float] = defaultdict(float)
    watched = [(detection, name) for name in ("decode", "sample_view", "warp_page", "degrade_page")]
    kept = [(owner, name, getattr(owner, name)) for owner, name in watched]
    for owner, name, original in kept:

        def timed(*args: Any, _name: str = name, _original: Callable[..., Any] = original) -> Any:
            begin = time.process_time()
            result = _original(*args)
            spent[_name] += time.process_time() - begin
            return result

        setattr(owner, name, timed)
    for index in range(count):
        source.sample(index % len(source), SIZE, Random(index))
    for owner, name, original in kept:
        setattr(owner, name, original)
    return {name: round(seconds / count * 1e3, 2) for name, seconds in spent.items()}


def with_targets(source: PageSource) -> Callable[[int], object]:
    """A sample and its DB targets, as a loader worker makes them."""

    def work(index: int) -> object:
        _, words = source.sample(index % len(source), SIZE, Random(index))
        return db_maps(words, *SIZE)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", nargs="?")
    parser.add_argument("--pages", type=int, default=250)
    parser.add_argument("--synth", type=int, default=100)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    report: dict[str, Any] = {}
    if options.spec:
        source = PageSource(open_annotations(options.spec), None, PageAugment())
        plain = PageSource(source.data)
        blocks(lambda index: source.sample(index, SIZE, Random(index)), BLOCK)
        report["augmented 640x640"] = blocks(
            lambda index: source.sample(index % len(source), SIZE, Random(index)), options.pages
        )
        report["augmented 640x640 with DB targets"] = blocks(with_targets(source), options.pages)
        report["stages of augmented, ms"] = stages(source, options.pages)
        shown = [source.sample(index % len(source), SIZE, Random(index))[1] for index in range(options.pages)]
        learnt = [text for words in shown for text, ignore in zip(words.texts, words.ignore, strict=True) if not ignore]
        report["words to be learnt"] = {"shown": len(learnt), "cut to between a half and 95 %": learnt.count("")}
        report["whole page fitted into 640x640"] = blocks(
            lambda index: plain.sample(index % len(plain), SIZE, Random(index)), options.pages
        )
        kept = detection.reduction
        detection.reduction = lambda _: 1  # type: ignore[assignment]
        report["the same without reduced decoding"] = blocks(
            lambda index: plain.sample(index % len(plain), SIZE, Random(index)), options.pages
        )
        detection.reduction = kept
    for kind in KINDS if options.synth else ():
        weights = tuple(float(kind == other) for other in KINDS)
        stream = SynthPages(SynthPagesConfig(seed=1, weights=weights))  # type: ignore[arg-type]
        begin = time.process_time()
        stream.sample(0)
        first = time.process_time() - begin
        for index in range(100, 140):  # opens the faces and fills the glyph caches
            stream.sample(index)
        words = statistics.mean(len(stream.sample(index)[1]) for index in range(1000, 1020))
        report[f"synthetic {kind} 640x640"] = blocks(stream.sample, options.synth) | {
            "words": round(words),
            "first_ms": round(first * 1e3),
        }
    if options.synth:
        stream = SynthPages(SynthPagesConfig(seed=1, height=0, width=0))
        report["synthetic pages as files, longer side 960 to 1280"] = blocks(stream.sample, options.synth)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
