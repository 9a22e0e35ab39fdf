"""Run all rules on a data set, ordered so that later rules can skip what earlier ones have reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.columns import Floats, boxes
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.malformed import check_malformed
from ocrctl.data.polygons.pair_rules import check_pairs
from ocrctl.data.polygons.rules import check_polygons
from ocrctl.data.validate.detector_rules import check_kernels
from ocrctl.data.validate.image_rules import check_images, frames
from ocrctl.data.validate.image_scan import ImageScan, scan_images
from ocrctl.data.validate.recogniser_rules import check_target
from ocrctl.data.validate.text_rules import check_texts
from ocrctl.text.charset import Charset


@dataclass(frozen=True)
class Target:
    """The model that the data is meant for."""

    spec: ModelSpec
    charset: Charset | None  # None: a detector
    size: tuple[int, int]  # height and width it is trained at


def run_rules(
    data: Annotations,
    target: Target | None = None,
    *,
    decode: bool = True,
    scan: ImageScan | None = None,
    pairs: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Findings, ImageScan]:
    """Run every rule on every instance and image. `scan` of an earlier run avoids reading the images again; then there
    are no findings of the files. `pairs` False skips the rules that compare polygons, which find no errors."""
    findings = Findings()
    scanned = scan or scan_images(data, findings, decode, progress)
    check_images(findings, data, scanned)
    if data.words is None:
        widths, heights = frames(data, scanned, findings)
        lengths = np.fromiter(map(len, data.texts), np.int64, len(data))
        lengths[data.ignore] = 0
        around = np.empty((4, len(data)))
        found = check_polygons(data.points, data.offsets, widths, heights, lengths if any(data.texts) else None, around)
        if pairs:
            check_pairs(found, data.points, data.offsets, data.image_id, data.texts, around)
        findings.hits.update(found.hits)
    check_texts(findings, data)
    if target is not None and target.charset is not None:
        check_target(findings, data, target.spec, target.charset, *text_sizes(data, scanned))
    elif target is not None and data.words is None:
        check_kernels(findings, data, target.spec, target.size, widths, heights)
    check_malformed(findings, data.malformed, words=data.words is not None)
    return findings, scanned


def header_errors(data: Annotations, scan: ImageScan | None = None) -> tuple[Findings, ImageScan]:
    """Find the errors of `dataset validate --header-only` before a training: no image is decoded. `scan` as in
    `run_rules`. The texts of word images are checked by data.datasets.check_labels instead."""
    if data.words is None:
        found, scanned = run_rules(data, decode=False, scan=scan, pairs=False)
    else:
        found = Findings()
        scanned = scan_images(data, found, False)
        check_images(found, data, scanned)
    errors = {code: hits for code, hits in found.hits.items() if hits.code.severity == "error"}
    return Findings(errors), scanned


def text_sizes(data: Annotations, scan: ImageScan) -> tuple[Floats, Floats]:
    """Return heights and widths (N,) in pixels: the shorter and the longer side of the box around each polygon, or the
    sides of the word image; NaN unknown."""
    if data.words is not None:
        sizes = scan.sizes[data.image_id].astype(np.float64)
        sizes[sizes == 0] = np.nan
        return sizes[:, 1], sizes[:, 0]
    left, top, right, bottom = boxes(data.points, data.offsets)
    return np.minimum(right - left, bottom - top), np.maximum(right - left, bottom - top)
