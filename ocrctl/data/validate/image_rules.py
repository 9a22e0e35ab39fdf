"""Rules for images: their files, their labels and other images compared with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.image_scan import ImageScan

LONGEST_ASPECT = 20.0
_NEAR = 3  # maximum number of differing bits, of 64, of nearly identical pages
_GREY = 12  # maximum difference of their thumbnails in grey levels: 7 after JPEG at quality 30
_TOGETHER = 1 << 12  # pairs of thumbnails compared at once


def check_images(findings: Findings, data: Annotations, scan: ImageScan) -> None:
    """Add findings from comparing the images, their labels and each other."""
    width, height = scan.sizes.T.astype(np.float64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    ratio = long / np.maximum(short, 1)
    findings.add("extreme-aspect", np.flatnonzero(ratio > LONGEST_ASPECT), ratio[ratio > LONGEST_ASPECT])
    known = (data.sizes > 0).all(1) & (scan.sizes > 0).all(1)
    frame = _exif(findings, data, scan)
    wrong = np.flatnonzero(known & (data.sizes != scan.sizes).any(1) & ~frame)
    notes = ["the annotation states {}x{}, the file is {}x{}".format(*data.sizes[i], *scan.sizes[i]) for i in wrong]
    findings.add("size-differs", wrong, None, notes)
    _repeats(findings, data, scan)
    findings.add("not-checked", data.unchecked)
    if data.words is None:
        counts = np.bincount(data.image_id, minlength=len(data.images))
        ignored = np.bincount(data.image_id, weights=data.ignore, minlength=len(data.images))
        findings.add("all-ignored", np.flatnonzero((counts > 0) & (ignored == counts)))
        findings.add("no-instances", np.flatnonzero(counts == 0))


def frames(data: Annotations, scan: ImageScan, findings: Findings) -> tuple[Floats, Floats]:
    """Return (N,) width and height of each polygon's image, NaN where unknown. Labels that are in the frame before EXIF
    rotation are measured in it: they get one finding for the image, not one each."""
    sizes = np.where(np.all(scan.sizes > 0, axis=1, keepdims=True), scan.sizes, data.sizes).astype(np.float64)
    turned = findings.of("exif-frame")
    sizes[turned] = scan.stored[turned]
    sizes[(sizes <= 0).any(1)] = np.nan
    width, height = sizes[data.image_id].T
    return width, height


def check_overlap(
    findings: Findings, data: Annotations, scan: ImageScan, other: Annotations, other_scan: ImageScan
) -> None:
    """Add images that are also in `other`, identical byte for byte or in appearance."""
    files = {digest: image for image, digest in enumerate(other_scan.digests) if digest}
    alike: dict[int, int] = {}
    if other.words is None and data.words is None:  # different word crops may look the same
        count = len(other_scan.digests)
        hashes = np.concatenate((other_scan.hashes, scan.hashes))
        sides = np.arange(len(hashes)) >= count

        def thumbnail(image: int) -> NDArray[np.uint8]:
            return other_scan.thumbnail(other, image) if image < count else scan.thumbnail(data, image - count)

        pairs = similar_images(hashes, hashes[:, 0] > 0, thumbnail, sides).tolist()
        alike = {later - count: earlier for later, earlier in reversed(pairs)}
    hits, notes = [], []
    for image, digest in enumerate(scan.digests):
        match = files.get(digest) if digest else None
        if match is None:
            match = alike.get(image)
        if match is not None:
            hits.append(image)
            notes.append(other.image_where(match))
    findings.add("in-both-sets", hits, None, notes)


def _exif(findings: Findings, data: Annotations, scan: ImageScan) -> NDArray[np.bool_]:
    """Check for images with EXIF orientation whether the labels fit the displayed image, the stored one, or both."""
    turned = np.flatnonzero(scan.orientations > 1)
    spans = data.spans()
    frame: NDArray[np.bool_] = np.zeros(len(data.images), np.bool_)
    for image in turned.tolist() if data.words is None else []:
        points = data.points[data.offsets[spans[image]] : data.offsets[spans[image + 1]]]
        if not len(points):
            continue
        shown, stored = scan.sizes[image], scan.stored[image]
        fits = [float(np.mean(np.all((points >= -1) & (points <= size + 1), axis=1))) for size in (shown, stored)]
        stated = bool((data.sizes[image] == stored).all()) and not bool((data.sizes[image] == shown).all())
        note = [f"orientation {scan.orientations[image]}"]
        if stated or fits[1] > fits[0]:
            frame[image] = True
            findings.add("exif-frame", [image], None, note)
        elif fits[1] == fits[0]:
            findings.add("exif-orientation", [image], None, note)
    return frame


def _repeats(findings: Findings, data: Annotations, scan: ImageScan) -> None:
    numbered = data.words is not None and not isinstance(data.words, FolderWords)  # samples without names
    if not any(scan.digests) and (numbered or len(set(data.images)) == len(data.images)):
        return
    first_name: dict[str, int] = {}
    first_file: dict[bytes, int] = {}
    listed: list[tuple[int, int]] = []
    files: list[tuple[int, int]] = []
    single = np.ones(len(data.images), bool)
    for image, digest in enumerate(scan.digests):
        name = data.images[image]
        if first_name.setdefault(name, image) != image:
            listed.append((image, first_name[name]))
        elif digest and first_file.setdefault(digest, image) != image:
            files.append((image, first_file[digest]))
        else:
            continue
        single[image] = False
    _add_pairs(findings, "listed-twice", data, listed)
    _add_pairs(findings, "same-file", data, files)
    pairs = similar_images(scan.hashes, single & (scan.hashes[:, 0] > 0), partial(scan.thumbnail, data)).tolist()
    first: dict[int, int] = {}
    for later, earlier in pairs:
        first.setdefault(later, earlier)
    _add_pairs(findings, "same-picture", data, sorted(first.items()))


def similar_images(
    hashes: NDArray[np.uint64],
    chosen: NDArray[np.bool_],
    thumbnail: Callable[[int], NDArray[np.uint8]],
    sides: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return all pairs (K, 2) of later and earlier nearly identical images, ascending: hashes (I, 2) that differ in at
    most `_NEAR` bits each, and thumbnails that differ by at most `_GREY` everywhere, unlike a form that is filled in
    differently. With `sides` (I,), only pairs across the two sides."""
    pairs = _near_pairs(hashes, chosen, sides)
    if not len(pairs):
        return pairs
    members, member = np.unique(pairs, return_inverse=True)
    small = np.stack([thumbnail(image).ravel() for image in members.tolist()])
    later, earlier = member.reshape(pairs.shape).T
    same = np.zeros(len(pairs), np.bool_)
    for start in range(0, len(pairs), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        one, other = small[later[part]], small[earlier[part]]
        same[part] = (np.maximum(one, other) - np.minimum(one, other)).max(1) <= _GREY
    return pairs[same]


def _near_pairs(
    hashes: NDArray[np.uint64], chosen: NDArray[np.bool_], sides: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Return candidate pairs by the hashes alone: one of four 16-bit bands of the first hash is equal."""
    found = [np.zeros((0, 2), np.int64)]
    members = np.flatnonzero(chosen)
    for band in range(_NEAR + 1) if len(members) > 1 else ():
        keys = (hashes[members, 0] >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = members[np.argsort(keys, kind="stable")]
        for group in np.split(order, np.flatnonzero(np.diff(np.sort(keys))) + 1):
            if 2 <= len(group) <= 1000:  # larger groups are blank sky or paper
                bits = np.bitwise_count(hashes[group][:, None] ^ hashes[group][None, :])
                near = np.tril((bits <= _NEAR).all(2), -1)
                if sides is not None:
                    near &= sides[group][:, None] != sides[group][None, :]
                later, earlier = np.nonzero(near)
                found.append(np.column_stack((group[later], group[earlier])))
    pairs, _ = np.unique(np.concatenate(found), axis=0, return_index=True)  # without the index it imports numpy.ma
    return pairs


def _add_pairs(findings: Findings, name: str, data: Annotations, pairs: Sequence[tuple[int, int]]) -> None:
    notes = [data.image_where(b) for _, b in pairs]
    if data.words is not None:
        texts = data.texts
        notes = [
            note if texts[a] == texts[b] else f"{note}, which reads {texts[b]!r}"
            for note, (a, b) in zip(notes, pairs, strict=True)
        ]
    findings.add(name, [a for a, _ in pairs], None, notes, [b for _, b in pairs])
