"""What the INPUT arguments of `predict` stand for: files, folders, globs, LMDBs, lists of paths; one picture each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ocrctl.config.limits import max_image_bytes
from ocrctl.data.lmdb import LmdbWords
from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular
from ocrctl.inference.stdin_paths import stdin_paths

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".pgm", ".ppm", ".pnm"}
)


class Picture(Protocol):
    """Something to read: `path` names it in results, `encoded` gives its bytes."""

    @property
    def path(self) -> str:
        """The name results carry."""

    def encoded(self) -> bytes:
        """The encoded image. Raises InputError naming the picture when it cannot be had."""


@dataclass(frozen=True)
class FilePicture:
    """An image file."""

    path: str

    def encoded(self) -> bytes:
        """The file's bytes; InputError when it is missing, a folder or unreadable."""
        try:
            return read_regular(self.path, max_image_bytes())
        except (OSError, ValueError) as error:  # ValueError: a NUL in a path read from stdin
            raise InputError(f"{self.path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


@dataclass(frozen=True)
class StoredPicture:
    """Sample `index` (0-based) of an LMDB, named by its 1-based key as the layout counts."""

    source: LmdbWords
    folder: str
    index: int

    @property
    def path(self) -> str:
        """`FOLDER/image-000000001`."""
        return f"{self.folder}/image-{self.index + 1:09d}"

    def encoded(self) -> bytes:
        """The stored bytes."""
        return self.source.image_bytes(self.index)


@dataclass(frozen=True)
class NoPicture:
    """An INPUT that stands for nothing; it takes its turn so that it is reported in its place."""

    path: str
    error: str

    def encoded(self) -> bytes:
        """Always raises InputError."""
        raise InputError(self.error)


def pictures(inputs: Iterable[str], stdin: BinaryIO | None, *, files_only: bool = False) -> Iterator[Picture | None]:
    """The pictures of `inputs` in the order given, folders in name order; `-` reads one path a line from `stdin`.

    Lazy: a folder is listed when its turn comes, stdin is read as it arrives, None where its writer pauses. An existing
    path wins over a pattern. With `files_only` an LMDB is a NoPicture, as one that is damaged always is.
    """
    for text in inputs:
        if text == "-":
            for path in stdin_paths(stdin):
                if path is None:
                    yield None
                else:
                    yield from _expand(path, patterns=False, files_only=files_only)
        else:
            yield from _expand(text, patterns=True, files_only=files_only)


def is_lmdb(text: str) -> bool:
    """Whether the path is taken for an LMDB: a folder with data.mdb, or a file named *.mdb or *.lmdb."""
    file = os.path.join(text, "data.mdb") if os.path.isdir(text) else text
    return file.endswith((".mdb", ".lmdb")) and os.path.isfile(file)


def _expand(text: str, *, patterns: bool, files_only: bool) -> Iterator[Picture]:
    if is_lmdb(text) and files_only:
        yield NoPicture(text, f"{text}: the pictures of an LMDB are no files.")
    elif is_lmdb(text):
        yield from _stored(text)
    elif os.path.isdir(text):
        yield from _folder(text)
    elif os.path.exists(text) or not (patterns and glob.has_magic(text)):
        yield FilePicture(text)
    else:
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            yield NoPicture(text, f"{text}: no file matches the pattern.")
        for path in found:
            yield from _expand(path, patterns=False, files_only=files_only)


def _stored(folder: str) -> Iterator[Picture]:
    try:
        source = LmdbWords(folder)
    except InputError as error:  # one bad INPUT of many
        yield NoPicture(folder, error.message)
        return
    for index in range(len(source)):
        yield StoredPicture(source, folder, index)


def _folder(folder: str) -> Iterator[Picture]:
    """Image files below `folder` in name order, hidden ones left out; other files are no pictures and are passed by.

    A folder that links to one above or beside it is visited once; one that may not be read is a picture that cannot be.
    """
    empty = True
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
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                empty = False
                yield FilePicture(os.path.join(place, name))
    for error in closed:
        yield NoPicture(str(error.filename), f"{error.filename}: cannot be read ({error.strerror}).")
    if empty and not closed:
        yield NoPicture(folder, f"{folder}: holds no image file.")
