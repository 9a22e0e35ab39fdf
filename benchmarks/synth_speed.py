"""Microseconds of CPU time to draw one synthetic word, by stage: python benchmarks/synth_speed.py [--words N]

Stages are timed by wrapping the functions that do them; the total is taken in a second pass without the wrappers.
Blocks of 250 words, because the processor's other work distorts single figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from ocrctl.data.augment.words import augment_word
from ocrctl.data.synth import SynthWords, SynthWordsConfig
from ocrctl.data.synth.words import render as drawing
from ocrctl.data.synth.words.labels import Labels

BLOCK = 250
STREAMS = {
    "quickstart": SynthWordsConfig.quickstart(seed=1),
    "real": SynthWordsConfig.real(seed=1),
    "hangul": SynthWordsConfig.quickstart(seed=1, scripts=("hangul",)),
}
STAGES: list[tuple[str, Any, str]] = [
    ("label", Labels, "draw"),
    ("typeface", SynthWords, "_typeface"),
    ("glyphs, curve", drawing, "_word_mask"),
    ("crop matrix", drawing, "crop_matrix"),
    ("background, layers", drawing, "_paint"),
    ("degrade", drawing, "degrade"),
]


def block_times(work: Callable[[int], object], words: int, start: int) -> list[float]:
    """Microseconds a word for each block."""
    times = []
    for first in range(start, start + words, BLOCK):
        begin = time.process_time()
        for index in range(first, first + BLOCK):
            work(index)
        times.append((time.process_time() - begin) / BLOCK * 1e6)
    return times


def summary(times: list[float]) -> dict[str, int]:
    """Median and fastest block: the first says what a busy machine gives, the second what the code costs."""
    return {"us_per_word": round(statistics.median(times)), "us_per_word_fastest_block": round(min(times))}


def by_stage(stream: SynthWords, words: int) -> dict[str, float]:
    """Microseconds a word for each stage; what is left over (the warp, the frame around) is `warp, rest`."""
    spent: defaultdict[str, float] = defaultdict(float)
    kept = []
    for name, owner, attribute in STAGES:
        original = getattr(owner, attribute)
        kept.append((owner, attribute, original))

        def timed(*args: Any, _name: str = name, _original: Callable[..., Any] = original) -> Any:
            begin = time.process_time()
            result = _original(*args)
            spent[_name] += time.process_time() - begin
            return result

        setattr(owner, attribute, timed)
    begin = time.process_time()
    for index in range(50_000, 50_000 + words):
        stream.sample(index)
    total = time.process_time() - begin
    for owner, attribute, original in kept:
        setattr(owner, attribute, original)
    stages = {name: spent[name] / words * 1e6 for name, _, _ in STAGES}
    return stages | {"warp, rest": (total - sum(spent.values())) / words * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=5000)
    words = parser.parse_args().words
    cv2.setNumThreads(0)
    report: dict[str, Any] = {}
    for name, config in STREAMS.items():
        stream = SynthWords(config)
        begin = time.process_time()
        stream.sample(0)
        first = (time.process_time() - begin) * 1e3
        block_times(stream.sample, 3000, 0)  # fills the glyph caches
        report[name] = {
            "first_sample_ms": round(first),
            **summary(block_times(stream.sample, words, 10_000)),
            "stages_us": {stage: round(value) for stage, value in by_stage(stream, words).items()},
        }
    crops = [
        SynthWords(SynthWordsConfig.real(strength=0.3, min_height=32, max_height=32)).sample(i)[0] for i in range(200)
    ]
    rng = np.random.default_rng(0)
    augment = block_times(lambda index: augment_word(crops[index % 200], rng, 1.0), words, 0)
    report["augment_word"] = {**summary(augment), "height": 32}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
