"""One batch of pages whose maps are still to be made, on the device: pictures and padded arrays of polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.datasets.collate import check_pictures
from ocrctl.data.targets.packed import Packed


@dataclass
class OutlineBatch:
    """images: uint8 (N, H, W, 3). outlines: by group and name, each (N, ...). ids: int64 (N,) draw numbers."""

    images: NDArray[np.uint8]
    outlines: Packed
    ids: NDArray[np.int64]


def collate_outlines(
    images: Sequence[NDArray[np.uint8]], targets: Sequence[Packed], numbers: Sequence[int]
) -> OutlineBatch:
    """Stack one batch; arrays grow by zeros to the largest of the batch, which mean nothing (`targets/packed.py`).

    Raises ValueError, naming the draw, for pictures that `page_collate.collate` refuses, for arrays that differ in
    name, type or kind, for numbers that are not finite, and for tiles of polygons that are not there.
    """
    check_pictures(images, targets, numbers)
    kinds = _kinds(targets[0])
    for groups, n in zip(targets, numbers, strict=True):
        if _kinds(groups) != kinds:
            raise ValueError(f"draw {n}: expected the arrays {kinds}, found {_kinds(groups)}")
        for group, arrays in groups.items():
            if problem := _problem(arrays):
                raise ValueError(f"draw {n}: {group}/{problem}")
    padded = {
        group: {name: _padded([one[group][name] for one in targets]) for name in arrays}
        for group, arrays in targets[0].items()
    }
    return OutlineBatch(np.stack(images), padded, np.asarray(numbers, dtype=np.int64))


def _kinds(groups: Packed) -> list[tuple[str, str, str, int]]:
    return [
        (group, name, str(value.dtype), value.ndim)
        for group, arrays in groups.items()
        for name, value in arrays.items()
    ]


def _problem(arrays: dict[str, NDArray[Any]]) -> str:
    """What would not be noticed, or would break the device, or ""."""
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"{name} holds {int((~np.isfinite(value)).sum())} numbers that are not finite"
    if "tiles" in arrays and arrays["tiles"].size:
        count = min(len(value) for name, value in arrays.items() if name != "tiles")
        first, last = int(arrays["tiles"][:, 0].min()), int(arrays["tiles"][:, 0].max())
        if first < 0 or last >= count:
            return f"tiles name polygons {first} to {last} of {count}"
    return ""


def _padded(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    whole = np.zeros((len(arrays), *np.max([array.shape for array in arrays], axis=0)), arrays[0].dtype)
    for row, array in zip(whole, arrays, strict=True):
        row[tuple(slice(length) for length in array.shape)] = array
    return whole
