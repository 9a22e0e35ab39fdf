"""Expand the INPUT arguments of `predict`: files, their pages, folders, globs, LMDBs, lists of paths."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from ocrctl.config.limits import max_image_bytes
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.tiff import is_tiff, page_file, pages
from ocrctl.data.lmdb.label_text import read_start
from ocrctl.data.lmdb.reader import LmdbWords
from ocrctl.errors import InputError, OcrctlError
from ocrctl.files.regular import read_regular
from ocrctl.inference.stdin_paths import stdin_paths

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".pgm", ".ppm", ".pnm",
     ".pbm", ".pam"}
)  # fmt: skip
_NAMED = 5  # skipped files, and kinds of them, that are named in a summary


class ImageInput(Protocol):
    """An input image: `path` names it in results, `encoded` returns its bytes."""

    @property
    def path(self) -> str:
        """The name results carry."""

    @property
    def page(self) -> int | None:
        """The page that it is of a file of several, from 1."""

    def encoded(self) -> bytes:
        """The encoded image. Raises InputError naming the image when it cannot be had."""


@dataclass(frozen=True)
class FileImage:
    """An image file."""

    path: str
    page: int | None = None

    def encoded(self) -> bytes:
        """The file's bytes; InputError when it is missing, a folder or unreadable."""
        return _read(self.path)


@dataclass(frozen=True)
class TiffPage:
    """Page `page`, from 1, of a TIFF that has several; its directory is at `offset` of the file."""

    file: str
    page: int
    offset: int

    @property
    def path(self) -> str:
        """`FILE#PAGE`."""
        return f"{self.file}#{self.page}"

    def encoded(self) -> bytes:
        """The file with this page as its first."""
        return page_file(_read(self.file), self.offset)


@dataclass(frozen=True)
class LmdbImage:
    """Sample `index` (0-based) of an LMDB, named by its 1-based key as the layout counts."""

    source: LmdbWords
    folder: str
    index: int
    page: int | None = None

    @property
    def path(self) -> str:
        """`FOLDER/image-000000001`."""
        return f"{self.folder}/image-{self.index + 1:09d}"

    def encoded(self) -> bytes:
        """The stored bytes."""
        return self.source.image_bytes(self.index)


@dataclass(frozen=True)
class UnreadableInput:
    """An INPUT without an image; reported in input order."""

    path: str
    error: str
    page: int | None = None

    def encoded(self) -> bytes:
        """Always raises InputError."""
        raise InputError(self.error)


@dataclass
class Skipped:
    """Files in folders that are no images by their names, in the order they were met; hidden ones do not count."""

    paths: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """`3 files are no images and were skipped (.pdf 2, .txt 1): a.pdf, b.pdf, c.txt`; "" when there is none."""
        if not self.paths:
            return ""
        kinds = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in self.paths)
        said = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(_NAMED))
        names = ", ".join(os.path.basename(path) for path in self.paths[:_NAMED])
        more = ", ..." if len(self.paths) > _NAMED else ""
        verb = "files are no images and were" if len(self.paths) > 1 else "file is no image and was"
        return f"{len(self.paths):,} {verb} skipped ({said}): {names}{more}"


def pictures(
    inputs: Iterable[str], stdin: BinaryIO | None, *, files_only: bool = False, skipped: Skipped | None = None
) -> Iterator[ImageInput | None]:
    """The images of `inputs` in the order given, folders in name order; `-` reads one path a line from `stdin`.

    Lazy: a folder is listed when its turn comes, stdin is read as it arrives, None where its writer pauses. An existing
    path wins over a pattern. Each page of a TIFF is an image. With `files_only` an LMDB or a TIFF of several pages is
    a UnreadableInput, as one that is damaged always is. What folders hold besides images is added to `skipped`.
    """
    skipped = Skipped() if skipped is None else skipped
    for text in inputs:
        if text == "-":
            for path in stdin_paths(stdin):
                if path is None:
                    yield None
                else:
                    yield from _expand(path, skipped, patterns=False, files_only=files_only)
        else:
            yield from _expand(text, skipped, patterns=True, files_only=files_only)


def is_lmdb(text: str) -> bool:
    """Whether the path is taken for an LMDB: a folder with data.mdb, or a file named *.mdb or *.lmdb."""
    file = os.path.join(text, "data.mdb") if os.path.isdir(text) else text
    return file.endswith((".mdb", ".lmdb")) and os.path.isfile(file)


def is_list(text: str) -> bool:
    """Whether the path is taken for the label file of a set, whose images are read: a file named *.json."""
    return text.lower().endswith(".json") and os.path.isfile(text)


def input_root(inputs: Sequence[str]) -> str | None:
    """The absolute folder from which a single folder or list names its images; None for other inputs."""
    if len(inputs) != 1:
        return None
    if is_list(inputs[0]):
        try:
            return os.path.abspath(open_annotations(inputs[0], malformed=True).root)
        except OcrctlError:  # it is reported when its turn comes
            return None
    return os.path.abspath(inputs[0]) if os.path.isdir(inputs[0]) else None


def _listed(text: str, files_only: bool) -> Iterator[ImageInput]:
    try:
        data = open_annotations(text, malformed=True)
    except OcrctlError as error:  # one bad INPUT of many
        yield UnreadableInput(text, error.message)
        return
    for path in data.image_paths(0, len(data.images)):
        yield from _file(path, files_only)


def _expand(text: str, skipped: Skipped, *, patterns: bool, files_only: bool) -> Iterator[ImageInput]:
    if is_lmdb(text) and files_only:
        yield UnreadableInput(text, f"{text}: the images of an LMDB are not files.")
    elif is_lmdb(text):
        yield from _stored(text)
    elif os.path.isdir(text):
        yield from _folder(text, skipped, files_only)
    elif is_list(text):
        yield from _listed(text, files_only)
    elif os.path.exists(text) or not (patterns and glob.has_magic(text)):
        yield from _file(text, files_only)
    else:
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            yield UnreadableInput(text, f"{text}: no file matches the pattern.")
        for path in found:
            yield from _expand(path, skipped, patterns=False, files_only=files_only)


def _file(path: str, files_only: bool) -> Iterator[ImageInput]:
    """The one image of a file, or each page of a TIFF."""
    if not is_tiff(read_start(path, 4)):
        yield FileImage(path)
        return
    try:
        found = pages(_read(path))
    except InputError:  # it is reported when its turn comes
        yield FileImage(path)
        return
    if len(found.offsets) > 1 and files_only:
        yield UnreadableInput(path, f"{path}: its {len(found.offsets)} pages are no files of their own; part it first.")
        return
    if len(found.offsets) < 2:
        yield FileImage(path)
    else:
        for number, offset in enumerate(found.offsets, 1):
            yield TiffPage(path, number, offset)
    if found.problem:
        after = f"{path}#{max(1, len(found.offsets)) + 1}"
        yield UnreadableInput(after, f"{after}: {found.problem}; what follows is not read.")


def _read(path: str) -> bytes:
    try:
        return read_regular(path, max_image_bytes())
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path read from stdin
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _stored(folder: str) -> Iterator[ImageInput]:
    try:
        source = LmdbWords(folder)
    except InputError as error:  # one bad INPUT of many
        yield UnreadableInput(folder, error.message)
        return
    for index in range(len(source)):
        yield LmdbImage(source, folder, index)


def _folder(folder: str, skipped: Skipped, files_only: bool) -> Iterator[ImageInput]:
    """Image files below `folder` in name order, hidden ones left out; other files are added to `skipped`.

    A folder that links to one above or beside it is visited once; one that may not be read is an image that cannot be.
    """
    empty, before = True, len(skipped.paths)
    closed: list[OSError] = []
    visited: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                empty = False
                yield from _file(os.path.join(place, name), files_only)
            else:
                skipped.paths.append(os.path.join(place, name))
    for error in closed:
        yield UnreadableInput(str(error.filename), f"{error.filename}: cannot be read ({error.strerror}).")
    if empty and not closed:
        others = len(skipped.paths) - before
        yield UnreadableInput(folder, f"{folder}: holds no image file{f', {others:,} others' if others else ''}.")
