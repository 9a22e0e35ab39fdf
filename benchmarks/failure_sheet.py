"""A sheet of the pages on which a detector fails most: what it missed, what is false, what it merged.

    python benchmarks/failure_sheet.py MODEL SPEC -o SHEET.webp [--pages 4] [--height 480]

Green: words that were found. Orange: words that were missed. Red: false boxes; magenta: those that hold several words.
Ignored words are grey. Shown are the pages of the least hmean among those with five words and more, side by side; the
report of `ocrctl eval --report` has all of them.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.inference.engine import Engine
from ocrctl.metrics.hmean import Matching, match
from ocrctl.metrics.instances import from_annotations, from_detections
from ocrctl.models.outlines.detections import Detections

FOUND, MISSED, FALSE, MERGED, IGNORED = (0, 170, 0), (0, 140, 255), (0, 0, 255), (255, 0, 255), (150, 150, 150)  # BGR


def outline(page: np.ndarray, polygon: np.ndarray, colour: tuple[int, int, int], width: int = 2) -> None:
    cv2.polylines(page, [np.rint(polygon).astype(np.int32)], True, colour, width, cv2.LINE_AA)


def drawn(data: Annotations, found: list[Detections], result: Matching, picture: int, page: np.ndarray) -> np.ndarray:
    """The page with all its outlines."""
    spans = data.spans()
    for index in range(spans[picture], spans[picture + 1]):
        missed = MISSED if result.truth_match[index] < 0 else FOUND
        outline(page, data.polygon(index), IGNORED if result.truth_ignored[index] else missed)
    first = sum(len(one.scores) for one in found[:picture])
    boxes = found[picture]
    for index in range(len(boxes.scores)):
        if result.false[first + index]:
            colour = MERGED if result.merged[first + index] else FALSE
            outline(page, boxes.points[boxes.offsets[index] : boxes.offsets[index + 1]], colour)
    return page


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("spec", metavar="SPEC")
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("--pages", type=int, default=4)
    parser.add_argument("--height", type=int, default=480, help="pixels of a page in the sheet")
    options = parser.parse_args()
    data, engine = open_annotations(options.spec), Engine.load(options.model)
    count = len(data.images)
    pages = [decode(data.image_bytes(image), data.image_where(image)) for image in range(count)]
    found = [engine.detect([page])[0] for page in pages]
    result = match(from_annotations(data), from_detections(found))
    counts = result.by_image()
    shown = sorted((one.hmean, picture) for picture, one in enumerate(counts) if one.truths >= 5)[: options.pages]
    tiles = []
    for hmean, picture in shown:
        page = drawn(data, found, result, picture, cv2.cvtColor(pages[picture], cv2.COLOR_RGB2BGR))
        width = round(page.shape[1] * options.height / page.shape[0])
        tiles.append(cv2.resize(page, (width, options.height), interpolation=cv2.INTER_AREA))
        print(f"{data.images[picture]}: hmean {hmean:.1%}")
    cv2.imwrite(options.out, np.hstack(tiles), [cv2.IMWRITE_WEBP_QUALITY, 70])


if __name__ == "__main__":
    main()
