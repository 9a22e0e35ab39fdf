"""Find the label files of a data set and the images that belong to them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ocrctl.data.formats._cache import cached
from ocrctl.data.formats._text import IMAGE_SUFFIX, head_text, majority
from ocrctl.errors import InputError, counted
from ocrctl.files.scandir import is_file, is_folder

_IMAGE = re.compile(rf"(\.*[^.].*){IMAGE_SUFFIX}\Z", re.IGNORECASE | re.DOTALL)
LABEL_SUFFIXES = (".txt", ".json", ".jsonl", ".lst", ".tsv", ".mdb", ".zip", ".csv")
_IMAGE_FOLDERS = ("images", "imgs", "img", "image")
_IMAGE_TREES = re.compile(r"ima?ge?s?|pictures?|jpe?g|png|원천", re.IGNORECASE)  # AI-Hub: source data
_PREFIX = re.compile(r"^(?:poly_gt_|gt_|res_)")
_DIGITS = re.compile(r"(\d+)")
_TRIED = 64  # image names tried per candidate root
_SNIFFED_FILES = 8  # files of a folder read to detect its format
_LEVELS = 4  # parent folders searched for images/a/b given labels/a/b


def choose_root(names: Sequence[str], label: Path) -> Path:
    """Find the folder that image `names` of label file `label` are relative to: the one with most of the images.

    Tried: the label file's folder, its parent, and `images`, `imgs`, `img` or a folder of the file's own name in both.
    """
    folder = label.parent
    roots = [folder, folder.parent]
    roots += [base / sub for base in (folder, folder.parent) for sub in (*_IMAGE_FOLDERS, label.stem)]
    roots += [base / sub / label.stem for base in (folder, folder.parent) for sub in _IMAGE_FOLDERS]
    step = max(1, len(names) // _TRIED)
    sample = names[::step][:_TRIED]
    best, most = folder, 0
    for root in roots:
        count = sum(_is_file(os.path.join(root, name)) for name in sample)
        if count > most:  # the first of equal candidates
            best, most = root, count
        if most == len(sample):
            break
    return best


def image_root(stems: Sequence[str], folder: Path) -> tuple[Path, dict[str, str]]:
    """Find the folder of the images named like `stems`, one label file per image. Returns it and stem to file name.

    It is the label files' own folder, or its parent, when any of the images is there; else the folder in it, beside it,
    or in a parallel tree (images/a/b for labels/a/b) that holds most of them; of equals, the one whose name has the
    longest common start with its own (ch4_test_images for ch4_test_localization_gt).
    """
    best: tuple[tuple[int, int], Path, dict[str, str]] = ((0, 0), folder, {})
    for root in (folder, folder.parent):
        found = _images(root)
        if any(stem in found for stem in stems):
            return root, found
    for root in (*(folder / name for name in _folders(folder)), *_counterparts(folder)):
        found = _images(root)
        score = sum(stem in found for stem in stems), _common(root.name, folder.name)
        if score > best[0] and score[0]:
            best = (score, root, found)
    return best[1], best[2]


def unlabelled(stems: Iterable[str], root: Path, names: Mapping[str, str]) -> list[str]:
    """Return a note of the images, `names` by stem as in `image_root`, without a label file; empty when there are
    none."""
    left = sorted(set(names) - set(stems), key=_natural)
    if not left:
        return []
    which = names[left[0]] + (" ..." if len(left) > 1 else "")
    return [f"{counted(len(left), 'image')} in {root} without a label file, skipped ({which})"]


class Listing(NamedTuple):
    """Sorted names of the entries of a folder; links are followed."""

    files: list[str]
    folders: list[str]
    labels: list[str]  # the files that may hold labels, by their suffix


def listing(folder: Path) -> Listing:
    """List `folder`. Raises InputError when it cannot be listed."""
    return cached(_listing, folder)


def _listing(folder: Path) -> Listing:
    files, folders = [], []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if is_file(entry):
                    files.append(entry.name)
                elif is_folder(entry):
                    folders.append(entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}).") from error
    files.sort()
    return Listing(files, sorted(folders), [name for name in files if name.lower().endswith(LABEL_SUFFIXES)])


def _folders(folder: Path) -> list[str]:
    try:
        return listing(folder).folders
    except InputError:
        return []


def _counterparts(folder: Path) -> Iterator[Path]:
    """Yield the folders beside `folder`, then those in parallel trees of images beside its parents.

    Only its name identifies a tree of images: a test set beside a training set has the same layout.
    """
    yield from (folder.parent / name for name in _folders(folder.parent) if name != folder.name)
    path = folder.absolute()
    for level, base in enumerate(list(path.parents)[1:_LEVELS], 2):
        for name in filter(_IMAGE_TREES.search, _folders(base)):
            found = base.joinpath(name, *path.parts[1 - level :])
            if found.is_dir():
                yield found


def _common(first: str, second: str) -> int:
    """Return the length of the common start of two names."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _images(folder: Path) -> dict[str, str]:
    try:
        return {match[1]: match[0] for match in map(_IMAGE.match, listing(folder).files) if match}
    except InputError:
        return {}


def label_names(path: Path, suffix: str) -> tuple[Path, list[str]]:
    """Return the folder and name of label file `path`, or of those in folder `path` with `suffix` (of LABEL_SUFFIXES),
    in the order of the numbers in their names."""
    return (path.parent, [path.name]) if cached(Path.is_file, path) else (path, cached(_label_names, (path, suffix)))


def label_paths(path: Path, suffix: str) -> list[Path]:
    """Return what `label_names` returns, as paths."""
    folder, names = label_names(path, suffix)
    return [folder / name for name in names]


def first_label_files(path: Path, suffix: str) -> list[Path]:
    """Return the first label files of a folder, enough to detect its format."""
    return cached(_first_label_files, (path, suffix))


def _first_label_files(key: tuple[Path, str]) -> list[Path]:
    path, suffix = key
    if cached(Path.is_file, path):
        return [path] if path.name.lower().endswith(suffix) else []
    return [path / name for name in cached(_label_names, key)[:_SNIFFED_FILES]] if path.is_dir() else []


def _label_names(key: tuple[Path, str]) -> list[str]:
    folder, suffix = key
    return sorted((name for name in listing(folder).labels if name.lower().endswith(suffix)), key=_natural)


def heads_fit(path: Path, suffix: str, fits: Callable[[str], object]) -> bool:
    """Return whether most of the first label files of `path` (a folder or one file) have a start that `fits`."""
    return majority(
        first_label_files(path, suffix), lambda file: bool(fits(head)) if (head := head_text(file)) else None
    )


def image_stem(label: str | Path) -> str:
    """Return the name of the image of `gt_img_1.txt`, without suffix: `img_1`."""
    return _PREFIX.sub("", os.path.splitext(os.path.basename(label))[0])


def file_stem(image: str) -> str:
    """Return the stem of an image's label file: `train/img_1.jpg` -> `img_1`."""
    return Path(image).stem


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except (OSError, ValueError):  # a cycle of links; a NUL in the name
        return False


def _natural(name: str) -> list[str | int]:
    """Split a name into alternating text and numbers, text first."""
    parts: list[str | int] = [*_DIGITS.split(name)]
    parts[1::2] = map(int, parts[1::2])
    return parts
