"""Collate pages to one batch, with every shape and value checked on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images.resize_page import MULTIPLE

_ONE = {np.dtype(np.float16): (np.uint16, 0x3C00), np.dtype(np.float32): (np.uint32, 0x3F800000)}  # the bits of 1.0


@dataclass
class PageBatch:
    """images: uint8 (N, H, W, 3). targets: each map (N, h, w). ids: int64 (N,) draw numbers."""

    images: NDArray[np.uint8]
    targets: dict[str, NDArray[Any]]
    ids: NDArray[np.int64]


def collate(
    images: Sequence[NDArray[np.uint8]], targets: Sequence[Mapping[str, NDArray[Any]]], numbers: Sequence[int]
) -> PageBatch:
    """Stack one batch.

    Raises ValueError naming the draw for images that are not RGB uint8 of one size with sides in multiples of 32, for
    maps that differ in name, type or size, and for values out of range: uint8 maps hold 0 and 1, floating-point ones
    0..1, integers are not negative.
    """
    check_images(images, targets, numbers)
    names = list(targets[0])
    for maps, n in zip(targets, numbers, strict=True):
        if list(maps) != names:
            raise ValueError(f"draw {n}: expected the maps {names}, found {list(maps)}")
        for name, found in maps.items():
            like = targets[0][name]
            if found.shape != like.shape or found.dtype != like.dtype or found.ndim != 2:
                raise ValueError(
                    f"draw {n}: expected {name} as {like.dtype} {like.shape}, found {found.dtype} {found.shape}"
                )
            if problem := map_problem(found):
                raise ValueError(f"draw {n}: {name} {problem}")
    stacked = {name: np.stack([maps[name] for maps in targets]) for name in names}
    return PageBatch(np.stack(images), stacked, np.asarray(numbers, dtype=np.int64))


def check_images(images: Sequence[NDArray[np.uint8]], targets: Sequence[object], numbers: Sequence[int]) -> None:
    """Raise ValueError naming the draw when the images of a batch are not as `collate` expects them."""
    if not images or len(images) != len(targets) or len(images) != len(numbers):
        raise ValueError(f"a batch of {len(images)} images, {len(targets)} targets and {len(numbers)} numbers")
    size = images[0].shape
    if len(size) != 3 or size[2] != 3 or size[0] % MULTIPLE or size[1] % MULTIPLE or not size[0] or not size[1]:
        raise ValueError(f"draw {numbers[0]}: expected an image (H, W, 3) in multiples of {MULTIPLE}, found {size}")
    for image, n in zip(images, numbers, strict=True):
        if image.shape != size or image.dtype != np.uint8:
            raise ValueError(f"draw {n}: expected a uint8 image {size}, found {image.dtype} {image.shape}")


def map_problem(found: NDArray[Any]) -> str:
    """Return what is wrong with the values of a map, or "".

    A float from 0 to 1 has no bit above those of 1.0 (NaN, infinity and a minus sign do), so one integer maximum is
    enough; numpy's maximum of float16 takes fifty times as long.
    """
    if found.dtype in _ONE:
        kind, one = _ONE[found.dtype]
        if int(np.ascontiguousarray(found).view(kind).max()) <= one:
            return ""
        plain = found.astype(np.float64)
        bad = ~((plain >= 0) & (plain <= 1))
        return f"holds {int(bad.sum())} values outside 0..1 or not finite" if bad.any() else ""
    if found.dtype == np.uint8:
        return f"holds {int(found.max())}, expected 0 and 1" if found.max() > 1 else ""
    if np.issubdtype(found.dtype, np.signedinteger):
        return f"holds {int(found.min())}, expected no negative number" if found.min() < 0 else ""
    return f"is of type {found.dtype}, expected uint8, a signed whole number, float16 or float32"
