"""Expand the INPUT arguments of `predict`: files, their pages, folders, globs, LMDBs, lists of paths."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ocrctl.config.limits import max_image_bytes
from ocrctl.data.images.tiff import is_tiff, page_file, pages
from ocrctl.data.lmdb.label_text import read_start
from ocrctl.errors import InputError, OcrctlError
from ocrctl.files.regular import read_regular
from ocrctl.inference.stdin_paths import stdin_paths

if TYPE_CHECKING:
    from ocrctl.data.lmdb.reader import LmdbWords

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".pgm", ".ppm", ".pnm",
     ".pbm", ".pam"}
)  # fmt: skip
_NAMED = 5  # skipped files, and kinds of them, that are named in a summary


class ImageInput(Protocol):
    """An input image: `path` names it in results, `encoded` returns its bytes."""

    @property
    def path(self) -> str:
        """Return the name of the image in results."""

    @property
    def page(self) -> int | None:
        """Return its page number in a file of several pages, from 1; None otherwise."""

    def encoded(self) -> bytes:
        """Return the encoded image. Raises InputError naming the image when it cannot be read."""


@dataclass(frozen=True)
class FileImage:
    """An image file."""

    path: str
    page: int | None = None

    def encoded(self) -> bytes:
        """Return the bytes of the file. Raises InputError when it is missing, a folder or unreadable."""
        return _read(self.path)


@dataclass(frozen=True)
class TiffPage:
    """Page `page`, from 1, of a TIFF that has several; its directory is at `offset` of the file."""

    file: str
    page: int
    offset: int

    @property
    def path(self) -> str:
        """Return `FILE#PAGE`."""
        return f"{self.file}#{self.page}"

    def encoded(self) -> bytes:
        """Return the file with this page as its first."""
        return page_file(_read(self.file), self.offset)


@dataclass(frozen=True)
class LmdbImage:
    """Sample `index` (0-based) of an LMDB, named by its 1-based key."""

    source: LmdbWords
    folder: str
    index: int
    page: int | None = None

    @property
    def path(self) -> str:
        """Return `FOLDER/image-000000001`."""
        return f"{self.folder}/image-{self.index + 1:09d}"

    def encoded(self) -> bytes:
        """Return the stored bytes."""
        return self.source.image_bytes(self.index)


@dataclass(frozen=True)
class UnreadableInput:
    """An INPUT without an image; reported in input order."""

    path: str
    error: str
    page: int | None = None

    def encoded(self) -> bytes:
        """Raise InputError."""
        raise InputError(self.error)


@dataclass
class Skipped:
    """Files in folders whose names are not those of images, in the order found; hidden ones are not listed."""

    paths: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return `3 files are no images and were skipped (.pdf 2, .txt 1): a.pdf, b.pdf, c.txt`; "" without any."""
        if not self.paths:
            return ""
        kinds = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in self.paths)
        counts = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(_NAMED))
        names = ", ".join(os.path.basename(path) for path in self.paths[:_NAMED])
        more = ", ..." if len(self.paths) > _NAMED else ""
        verb = "files are no images and were" if len(self.paths) > 1 else "file is no image and was"
        return f"{len(self.paths):,} {verb} skipped ({counts}): {names}{more}"


def iter_images(
    inputs: Iterable[str], stdin: BinaryIO | None, *, files_only: bool = False, skipped: Skipped | None = None
) -> Iterator[ImageInput | None]:
    """Iterate over the images of `inputs` in the order given, folders in name order; `-` reads one path per line from
    `stdin`.

    Lazy: folders are listed when they are reached, stdin is read as it arrives, and None marks a pause of its writer.
    An existing path wins over a pattern. Each page of a TIFF is an image. Damaged files are UnreadableInput; with
    `files_only` an LMDB or a TIFF of several pages is one, too. Other files in folders are added to `skipped`.
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
    """Return whether the path is read as an LMDB: a folder with data.mdb, or a file named *.mdb or *.lmdb."""
    file = os.path.join(text, "data.mdb") if os.path.isdir(text) else text
    return file.endswith((".mdb", ".lmdb")) and os.path.isfile(file)


def is_list(text: str) -> bool:
    """Return whether the path is read as the label file of a dataset, whose images are read: a file named *.json."""
    return text.lower().endswith(".json") and os.path.isfile(text)


def is_one_image(inputs: Sequence[str]) -> bool:
    """Return whether there is one input, a file of an image; a TIFF may contain several."""
    suffix = os.path.splitext(inputs[0])[1].lower() if len(inputs) == 1 else ""
    return suffix in IMAGE_SUFFIXES and suffix not in (".tif", ".tiff") and os.path.isfile(inputs[0])


def input_root(inputs: Sequence[str]) -> str | None:
    """Return the absolute folder that image names of a single folder or list are relative to; None for other inputs."""
    if len(inputs) != 1:
        return None
    if is_list(inputs[0]):
        from ocrctl.data.formats.spec import open_annotations  # with all formats, which images do not need

        try:
            return os.path.abspath(open_annotations(inputs[0], malformed=True).root)
        except OcrctlError:  # reported when it is read
            return None
    return os.path.abspath(inputs[0]) if os.path.isdir(inputs[0]) else None


def _listed(text: str, files_only: bool) -> Iterator[ImageInput]:
    from ocrctl.data.formats.spec import open_annotations

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
    """Return the one image of a file, or each page of a TIFF."""
    if not is_tiff(read_start(path, 4)):
        yield FileImage(path)
        return
    try:
        found = pages(_read(path))
    except InputError:  # reported when it is read
        yield FileImage(path)
        return
    if len(found.offsets) > 1 and files_only:
        yield UnreadableInput(path, f"{path}: its {len(found.offsets)} pages are not separate files; split it first.")
        return
    if len(found.offsets) < 2:
        yield FileImage(path)
    else:
        for number, offset in enumerate(found.offsets, 1):
            yield TiffPage(path, number, offset)
    if found.problem:
        after = f"{path}#{max(1, len(found.offsets)) + 1}"
        yield UnreadableInput(after, f"{after}: {found.problem}; later pages are not read.")


def _read(path: str) -> bytes:
    try:
        return read_regular(path, max_image_bytes())
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path read from stdin
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _stored(folder: str) -> Iterator[ImageInput]:
    from ocrctl.data.lmdb.reader import LmdbWords  # which image files do not need

    try:
        source = LmdbWords(folder)
    except InputError as error:  # one bad INPUT of many
        yield UnreadableInput(folder, error.message)
        return
    for index in range(len(source)):
        yield LmdbImage(source, folder, index)


def _folder(folder: str, skipped: Skipped, files_only: bool) -> Iterator[ImageInput]:
    """Iterate over the image files below `folder` in name order, without hidden ones; other files are added to
    `skipped`.

    A folder reached by several links is visited once; one without read permission is an UnreadableInput.
    """
    empty, before = True, len(skipped.paths)
    closed: list[OSError] = []
    visited: set[str] = set()
    for path, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = os.path.realpath(path)
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
                yield from _file(os.path.join(path, name), files_only)
            else:
                skipped.paths.append(os.path.join(path, name))
    for error in closed:
        yield UnreadableInput(str(error.filename), f"{error.filename}: cannot be read ({error.strerror}).")
    if empty and not closed:
        others = len(skipped.paths) - before
        yield UnreadableInput(folder, f"{folder}: holds no image file{f', {others:,} others' if others else ''}.")
