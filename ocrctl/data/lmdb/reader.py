"""Read word LMDBs of the common layout without sharing an open file between processes.

Readers hold only a path and so can be pickled. This module keeps one `LmdbFile` per file and process, opened on first
use; a forked process closes those of its parent and opens its own.
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from pathlib import Path

from ocrctl.config.suggest import near_path
from ocrctl.data.lmdb.file import MAGIC, LmdbFile
from ocrctl.errors import InputError
from ocrctl.files.regular import open_regular
from ocrctl.text.normalize import normalize_label

_files: dict[str, tuple[LmdbFile, tuple[int, ...]]] = {}  # by path, with the identity of the file
_lock = threading.Lock()


def image_key(number: int) -> bytes:
    """Return the key of the encoded image of sample `number` (1-based)."""
    return b"image-%09d" % number


def label_key(number: int) -> bytes:
    """Return the key of the UTF-8 label of sample `number` (1-based)."""
    return b"label-%09d" % number


def close_environments() -> None:
    """Close every LMDB that this process holds open; readers reopen theirs on next use."""
    with _lock:
        while _files:
            _files.popitem()[1][0].close()


def open_count() -> int:
    """Return the number of files that this process holds open; 0 in a newly forked or spawned process."""
    return len(_files)


def data_file(path: Path) -> Path | None:
    """Return the data file: DIR/data.mdb of a folder, otherwise the file itself; None when it is no LMDB."""
    file = path / "data.mdb" if path.is_dir() else path
    try:
        handle = open_regular(file)
        try:
            head = os.read(handle, 20)
        finally:
            os.close(handle)
    except OSError:
        return None
    return file if int.from_bytes(head[16:], "little") == MAGIC else None  # after the header of page 0


def open_file(path: str | Path, name: str) -> LmdbFile:
    """Open an LMDB for reading. The caller closes it. Raises InputError naming `name`."""
    file = data_file(Path(path))
    if file is None:
        near = "" if Path(path).exists() else near_path(name)
        raise InputError(f"{name}: expected an LMDB (a folder with data.mdb), found none.{near}")
    return LmdbFile(file, name)


class LmdbWords:
    """Word images of an LMDB: `image-%09d`, `label-%09d` (UTF-8), 1-based, `num-samples`. A WordSource.

    Raises InputError when the path is no LMDB, is cut off, or lacks a key.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._path = os.path.realpath(path)
        file = _open(self._path, self.name)
        count = file.get(b"num-samples")
        if count is None:
            raise InputError(f"{self.name}: expected the key num-samples, found none: it is not a word LMDB.")
        if not count.strip().isdigit() or len(count) > 100:  # int() refuses thousands of digits
            raise InputError(f"{self.name}: num-samples should be a number, found {count[:20]!r}.")
        self._count = int(count)
        if self._count > file.entries:
            raise InputError(f"{self.name}: num-samples is {self._count}, but the LMDB holds {file.entries} keys.")

    def __len__(self) -> int:
        return self._count

    @cached_property
    def labels(self) -> list[str]:
        """Return the NFC labels, read once. Raises InputError naming the sample when one is missing or not UTF-8."""
        labels: list[str] = []
        if self._count:
            for key, data in self._file.scan(label_key(1)):  # in numerical order up to nine digits
                if key != label_key(len(labels) + 1):
                    break
                labels.append(self._label(len(labels) + 1, data))
                if len(labels) == self._count:
                    break
        left = range(len(labels) + 1, self._count + 1)
        return labels + [self._label(number, self._file.get(label_key(number))) for number in left]

    def image_bytes(self, index: int) -> bytes:
        """Return the encoded image. Raises InputError when the key is missing."""
        if not 0 <= index < self._count:
            raise IndexError(f"sample {index} of {self._count}")
        data = self._file.get(image_key(index + 1))
        if data is None:
            raise InputError(f"{self.where(index)}: the image is missing.")
        return data

    def image_starts(self, start: int, stop: int, size: int) -> list[bytes]:
        """Return the first `size` bytes of the images from `start` up to `stop`; b"" where one is missing or in a
        damaged page. Reads them in one scan, without reading longer images in full."""
        starts: list[bytes] = []
        file, count = self._file, min(stop, self._count) - start
        try:
            for key, data in file.scan(image_key(start + 1), size):
                if len(starts) == count or key != image_key(start + 1 + len(starts)):
                    break
                starts.append(data)
        except InputError:  # read the rest one by one, so that those after a damaged page are read
            pass
        for number in range(start + 1 + len(starts), start + 1 + count):
            try:
                starts.append(file.get(image_key(number), size) or b"")
            except InputError:  # reading the whole image reports it
                starts.append(b"")
        return starts

    def where(self, index: int) -> str:
        return f"{self.name}: sample {index + 1}"

    def _label(self, number: int, data: bytes | None) -> str:
        if data is None:
            raise InputError(f"{self.where(number - 1)}: the label is missing (num-samples is {self._count}).")
        try:
            return normalize_label(data.decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where(number - 1)}: the label is not UTF-8 ({data[:40]!r}).") from error

    @property
    def _file(self) -> LmdbFile:
        found = _files.get(self._path)
        return found[0] if found is not None else _open(self._path, self.name)


def _open(path: str, name: str) -> LmdbFile:
    """Return the open file at `path`, reopened when it was replaced."""
    with _lock:
        file = data_file(Path(path))
        status = os.stat(file) if file is not None else None
        mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status else ()
        found = _files.get(path)
        if found is not None and found[1] == mark:
            return found[0]
        if found is not None:
            found[0].close()
            del _files[path]
        opened = open_file(path, name)
        _files[path] = opened, mark
        return opened


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    close_environments()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
