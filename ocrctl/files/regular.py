"""Read regular files, and pipes where a command supports them, up to a maximum size.

Devices and folders are refused: /dev/zero never ends, and a FIFO without a writer blocks. The error names the file
type.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
import time

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Do not wait for the writer of a FIFO, and do not make a terminal the controlling one.
_NONBLOCKING = _READ | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_BLOCK = 1 << 20  # bytes of one read
_FIRST_READ = 1 << 16  # bytes; fits most word images
WRITER_WAIT = 2.0  # seconds that a FIFO may have no writer before it is refused
_SEEKING = threading.Lock()  # Windows: a position and the read that needs it belong together
LARGEST_TEXT = 1 << 30  # bytes of a settings, charset, word or label file, and of what comes through a pipe

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)

Path = str | os.PathLike[str]


class UnreadableFile(OSError):
    """A file of an unsupported type, or larger than the limit.

    An OSError, so that handlers of unreadable files report it too: `strerror` is the reason.
    """


def file_kind(mode: int) -> str:
    """Return the type of a file of `st_mode` for messages: "a regular file", "a FIFO", ..."""
    return next((name for test, name in _KINDS if test(mode)), "a regular file")


def open_regular(path: Path) -> int:
    """Open the regular file `path` for reading, links followed; returns the descriptor. Raises UnreadableFile for
    anything else, OSError when it cannot be opened, ValueError for a NUL in the name."""
    handle = os.open(path, _NONBLOCKING)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    raise _not_regular(path, mode)


def check_regular(path: Path) -> None:
    """Raise UnreadableFile unless `path` is a regular file, OSError when it is missing: for libraries that open
    paths themselves. Nothing is opened."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise _not_regular(path, mode)


def read_regular(path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """Read all bytes of the regular file `path`. Raises as `open_regular`, and UnreadableFile for more than `limit`
    bytes."""
    handle = os.open(path, _NONBLOCKING)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(path, status.st_mode)
        if status.st_size > limit:
            raise _too_large(path, limit)
        count = min(status.st_size, _FIRST_READ) + 1  # a shorter read is the end of the file
        data = os.read(handle, count)
        return data if len(data) < count else _read_rest(handle, path, limit, [data])
    finally:
        os.close(handle)


def read_at(handle: int, count: int, offset: int) -> bytes:
    """Read up to `count` bytes from `offset` on, fewer at the end of the file. Safe to call from threads."""
    if sys.platform != "win32":
        return os.pread(handle, count, offset)
    with _SEEKING:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, count)


def read_stream(path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """Read all bytes of a regular file, a pipe or a terminal, such as `--charset <(command)` and /dev/stdin.

    Raises as `read_regular`; UnreadableFile also for a FIFO without a writer for WRITER_WAIT seconds.
    """
    handle = open_stream(path)
    try:
        return read_all(handle, path, limit)
    finally:
        os.close(handle)


def open_stream(path: Path) -> int:
    """Open a regular file, a pipe or a terminal; returns the descriptor for `read_all`. Raises as `open_regular`."""
    handle = os.open(path, _NONBLOCKING)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(handle)):
        return handle
    os.close(handle)
    raise UnreadableFile(errno.EINVAL, f"expected a file or a pipe, found {file_kind(mode)}", os.fspath(path))


def read_all(handle: int, path: Path, limit: int = LARGEST_TEXT) -> bytes:
    """Read all bytes of a descriptor of `open_stream`. Raises as `read_stream`, naming `path`."""
    end = time.monotonic() + WRITER_WAIT
    fifo = stat.S_ISFIFO(os.fstat(handle).st_mode)
    while True:
        try:
            data = os.read(handle, _BLOCK)  # empty: no writer, or one that closed it
        except BlockingIOError:  # the writer pauses
            data = None
        if data != b"" or not fifo or _writer_left(handle):
            break
        if time.monotonic() > end:
            raise UnreadableFile(errno.EINVAL, "it is a FIFO without a writer", os.fspath(path))
        time.sleep(0.01)
    if sys.platform != "win32":
        os.set_blocking(handle, True)
    return data if data == b"" else _read_rest(handle, path, limit, [data] if data else [])


def _writer_left(handle: int) -> bool:
    """Return whether an empty FIFO had a writer since it was opened."""
    if sys.platform == "win32":
        return True  # a pipe there is read as it is; it cannot be polled
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _read_rest(handle: int, path: Path, limit: int, parts: list[bytes]) -> bytes:
    count = sum(map(len, parts))
    while part := os.read(handle, _BLOCK):
        parts.append(part)
        count += len(part)
        if count > limit:
            raise _too_large(path, limit)
    return b"".join(parts)


def _not_regular(path: Path, mode: int) -> UnreadableFile:
    return UnreadableFile(errno.EINVAL, f"expected a regular file, found {file_kind(mode)}", os.fspath(path))


def _too_large(path: Path, limit: int) -> UnreadableFile:
    return UnreadableFile(errno.EFBIG, f"it is larger than {limit / 2**20:,.0f} MiB, the limit", os.fspath(path))
