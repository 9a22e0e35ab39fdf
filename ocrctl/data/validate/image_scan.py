"""Scan every image of a data set once: size, EXIF orientation, damage, digest and perceptual hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.limits import max_image_pixels
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.images.decode import container_problem, decode
from ocrctl.data.images.header import Header, HeaderReader, read_header
from ocrctl.data.images.libjpeg_warnings import DecoderWarnings
from ocrctl.data.images.limits import header_and_size, limit_problem, value_problem
from ocrctl.data.images.tiff import is_tiff, several_pages_note
from ocrctl.data.images.tiff import pages as tiff_pages
from ocrctl.data.polygons.findings import Findings
from ocrctl.errors import InputError

_SIDE = 64  # of a thumbnail
_THUMB = 9  # dHash, https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
_STRETCH = 64  # images between two progress reports, during which stderr is captured
_UNKNOWN = Header(0, 0)
_HEAVIEST = 4  # maximum memory per pixel while decoding, relative to 8-bit RGB
_HEADER_BYTES = (1 << 10, 1 << 13, 1 << 17)  # most headers fit; with a colour profile; with an EXIF thumbnail


@dataclass
class ImageScan:
    """Results for I images. `sizes` (I, 2) is width and height as displayed, 0 where unreadable."""

    sizes: NDArray[np.int32]
    stored: NDArray[np.int32]  # (I, 2) before EXIF orientation
    orientations: NDArray[np.int8]
    digests: list[bytes]  # of the file; b"" where it cannot be read
    hashes: NDArray[np.uint64]  # (I, 2) dHash along x and along y; 0 where the image was not decoded
    multipage: list[int] = field(default_factory=list)  # images whose file is a TIFF of several pages
    thumbnails: dict[bytes, NDArray[np.uint8]] = field(
        default_factory=dict
    )  # of `thumbnail`, by digest, filled on demand

    def subset(self, images: NDArray[np.bool_]) -> ImageScan:
        """Select the images marked by `images` (I,)."""
        digests = [digest for digest, keep in zip(self.digests, images, strict=True) if keep]
        orientations, hashes = self.orientations[images], self.hashes[images]
        kept = (np.cumsum(images) - 1)[[image for image in self.multipage if images[image]]].tolist()
        return ImageScan(self.sizes[images], self.stored[images], orientations, digests, hashes, kept, self.thumbnails)

    def thumbnail(self, data: Annotations, image: int) -> NDArray[np.uint8]:
        """Return image `image` of `data`, the scanned set, as (64, 64) grey levels, read on first use. Raises
        InputError when it can no longer be read."""
        digest = self.digests[image]
        if digest not in self.thumbnails:
            with DecoderWarnings():
                grey = decode(data.image_bytes(image), data.image_where(image))
            small = cv2.resize(cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            self.thumbnails[digest] = np.asarray(small, np.uint8)
        return self.thumbnails[digest]


def scan_images(
    data: Annotations,
    findings: Findings,
    decode: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImageScan:
    """Read every image and add findings for the files. `decode` False reads headers only."""
    count = len(data.images)
    scan = ImageScan(
        sizes=np.zeros((count, 2), np.int32),
        stored=np.zeros((count, 2), np.int32),
        orientations=np.ones(count, np.int8),
        digests=[b""] * count,
        hashes=np.zeros((count, 2), np.uint64),
    )
    headers = np.empty((count, 3), np.int32)  # width, height and orientation of each
    problems: list[tuple[int, str, str]] = []
    pages: list[tuple[int, int]] = []
    reader = HeaderReader()
    for start in range(0, count, _STRETCH):
        stop = min(start + _STRETCH, count)
        if decode:
            with DecoderWarnings() as decoder:
                for image in range(start, stop):
                    header, name, problem = _decoded(data, image, scan, decoder, pages)
                    headers[image] = header or _UNKNOWN
                    if problem:
                        problems.append((image, name, problem))
        else:
            block = headers[start:stop]
            starts = data.image_starts(start, stop, _HEADER_BYTES[0])
            block[:] = reader.read_all(starts)  # nearly always sufficient
            for image in (np.flatnonzero(block[:, 0] == 0) + start).tolist():
                header, name, problem = _header(data, image, len(starts[image - start]))
                headers[image] = header or _UNKNOWN
                if problem:
                    problems.append((image, name, problem))
            _whole_files(data, start, starts, block, pages, problems)
        progress(stop, count)
    scan.stored[:], scan.orientations[:] = headers[:, :2], headers[:, 2]
    scan.sizes[:] = np.where(scan.orientations[:, None] >= 5, scan.stored[:, ::-1], scan.stored)
    for image, name, problem in problems:
        findings.add(name, [image], None, [problem])
    scan.multipage = [image for image, _ in pages]
    findings.add("several-pages", [image for image, _ in pages], [float(count) for _, count in pages])
    return scan


def multipage_note(data: Annotations, scan: ImageScan) -> list[str]:
    """Return a note for a training, which reads the first page of each TIFF that has more; none where all have one."""
    note = several_pages_note([data.image_where(image) for image in scan.multipage])
    return [f"{data.name}: {note}"] if note else []


def _whole_files(
    data: Annotations,
    start: int,
    starts: list[bytes],
    headers: NDArray[np.int32],
    pages: list[tuple[int, int]],
    problems: list[tuple[int, str, str]],
) -> None:
    """Check what the first bytes of the images from `start` on do not show: pages of TIFFs, and the memory that
    decoding a large image needs."""
    large = headers[:, 0].astype(np.int64) * headers[:, 1] > max_image_pixels() // _HEAVIEST
    known = {image for image, _, _ in problems}
    for index, head in enumerate(starts):
        if start + index in known or not (large[index] or head[:2] in (b"II", b"MM")):
            continue
        try:
            content = data.image_bytes(start + index)
        except InputError as error:  # removed since its first bytes were read
            problems.append((start + index, *_unread(data, start + index, error)))
            continue
        _count_pages(start + index, content, pages)
        if problem := limit_problem(content):
            problems.append((start + index, "too-large", problem))
        elif problem := value_problem(content):
            problems.append((start + index, "unreadable", problem))


def _count_pages(image: int, content: bytes, pages: list[tuple[int, int]]) -> None:
    if is_tiff(content) and (count := len(tiff_pages(content).offsets)) > 1:
        pages.append((image, count))


def _header(data: Annotations, image: int, read_size: int) -> tuple[Header | None, str, str]:
    """Read the header of a file whose first `read_size` bytes hold none. Returns the header, the name of the code and
    the reason, if any."""
    for size in _HEADER_BYTES[1:] if read_size == _HEADER_BYTES[0] else ():
        (content,) = data.image_starts(image, image + 1, size)
        header = read_header(content)
        if header is not None:
            return header, "", ""
        if len(content) < size:
            break
    try:
        content = data.image_bytes(image)  # an image that is not a file; or this reports the error
    except InputError as error:
        return None, *_unread(data, image, error)
    if not content:
        return None, "empty-file", "the image file is empty"
    header = read_header(content)
    if header is None and (problem := limit_problem(content)):
        return None, "too-large", problem
    return header, "unreadable", "" if header is not None else "the header of the image cannot be read"


def _decoded(
    data: Annotations, image: int, scan: ImageScan, decoder: DecoderWarnings, pages: list[tuple[int, int]]
) -> tuple[Header | None, str, str]:
    """Same as `_header`, but decodes the whole file; sets the digest and the hash in `scan`, and adds to `pages`."""
    try:
        content = data.image_bytes(image)
    except InputError as error:
        return None, *_unread(data, image, error)
    scan.digests[image] = hashlib.blake2b(content, digest_size=16).digest()
    if not content:
        return None, "empty-file", "the image file is empty"
    header, stated = header_and_size(content)
    if problem := container_problem(content):
        return header, "truncated", problem
    if problem := limit_problem(content, stated):
        return header, "too-large", problem
    _count_pages(image, content, pages)
    problem, small = decoder.probe_sized(content, stated)
    if small is not None and not problem and data.words is None:
        scan.hashes[image] = _dhash(small if content.startswith(b"\xff\xd8") else _eighth(small))
    if problem:
        return header, ("truncated" if "damaged" in problem else "unreadable"), problem
    return header, "unreadable", "" if header is not None else "the header of the image cannot be read"


def _unread(data: Annotations, image: int, error: InputError) -> tuple[str, str]:
    problem = error.message.removeprefix(f"{data.image_where(image)}: ").removesuffix(".")
    return ("missing" if problem.endswith("missing") else "unreadable"), problem


def _eighth(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce `image` (h, w, ...) to an eighth by block means, like the reduced decoding of a JPEG."""
    height, width = image.shape[:2]
    whole = cv2.copyMakeBorder(image, 0, -height % 8, 0, -width % 8, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // 8, whole.shape[0] // 8)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), image.dtype)


def _dhash(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    grey: NDArray[Any] = image
    if image.ndim == 3:  # same brightness as a JPEG, which is read in grey
        grey = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2GRAY) if image.shape[2] >= 3 else image[..., 0]
    if grey.dtype != np.uint8:
        grey = (grey >> 8).astype(np.uint8)
    small = cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.int16)
    along_x, along_y = np.diff(small[:-1], axis=1) > 2, np.diff(small[:, :-1], axis=0) > 2
    return np.packbits(np.stack((along_x, along_y)).reshape(2, 64), axis=1).view(np.uint64)[:, 0]
