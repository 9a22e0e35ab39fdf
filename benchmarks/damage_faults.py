"""The faults that damage.py puts into a copy of a set, seeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import page_format
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.rules import check_polygons
from ocrctl.data.validate.image_scan import scan_images

PUSHED, SWAPPED, BOW_TIES, REPEATED = 0.26, 0.02, 0.01, 0.01  # shares of the polygons
TRUNCATED, TURNED, TWICE = 0.035, 0.03, 0.01  # shares of the images
Truth = list[tuple[str, str, int, int]]  # fault, image, occurrence of the image, number of the instance in it or -1


def damage(folder: Path, seed: int) -> tuple[Truth, dict[tuple[str, int], int]]:
    """Hurt the set in `folder`; returns what was done to what, and of (image, number of an instance before) the
    number now."""
    generator = np.random.default_rng(seed)
    data = open_annotations(str(folder))
    scan = scan_images(data, Findings(), False)
    width, height = scan.sizes[data.image_id].T.astype(float)
    truth: Truth = []
    spans = data.spans()
    filled = np.flatnonzero(np.diff(spans) > 0)
    pictures = generator.permutation(filled)
    counts = [max(1, round(share * len(data.images))) for share in (TRUNCATED, TURNED, TWICE)]
    cut, turned, twice = np.split(pictures[: sum(counts)], np.cumsum(counts)[:-1])
    for image in cut.tolist():
        path = Path(data.image_paths(image, image + 1)[0])
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * generator.uniform(0.3, 0.95))])
        truth.append(("truncated", data.images[image], 0, -1))
    for image in turned.tolist():
        path = Path(data.image_paths(image, image + 1)[0])
        path.write_bytes(with_orientation(path.read_bytes(), int(generator.choice([3, 6, 8]))))
        truth.append(("EXIF rotation", data.images[image], 0, -1))

    # Faults of polygons, on images that are otherwise whole or cut off, and on polygons that no rule accuses.
    accused = check_polygons(data.points, data.offsets, width, height)
    free = ~np.isin(data.image_id, np.concatenate((turned, twice)))
    for hits in accused.hits.values():
        free[hits.indices] = False
    free &= np.diff(data.offsets) == 4
    chosen = generator.permutation(np.flatnonzero(free))
    sizes = [round(share * len(data)) for share in (PUSHED, SWAPPED, BOW_TIES, REPEATED)]
    pushed, swapped, bows, repeated = np.split(chosen[: sum(sizes)], np.cumsum(sizes)[:-1])
    points = data.points.copy()

    def note(fault: str, index: int, shift: int = 0) -> None:
        image = int(data.image_id[index])
        truth.append((fault, data.images[image], 0, index - int(spans[image]) + shift))

    for number, index in enumerate(pushed.tolist()):
        rows = slice(data.offsets[index], data.offsets[index + 1])
        whole = number % 10 == 9
        points[rows] = push(points[rows], width[index], height[index], whole, generator)
        note("pushed out altogether" if whole else "pushed out", index)
    for index in swapped.tolist():
        rows = slice(data.offsets[index], data.offsets[index + 1])
        points[rows] = points[rows][:, ::-1]
        note("x and y swapped", index)
    for index in bows.tolist():
        first = int(data.offsets[index])
        points[[first + 1, first + 2]] = points[[first + 2, first + 1]]
        note("bow tie", index)
    data = replace(data, points=points)
    data, order = with_repeats(data, repeated)
    moved = {(data.images[image], old): new for image, old, new in order if old >= 0}
    truth = [(f, name, n, moved.get((name, i), i) if i >= 0 else i) for f, name, n, i in truth]
    for image, new in ((int(data.image_id[i]), i) for i in np.flatnonzero(repeats_of(order, len(data)))):
        truth.append(("repeated polygon", data.images[image], 0, new - int(data.spans()[image])))
    write_mixed(data, twice.tolist(), truth, generator)
    return truth, moved


def push(points: np.ndarray, width: float, height: float, whole: bool, generator: np.random.Generator) -> np.ndarray:
    """A quad (4, 2) moved beyond the nearest edge: by at least one pixel and not quite, or altogether."""
    low, high = points.min(0), points.max(0)
    ways = [(high[0], (-1, 0)), (width - low[0], (1, 0)), (high[1], (0, -1)), (height - low[1], (0, 1))]
    reach, way = min(ways, key=lambda pair: pair[0])  # how far it must go to be out altogether
    extent = float((high - low)[0 if way[0] else 1])
    inner = reach - extent  # how far until it touches the edge
    far = reach + generator.uniform(1, 50) if whole else inner + max(1.0, extent * generator.uniform(0.05, 0.9))
    return np.round(points + np.array(way) * (np.ceil(far) if whole else far), 1)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF block that says how it is to be turned, its pixels as they are."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + orientation.to_bytes(2, "big") + b"\0\0\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def with_repeats(data: Annotations, repeated: np.ndarray) -> tuple[Annotations, list[tuple[int, int, int]]]:
    """`data` with a copy of each polygon of `repeated` behind it, and (image, old number, new number) of all; a copy
    has the old number -1."""
    copies = np.ones(len(data), int)
    copies[repeated] = 2
    source = np.repeat(np.arange(len(data)), copies)
    counts = np.diff(data.offsets)[source]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    rows = np.repeat(data.offsets[:-1][source] - offsets[:-1], counts) + np.arange(offsets[-1])
    old_start, image = data.spans(), data.image_id[source]
    result = replace(
        data, points=data.points[rows], offsets=offsets, image_id=image, ignore=data.ignore[source],
        lines=data.lines[source], texts=[data.texts[i] for i in source], extras={},
    )  # fmt: skip
    new_start = result.spans()
    again = np.concatenate(([False], source[1:] == source[:-1]))
    order = [
        (int(image[i]), -1 if again[i] else int(source[i] - old_start[image[i]]), int(i - new_start[image[i]]))
        for i in range(len(source))
    ]
    return result, order


def repeats_of(order: list[tuple[int, int, int]], count: int) -> np.ndarray:
    """(count,) which instances are copies."""
    return np.array([old < 0 for _, old, _ in order]) if count else np.zeros(0, bool)


def write_mixed(data: Annotations, twice: list[int], truth: Truth, generator: np.random.Generator) -> None:
    """Write the label files: some lines twice, a byte order mark, line ends mixed."""
    pages = page_format(data.format)
    for rendered in pages.render(data):
        lines = rendered.content.decode().splitlines()
        image = rendered.image
        if image is None:
            for number in sorted(twice, reverse=True):  # a line an image
                lines.insert(number + 1, lines[number])
                truth.append(("line twice", data.images[number], 1, -1))
        elif image in twice:
            lines.insert(1, lines[0])
            truth.append(("line twice", data.images[image], 0, 1))
        ends = generator.choice(["\n", "\r\n"], len(lines))
        content = "".join(line + end for line, end in zip(lines, ends, strict=True))
        place = Path(data.label_files[0 if image is None else data.image_label[image]])
        place.write_bytes(content.encode("utf-8-sig" if image is None or generator.random() < 0.5 else "utf-8"))
