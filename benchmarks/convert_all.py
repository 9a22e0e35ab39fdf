"""Convert data sets to every format that can hold them, and back: what each target drops, and what else differs.

python benchmarks/convert_all.py SPEC... [--copy]     prints a Markdown table for each SPEC

Pages are written without their images unless --copy is given; word images always with theirs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ocrctl.core.dataset.convert import convert
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import DETECTION_FORMATS, FORMATS, page_format
from ocrctl.data.formats.spec import open_annotations


def differences(first: Annotations, last: Annotations) -> str:
    """What of outlines, texts and flags is not as it was; images may stand in another order."""
    if first.words is not None and last.words is not None:
        images = sum(first.words.image_bytes(i) != last.words.image_bytes(i) for i in range(len(first)))
        counts = {"texts": sum(a != b for a, b in zip(first.texts, last.texts, strict=True)), "images": images}
        return ", ".join(f"{count:,} {what} differ" for what, count in counts.items() if count) or "equal"
    if (len(first.images), len(first)) != (len(last.images), len(last)):
        return f"{len(last.images):,} pictures and {len(last):,} instances"
    counts = {"outlines": 0, "texts": 0, "flags": 0}
    places = {Path(image).stem: number for number, image in enumerate(last.images)}
    spans, other = first.spans().tolist(), last.spans().tolist()
    for image, name in enumerate(first.images):
        place = places[Path(name).stem]
        for i, j in zip(range(*spans[image : image + 2]), range(*other[place : place + 2]), strict=True):
            off = bool(first.ignore[i] and last.ignore[j] and last.texts[j] in ("", IGNORED))
            counts["outlines"] += not np.array_equal(first.polygon(i), last.polygon(j))
            counts["texts"] += first.texts[i] != last.texts[j] and not off
            counts["flags"] += bool(first.ignore[i] != last.ignore[j])
    return ", ".join(f"{count:,} {what} differ" for what, count in counts.items() if count) or "equal"


def main() -> None:
    """Print one table for each SPEC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="SPEC")
    parser.add_argument("--copy", action="store_true", help="write the pictures of pages as well")
    options = parser.parse_args()
    for spec in options.specs:
        first = open_annotations(spec)
        words = first.words is not None
        holds = f"{len(first):,} word images" if words else f"{len(first.images):,} pictures, {len(first):,} instances"
        print(f"\n{Path(spec).name} ({first.format}): {holds}\n")
        print("| to | says it drops | back | seconds |\n| --- | --- | --- | --- |")
        for target in FORMATS if words else DETECTION_FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                there, back = Path(folder, "there"), Path(folder, "back")
                start = time.perf_counter()
                report = convert(spec, there, target, copy=words or options.copy)
                home = "paddleocr-rec" if words else first.format
                convert(f"{target}:{there}", back, home, copy=words or options.copy)
                seconds = time.perf_counter() - start
                lost = "; ".join(f"{what} ({count:,})" for what, count in report.lost.items()) or "nothing"
                last = open_annotations(f"{home}:{back}" if words or page_format(home) else str(back))
                print(f"| `{target}` | {lost} | {differences(first, last)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
