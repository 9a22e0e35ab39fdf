"""LMDB word sets in the field's layout, read without sharing an open environment between processes.

LMDB must not be used through an environment opened before a fork, nor be opened twice in one process
(http://www.lmdb.tech/doc/, "Caveats"). So this module keeps one environment per file and process, opens it on first
use, closes all of them before any fork (`os.register_at_fork`) and checks the process id besides; readers hold a path
only, and so pickle freely.
"""

from __future__ import annotations

import os
import struct
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import lmdb

from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular
from ocrctl.text.normalize import normalize_label

_environments: dict[str, lmdb.Environment] = {}
_owner = os.getpid()
_lock = threading.RLock()

_META = struct.Struct("<II")  # mm_magic, mm_version; they follow the 16-byte page header of page 0
_MAGIC = 0xBEEFC0DE


def image_key(number: int) -> bytes:
    """Key of the encoded image of sample `number` (1-based)."""
    return b"image-%09d" % number


def label_key(number: int) -> bytes:
    """Key of the UTF-8 label of sample `number` (1-based)."""
    return b"label-%09d" % number


def close_environments() -> None:
    """Close every environment this process holds open; readers open theirs again when next used."""
    with _lock:
        while _environments:
            _environments.popitem()[1].close()


def open_count() -> int:
    """Number of environments this process holds open; 0 in a process that has just been forked or spawned."""
    return len(_environments)


def data_file(path: Path) -> Path | None:
    """The file that holds the data: DIR/data.mdb of a folder, the file itself otherwise; None when it is no LMDB."""
    file = path / "data.mdb" if path.is_dir() else path
    try:
        check_regular(file)
        with open(file, "rb") as stream:
            head = stream.read(24)
    except OSError:
        return None
    return file if len(head) == 24 and _META.unpack_from(head, 16)[0] == _MAGIC else None


class LmdbWords:
    """Word images of an LMDB: `image-%09d`, `label-%09d` (UTF-8), 1-based, `num-samples`. A WordSource.

    Raises InputError when the path is no LMDB, is cut off, or lacks a key.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._path = os.path.realpath(path)
        count = self._get(b"num-samples")
        if count is None:
            raise InputError(f"{self.name}: expected the key num-samples, found none: it is not a word LMDB.")
        if not count.strip().isdigit() or len(count) > 100:  # int() refuses thousands of digits
            raise InputError(f"{self.name}: num-samples should be a number, found {count[:20]!r}.")
        self._count = int(count)
        with _lock:
            keys = _environment(self._path, self.name).stat()["entries"]
        if self._count > keys:
            raise InputError(f"{self.name}: num-samples is {self._count}, but the LMDB holds {keys} keys.")

    def __len__(self) -> int:
        return self._count

    @cached_property
    def labels(self) -> list[str]:
        """NFC labels, read once. Raises InputError naming the sample when one is missing or not UTF-8."""
        numbers = range(1, self._count + 1)
        try:
            with _lock, _environment(self._path, self.name).begin(buffers=True) as transaction:
                return [self._label(number, transaction.get(label_key(number))) for number in numbers]
        except lmdb.Error as error:
            raise InputError(f"{self.name}: the LMDB is damaged ({error}).") from error

    def image_bytes(self, index: int) -> bytes:
        """The encoded image; InputError when the key is missing."""
        if not 0 <= index < self._count:
            raise IndexError(f"sample {index} of {self._count}")
        data = self._get(image_key(index + 1))
        if data is None:
            raise InputError(f"{self.where(index)}: the image is missing.")
        return data

    def image_starts(self, start: int, stop: int, size: int) -> list[bytes]:
        """The first `size` bytes of the images from `start` up to `stop`, b"" where one is missing or lies in a damaged
        page: in one go, and without taking those that are longer out of the LMDB."""
        starts = []
        with _lock, _environment(self._path, self.name).begin(buffers=True) as transaction:
            for number in range(start + 1, min(stop, self._count) + 1):
                try:
                    data = transaction.get(image_key(number))
                except lmdb.Error:
                    data = None
                starts.append(b"" if data is None else bytes(data[:size]))
        return starts

    def where(self, index: int) -> str:
        return f"{self.name}: sample {index + 1}"

    def _label(self, number: int, data: Any) -> str:
        if data is None:
            raise InputError(f"{self.where(number - 1)}: the label is missing (num-samples is {self._count}).")
        try:
            return normalize_label(str(data, "utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{self.where(number - 1)}: the label is not UTF-8 ({bytes(data)[:40]!r}).") from error

    def _get(self, key: bytes) -> bytes | None:
        try:
            with _lock, _environment(self._path, self.name).begin() as transaction:
                value: bytes | None = transaction.get(key)
                return value
        except lmdb.Error as error:
            raise InputError(f"{self.name}: the LMDB is damaged ({error}).") from error


def open_environment(path: str | Path, name: str) -> lmdb.Environment:
    """Open an LMDB for reading: no locks, no read-ahead. The caller closes it. Raises InputError naming `name`."""
    file = data_file(Path(path))
    if file is None:
        raise InputError(f"{name}: expected an LMDB (a folder with data.mdb), found none.")
    try:
        environment = lmdb.open(
            str(path), readonly=True, lock=False, readahead=False, meminit=False, subdir=os.path.isdir(path)
        )
    except lmdb.Error as error:
        raise InputError(f"{name}: cannot be opened as an LMDB ({error}).") from error
    # Reading a page that is not there is a bus error, not an exception: the size is checked first.
    pages, page_size = environment.info()["last_pgno"] + 1, environment.stat()["psize"]
    size = os.path.getsize(file)
    if size < pages * page_size:
        environment.close()
        raise InputError(f"{name}: the LMDB is cut off: {size} of {pages * page_size} bytes are there.")
    return environment


def _environment(path: str, name: str) -> lmdb.Environment:
    global _owner
    if _owner != os.getpid():  # a fork that Python did not see
        close_environments()
        _owner = os.getpid()
    environment = _environments.get(path)
    if environment is None:
        environment = _environments[path] = open_environment(path, name)
    return environment


def _before_fork() -> None:
    _lock.acquire()
    close_environments()


def _after_fork_in_child() -> None:
    global _lock, _owner
    _lock = threading.RLock()
    _owner = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=lambda: _lock.release(), after_in_child=_after_fork_in_child
    )
