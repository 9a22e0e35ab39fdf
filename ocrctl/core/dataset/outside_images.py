"""Refuse to copy images outside the data set unless allowed.

A label file may contain any absolute path, `../..`, or a link: a copy of the set would include those files.
"""

from __future__ import annotations

import os
from pathlib import Path

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import parse_spec
from ocrctl.errors import InputError
from ocrctl.files.regular import file_kind


def check_outside_images(spec: str, data: Annotations, allow: bool) -> None:
    """Raise InputError, unless `allow`, when an image of `data` exists outside the path of `spec` and outside the
    folders of its labels and images.

    Links are followed, also of the image folder. Missing images are reported elsewhere.
    """
    if allow:
        return
    roots = _roots(spec, data)
    real: dict[str, str] = {}  # folder to what it is, links followed
    count, first, regular = 0, "", False  # regular: one of them can be copied
    for path in data.image_paths(0, len(data.images)):
        if not path or "\0" in path:  # not a file of its own, or not a path
            continue
        folder, name = os.path.split(path)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        target = os.path.join(real[folder], name)
        if os.path.islink(target) or name in ("", ".", ".."):
            target = os.path.realpath(target)
        if not any(target.startswith(root) for root in roots) and os.path.exists(target):
            count += 1
            kind = file_kind(os.stat(target).st_mode)
            is_file = kind == "a regular file"
            regular |= is_file
            named = path if path == target else f"{path}, which is {target}"
            first = first or (named if is_file else f"{named}, {kind}")
    if count:
        images = "1 image is" if count == 1 else f"{count:,} images are"
        raise InputError(
            f"{data.name}: {images} outside the set, {_not_in(sorted(roots))} (first: {first}).",
            hint="--allow-outside copies them too" if regular else "correct the label file, or remove the link",
        )


def _not_in(roots: list[str]) -> str:
    """The folders of the set, of which there is at least one, in words."""
    return f"not in {roots[0]}" if len(roots) == 1 else f"in neither {' nor '.join(roots)}"


def _roots(spec: str, data: Annotations) -> set[str]:
    """Return the real paths of the folders of the SPEC, the labels and the images, with a trailing separator.

    The image folder is included unless a link leads to it from outside the common folder with the labels:
    `images -> /home` does not make /home part of the set.
    """
    named = parse_spec(spec).path
    assert named is not None  # it was read
    labels = {os.path.abspath(Path(file).parent) for file in data.label_files} or {os.path.abspath(data.root)}
    own = str(named if named.is_dir() else named.parent)
    roots = {os.path.join(os.path.realpath(folder), "") for folder in (own, *labels)}
    root = os.path.abspath(data.root)
    shared = os.path.join(os.path.realpath(os.path.commonpath([root, *labels])), "")
    real = os.path.join(os.path.realpath(root), "")
    return roots | {real} if real.startswith(shared) else roots
