"""Every picture of a data set looked at once: size, EXIF orientation, damage, digest and look."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations import Annotations
from ocrctl.data.decoder_warnings import DecoderWarnings
from ocrctl.data.findings import Findings
from ocrctl.data.image_header import read_header
from ocrctl.data.images import damage
from ocrctl.errors import InputError

_THUMB = 9  # dHash, https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
_STRETCH = 64  # pictures between two reports of progress, while stderr is listened to
_HEADER_BYTES = 1 << 16  # an EXIF block fits; where a header is longer, the whole file is read


@dataclass
class Looks:
    """What was seen of I pictures. `sizes` (I, 2) is width and height as displayed, 0 where unreadable."""

    sizes: NDArray[np.int32]
    stored: NDArray[np.int32]  # (I, 2) before EXIF orientation
    orientations: NDArray[np.int8]
    digests: list[bytes]  # of the file; b"" where it cannot be read
    hashes: NDArray[np.uint64]  # (I, 2) dHash along x and along y; 0 where the picture was not decoded

    def subset(self, images: NDArray[np.bool_]) -> Looks:
        """What was seen of the pictures chosen by `images` (I,)."""
        digests = [digest for digest, keep in zip(self.digests, images, strict=True) if keep]
        return Looks(self.sizes[images], self.stored[images], self.orientations[images], digests, self.hashes[images])


def look_at(
    data: Annotations,
    findings: Findings,
    decode: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Looks:
    """Read every picture and add what is wrong with the files themselves. `decode` False reads headers only."""
    count = len(data.images)
    looks = Looks(
        sizes=np.zeros((count, 2), np.int32),
        stored=np.zeros((count, 2), np.int32),
        orientations=np.ones(count, np.int8),
        digests=[],
        hashes=np.zeros((count, 2), np.uint64),
    )
    for start in range(0, count, _STRETCH):
        stop = min(start + _STRETCH, count)
        with DecoderWarnings() as decoder:
            for image in range(start, stop):
                name, problem = _look(data, image, looks, decoder if decode else None)
                if problem:
                    findings.add(name, [image], None, [problem])
        progress(stop, count)
    return looks


def _look(data: Annotations, image: int, looks: Looks, decoder: DecoderWarnings | None) -> tuple[str, str]:
    """Name of the code and reason of what is wrong with one file, if anything; fills its row of `looks`."""
    try:
        content = data.image_bytes(image) if decoder else data.image_start(image, _HEADER_BYTES)
    except InputError as error:
        problem = error.message.removeprefix(f"{data.image_where(image)}: ").removesuffix(".")
        looks.digests.append(b"")
        return ("missing" if problem.endswith("missing") else "unreadable"), problem
    looks.digests.append(hashlib.blake2b(content, digest_size=16).digest() if decoder else b"")
    if not content:
        return "empty-file", "the image file is empty"
    header = read_header(content)
    if header is None and not decoder and len(content) == _HEADER_BYTES:
        header = read_header(data.image_bytes(image))
    if header is not None:
        looks.sizes[image], looks.stored[image] = header.displayed, (header.width, header.height)
        looks.orientations[image] = header.orientation
    if decoder is not None:
        if problem := damage(content):
            return "truncated", problem
        problem, small = decoder.look(content)
        if small is not None and data.words is None:
            looks.hashes[image] = _dhash(small)
        if problem:
            return ("truncated" if "damaged" in problem else "unreadable"), problem
    return "unreadable", "" if header is not None else "the header of the picture cannot be read"


def _dhash(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    grey = image[..., 0] if image.ndim == 3 else image
    if grey.dtype != np.uint8:
        grey = (grey >> 8).astype(np.uint8)
    small = cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.int16)
    along_x, along_y = np.diff(small[:-1], axis=1) > 2, np.diff(small[:, :-1], axis=0) > 2
    return np.packbits(np.stack((along_x, along_y)).reshape(2, 64), axis=1).view(np.uint64)[:, 0]
