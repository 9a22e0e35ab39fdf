"""Clean a data set in memory: clamp, repair, remove. Only what the rules report is changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations, by_image
from ocrctl.data.formats.fit_to_format import fit_to_format
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.fixes import clamp, repair, replaced, to_displayed
from ocrctl.data.validate.image_rules import frames
from ocrctl.data.validate.image_scan import ImageScan
from ocrctl.data.validate.run import run_rules
from ocrctl.data.validate.text_rules import repaired_text

UNUSABLE = ("missing", "unreadable", "truncated", "empty-file", "too-large", "listed-twice")
_OUTLINES = ("self-intersecting", "repeated-points", "counter-clockwise", "spike")
_TEXTS = ("control-character", "mojibake", "not-nfc", "edge-spaces")
_PASSES = 4  # a clamped polygon may need repair, and a repaired one clamping


@dataclass
class Cleaned:
    """Result of a cleaning. `actions` counts by "action: code name"; `changed` marks images of the old data whose
    labels differ, `kept` those that remain, `clamped` instances of the old data; `fatal` counts the remaining
    errors."""

    data: Annotations
    kept: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    clamped: NDArray[np.bool_]
    tiny: NDArray[np.bool_]
    actions: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    fatal: int = 0

    def note(self, action: str, count: int, where: str) -> None:
        """Count an action, and keep the location of the first."""
        self.actions[action] += count
        self.examples.setdefault(action, where)


def clean(
    data: Annotations, scan: ImageScan, first: Findings, *, clamping: bool, repairing: bool, removing: bool
) -> Cleaned:
    """Clean `data`; `scan` and `first` are the results of `run_rules`."""
    count = len(data.images)
    tiny = np.isin(np.arange(len(data)), first.of("tiny"))
    result = Cleaned(data, np.ones(count, bool), np.zeros(count, bool), np.zeros(len(data), bool), tiny)
    if repairing:
        _frames(result, scan, first)
    for _ in range(_PASSES):
        findings, _ = run_rules(result.data, scan=scan)
        wrong = _wrong(result.data, scan, findings)
        touched = _clamp(result, scan, findings, wrong) if clamping else False
        if repairing:
            touched = _repair(result, findings, wrong) or touched
        if not touched:
            break
        if data.words is None:  # a fixed polygon may have a shape that the format does not support
            result.data, _ = fit_to_format(result.data, data.format)
    if removing:
        again = first.of("listed-twice")
        if data.words is None:
            again = _merge(result, again, np.zeros(0, np.int64) if repairing else first.of("exif-frame"))
        _remove(result, scan, first, again)
    data = result.data
    after, _ = run_rules(data, scan=scan.subset(result.kept))
    unusable = 0 if removing else len(first.of(*UNUSABLE))
    result.fatal = after.count("error") + unusable
    return result


def _frames(result: Cleaned, scan: ImageScan, findings: Findings) -> None:
    """Rotate labels that are in the frame before EXIF rotation, and correct stated sizes."""
    data = result.data
    spans, sizes = data.spans(), data.sizes.copy()
    points = data.points.copy()
    for image in findings.of("exif-frame").tolist():
        rows = slice(data.offsets[spans[image]], data.offsets[spans[image + 1]])
        points[rows] = to_displayed(points[rows], int(scan.orientations[image]), *scan.stored[image].tolist())
        if sizes[image].any():
            sizes[image] = scan.sizes[image]
        result.changed[image] = True
        result.note("turned: exif-frame", 1, data.image_where(image))
    for image in findings.of("size-differs").tolist():
        sizes[image] = scan.sizes[image]
        result.changed[image] = True
        result.note("size set: size-differs", 1, data.image_where(image))
    result.data = replace(data, points=points, sizes=sizes)


def _wrong(data: Annotations, scan: ImageScan, findings: Findings) -> NDArray[np.int64]:
    """Return the instances with a point further beyond the image than its longer side: a wrong number, not an inexact
    one. Moved to the edge or cut off as a spike, it would leave the polygon of another text: they keep their error."""
    widths, heights = frames(data, scan, findings)

    def beyond(index: int) -> float:
        points = data.polygon(index)
        return float(np.maximum(-points, points - (widths[index], heights[index])).max())

    found = [n for n in findings.of("out-of-bounds").tolist() if beyond(n) >= max(widths[n], heights[n])]
    return np.array(found, np.int64)


def _clamp(result: Cleaned, scan: ImageScan, findings: Findings, wrong: NDArray[np.int64]) -> bool:
    chosen = np.setdiff1d(findings.of("out-of-bounds"), wrong)
    if not len(chosen):
        return False
    data = result.data
    widths, heights = frames(data, scan, findings)
    result.data = replace(data, points=clamp(data.points, data.offsets, chosen, widths, heights))
    result.clamped[chosen] = True
    _mark(result, "clamped: out-of-bounds", chosen)
    return True


def _repair(result: Cleaned, findings: Findings, wrong: NDArray[np.int64]) -> bool:
    data = result.data
    touched = False
    fixed = []
    for index in np.setdiff1d(findings.of(*_OUTLINES), wrong).tolist():
        old = data.polygon(index)
        new = repair(old)
        if len(new) >= 3 and not np.array_equal(new, old):
            fixed.append((index, new))
    if fixed:
        points, offsets = replaced(data.points, data.offsets, fixed)
        result.data = data = replace(data, points=points, offsets=offsets)
        _by_code(result, findings, _OUTLINES, {index for index, _ in fixed})
        touched = True
    texts = list(data.texts)
    changed = set()
    for index in findings.of(*_TEXTS).tolist():
        new_text = repaired_text(texts[index])
        if new_text != texts[index]:
            texts[index] = new_text
            changed.add(index)
    if changed:
        result.data = replace(data, texts=texts)
        _by_code(result, findings, _TEXTS, changed)
        touched = True
    return touched


def _merge(result: Cleaned, again: NDArray[np.int64], turned: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move the instances of images that are listed again to their first entry. Returns those images.

    Skips those whose labels are in another frame than the first entry's: one of the two is among the `turned`.
    """
    data = result.data
    first_entry: dict[str, int] = {}
    for image, name in enumerate(data.images):
        first_entry.setdefault(name, image)
    firsts = np.array([first_entry[data.images[image]] for image in again.tolist()], np.int64)
    alike = np.isin(again, turned) == np.isin(firsts, turned)
    again, firsts = again[alike], firsts[alike]
    if not len(again):
        return again
    to = np.arange(len(data.images), dtype=np.int32)
    to[again] = firsts
    moved = to[data.image_id]
    result.changed[np.unique(moved[moved != data.image_id])] = True
    order = np.argsort(moved, kind="stable")
    result.clamped, result.tiny = result.clamped[order], result.tiny[order]
    result.data = by_image(replace(data, image_id=moved))
    return again


def _remove(result: Cleaned, scan: ImageScan, first: Findings, again: NDArray[np.int64]) -> None:
    data = result.data
    unusable = np.zeros(len(data.images), bool)
    for name in UNUSABLE:
        images = again if name == "listed-twice" else first.of(name)
        new = images[~unusable[images]]
        unusable[new] = True
        if len(new):
            action = "merged" if name == "listed-twice" and data.words is None else "image removed"
            result.note(f"{action}: {name}", len(new), data.image_where(int(new[0])))
    findings, _ = run_rules(data, scan=scan)
    bad = np.zeros(len(data), bool)
    for hits in findings.sorted():
        if hits.code.on == "instance" and (hits.code.severity == "error" or hits.code.fix == "remove"):
            new = np.unique(hits.indices[~bad[hits.indices] & ~unusable[data.image_id[hits.indices]]])
            bad[new] = True
            if len(new):
                _mark(result, f"removed: {hits.code.name}", new)
    slivers = findings.of("tiny")
    slivers = slivers[result.clamped[slivers] & ~bad[slivers] & ~unusable[data.image_id[slivers]]]
    slivers = slivers[~result.tiny[slivers]]
    bad[slivers] = True
    if len(slivers):  # only a sliver of the word was inside: its text is no longer visible
        _mark(result, "removed: tiny, once clamped", slivers)
    before = np.bincount(data.image_id, minlength=len(data.images))
    left = np.bincount(data.image_id[~bad], minlength=len(data.images))
    emptied = (before > 0) & (left == 0) & ~unusable
    if emptied.any() and data.words is None:
        where = data.image_where(int(np.flatnonzero(emptied)[0]))
        result.note("image removed: nothing is left", int(emptied.sum()), where)
    result.kept = ~unusable & ~emptied
    result.changed |= ~result.kept
    result.data = data.subset(~bad, result.kept)


def _by_code(result: Cleaned, findings: Findings, names: tuple[str, ...], done: set[int]) -> None:
    for name in names:
        indices = np.array([index for index in findings.of(name).tolist() if index in done], np.int64)
        if len(indices):
            _mark(result, f"repaired: {name}", indices)


def _mark(result: Cleaned, action: str, indices: NDArray[np.int64]) -> None:
    result.changed[result.data.image_id[indices]] = True
    result.note(action, len(indices), result.data.where(int(indices[0])))
