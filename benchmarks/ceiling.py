"""The best that a detector's own coding allows: targets decoded straight back to boxes, scored against the labels.

python benchmarks/ceiling.py SPEC [--model dbnet|pan|craft] [--side 640 960 1280] [--box-threshold 0.6] [--min-size 3]

Every image of SPEC (sizes must stand in the labels or the images must be there) is scaled so that its longer side
is SIDE; its kernels become boxes, and those are matched with the polygons as ICDAR 2015 counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.image_scan import scan_images
from ocrctl.metrics.hmean import match
from ocrctl.metrics.instances import from_annotations, from_detections
from ocrctl.models.craft.postprocess import craft_boxes
from ocrctl.models.craft.targets import craft_targets
from ocrctl.models.dbnet.postprocess import db_boxes
from ocrctl.models.dbnet.targets import db_targets
from ocrctl.models.outlines.detections import Detections
from ocrctl.models.pan.postprocess import pan_boxes
from ocrctl.models.pan.targets import pan_targets


class Page(NamedTuple):
    """The polygons of one image in its own pixels."""

    points: np.ndarray
    offsets: np.ndarray
    ignore: np.ndarray
    texts: list[str]
    height: int
    width: int


Coder = Callable[[Page], Detections]


def coders(options: argparse.Namespace) -> dict[str, Coder]:
    """By name: from polygons of an image to boxes, by way of the targets."""

    def db(unclip: float | None) -> Coder:
        def decode(page: Page) -> Detections:
            found = db_targets(page.points, page.offsets, page.ignore, page.height, page.width)
            kernels = found["shrink"].astype(np.float32)
            return db_boxes(kernels, unclip=unclip, box_threshold=options.box_threshold, min_size=options.min_size)

        return decode

    def pan(page: Page) -> Detections:
        found = pan_targets(page.points, page.offsets, page.ignore, page.height, page.width)
        instance = found["instance"]
        apart = 10 * np.stack([instance & 63, instance >> 6]).astype(np.float32)  # a place of its own for each text
        text, kernel = (instance > 0).astype(np.float32), found["kernel"].astype(np.float32)
        return pan_boxes(text, kernel, apart, min_kernel=1, min_area=1).scaled(4, 4)

    def craft(page: Page) -> Detections:
        found = craft_targets(page.points, page.offsets, page.ignore, page.height, page.width, texts=page.texts)
        return craft_boxes(found["region"], found["affinity"]).scaled(2, 2)

    return {"dbnet, unclip None": db(None), "dbnet, unclip 1.5": db(1.5), "pan": pan, "craft": craft}


def score(data: Annotations, sizes: np.ndarray, coder: Coder, side: int) -> str:
    """hmean, precision and recall of all images at one size."""
    spans, found = data.spans(), []
    for picture, (width, height) in enumerate(sizes.tolist()):
        first, last = spans[picture], spans[picture + 1]
        scale = side / max(width, height)
        offsets = data.offsets[first : last + 1]
        points = data.points[offsets[0] : offsets[-1]] * scale
        size = round(height * scale), round(width * scale)
        page = Page(points, offsets - offsets[0], data.ignore[first:last], data.texts[first:last], *size)
        found.append(coder(page).scaled(1 / scale, 1 / scale))
    total = match(from_annotations(data), from_detections(found)).total()
    return f"hmean {total.hmean:.3f}, precision {total.precision:.3f}, recall {total.recall:.3f}"


def main() -> None:
    """Print a line for each decoder and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec")
    parser.add_argument("--model", default="dbnet", help="only decoders whose name begins so")
    parser.add_argument("--side", type=int, nargs="+", default=[640, 960, 1280])
    parser.add_argument("--box-threshold", type=float, default=0.6)
    parser.add_argument("--min-size", type=float, default=3)
    options = parser.parse_args()
    data = open_annotations(options.spec)
    sizes = scan_images(data, Findings(), False).sizes
    for name, coder in coders(options).items():
        if name.startswith(options.model):
            for side in options.side:
                print(f"{name:20s} {side:5d}: {score(data, sizes, coder, side)}")


if __name__ == "__main__":
    main()
