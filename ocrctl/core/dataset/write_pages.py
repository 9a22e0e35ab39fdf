"""Write a data set of pages as a new folder, atomically: label files in any format, images copied."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import page_format
from ocrctl.data.formats.fit_to_format import fit_to_format
from ocrctl.data.images.header import read_header
from ocrctl.data.images.tiff import has_several_pages
from ocrctl.errors import InputError
from ocrctl.files.folder import new_folder

IMAGES = "images"  # folder of the images within the new one
_MAX_NAME = 200  # bytes; file systems support 255


@dataclass(frozen=True)
class Written:
    """A written data set. `lost` counts what the format cannot represent, by sentence; `missing` images are in the
    labels but were not copied; `several_pages` are multi-page TIFFs, whose labels apply to the first page."""

    out: Path
    images: int
    instances: int
    lost: dict[str, int]
    missing: list[str]
    several_pages: list[str] = field(default_factory=list)


def write_pages(
    data: Annotations, format_name: str, out: Path, command: str, *, copy: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:  # fmt: skip
    """Write `data` to the new folder `out`. Without `copy`, only the label files. Raises as `new_folder` does."""
    with new_folder(out, command) as folder:
        return replace(fill_pages(data, format_name, folder, copy=copy, progress=progress), out=out)


def fill_pages(
    data: Annotations, format_name: str, folder: Path, *, copy: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:  # fmt: skip
    """Write `data` to the empty `folder`. Without `copy`, only the label files. Raises OSError."""
    pages = page_format(format_name)
    if pages.KEEPS.sizes:
        data = replace(data, sizes=known_sizes(data))
    names = safe_names(data.images, unique_stems=pages.PER_IMAGE or format_name == "cleval-zip")
    fitted, lost = fit_to_format(data, format_name)
    start = getattr(pages, "IMAGES_FROM", "")
    fitted = replace(fitted, images=[os.path.relpath(f"{IMAGES}/{name}", start or ".") for name in names])
    missing, several_pages = [], []
    for rendered in pages.render(fitted):
        _write(folder / rendered.name, rendered.content)
    for image, name in enumerate(names) if copy else ():
        progress(image, len(names))
        try:
            content = data.image_bytes(image)
        except InputError:
            missing.append(data.image_where(image))
            continue
        if has_several_pages(content):
            several_pages.append(data.image_where(image))
        _write(folder / IMAGES / name, content)
    return Written(folder, len(names), len(data), lost, missing, several_pages)


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def known_sizes(data: Annotations) -> NDArray[np.int32]:
    """Return (I, 2) image sizes from the annotations or else from the file header; 0 if unreadable."""
    sizes = data.sizes.copy()
    for image in np.flatnonzero((sizes <= 0).any(1)).tolist():
        try:
            header = read_header(data.image_bytes(image))
        except InputError:
            continue
        if header is not None:
            sizes[image] = header.displayed
    return sizes


def safe_names(images: list[str], *, unique_stems: bool) -> list[str]:
    """Return a unique relative path without `..` for each image, below the folder of images.

    `unique_stems`: no folders, and names differ in more than the suffix, for one label file per image.
    """
    used: set[str] = set()
    names = []
    for image in images:
        parts = [part for part in PurePosixPath(image.replace("\\", "/")).parts if part not in ("/", "..", ".")]
        parts = ["".join(c if c.isprintable() and c != ":" else "_" for c in part) for part in parts]
        parts = [_shortened(part) for part in parts] or ["image"]
        if len(parts) > 1 and parts[0] == IMAGES:
            parts = parts[1:]
        path = PurePosixPath(parts[-1]) if unique_stems else PurePosixPath(*parts)
        name, number = path, 1
        while (key := (name.stem if unique_stems else str(name)).lower()) in used:
            number += 1
            name = path.with_name(f"{path.stem}_{number}{path.suffix}")
        used.add(key)
        names.append(str(name))
    return names


def _shortened(part: str) -> str:
    """Shorten a file or folder name, leaving room for suffixes of label files and repeats."""
    path = PurePosixPath(part)
    room = _MAX_NAME - len(path.suffix.encode())
    if room < 1:
        return part.encode()[:_MAX_NAME].decode(errors="ignore")
    return path.stem.encode()[:room].decode(errors="ignore") + path.suffix
