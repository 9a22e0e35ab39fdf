"""Only regular files are opened, and pipes where a command reads them."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocrctl.data.lmdb.label_text import read_label_text, read_start
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.errors import InputError
from ocrctl.files import regular
from ocrctl.files.regular import UnreadableFile, check_regular, open_regular, read_at, read_regular, read_stream


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """A folder, a FIFO that nobody writes, a device without an end, and a link to it."""
    if os.name == "nt":
        pytest.skip("needs FIFOs and devices")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    return {"a folder": tmp_path, "a FIFO": tmp_path / "fifo", "a character device": tmp_path / "link.png"}


def test_what_is_no_regular_file_is_refused_at_once(odd: dict[str, Path]) -> None:
    start = time.monotonic()
    for kind, path in odd.items():
        for read in (read_regular, open_regular, check_regular):
            with pytest.raises(UnreadableFile, match=f"expected a regular file, found {kind}"):
                read(path)
        assert read_start(str(path), 8) == b""
        words = FolderWords("gt.txt", "/", [str(path)], ["word"], [3])
        with pytest.raises(InputError, match=rf"gt\.txt:3 .*found {kind}"):
            words.image_bytes(0)
    assert time.monotonic() - start < 1


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, 1, 65_535, 65_536, 65_537, 3_000_000):
        path.write_bytes(b"x" * size)
        assert len(read_regular(path)) == len(read_stream(path)) == size
    with pytest.raises(UnreadableFile, match="larger than 1 MiB"):
        read_regular(path, 1 << 20)
    path.write_bytes(b"four")
    assert read_regular(path, 4) == b"four"
    with pytest.raises(UnreadableFile, match="the limit"):
        read_regular(path, 3)
    if Path("/proc/self/status").exists():  # states no size
        assert b"VmSize" in read_regular("/proc/self/status")
    with open(path, "wb") as sparse:
        sparse.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(UnreadableFile, match="larger than 1,024 MiB"):
        read_regular(path)


def test_a_pipe_is_read_whole_and_a_device_never(odd: dict[str, Path]) -> None:
    pipe = odd["a FIFO"]
    writer = threading.Thread(target=lambda: (time.sleep(0.1), pipe.write_bytes(b"ab" * 100_000)))
    writer.start()
    assert read_stream(pipe) == b"ab" * 100_000
    writer.join(10)
    with pytest.raises(UnreadableFile, match="expected a file or a pipe, found a character device"):
        read_stream(odd["a character device"])
    with pytest.raises(InputError, match="found a character device"):
        read_label_text(odd["a character device"])


def test_a_pipe_that_goes_on_and_on_is_refused(odd: dict[str, Path]) -> None:
    pipe = odd["a FIFO"]

    def write() -> None:
        with pytest.raises(BrokenPipeError), open(pipe, "wb") as stream:
            while True:
                stream.write(b"line\n" * 10_000)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(UnreadableFile, match="larger than 1 MiB"):
        read_stream(pipe, 1 << 20)
    writer.join(10)
    assert not writer.is_alive()


def test_a_fifo_without_a_writer_is_refused(odd: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular, "WRITER_WAIT", 0.05)
    with pytest.raises(InputError, match="a FIFO without a writer"):
        read_label_text(odd["a FIFO"])


@pytest.mark.parametrize("platform", [sys.platform, "win32"])
def test_threads_read_at_their_own_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Windows has no pread: a position and its read must not be parted by another thread."""
    path = tmp_path / "numbers"
    path.write_bytes(b"".join(number.to_bytes(4, "little") for number in range(2_000)))
    handle = open_regular(path)
    seek = os.lseek
    monkeypatch.setattr(os, "lseek", lambda *where: (seek(*where), time.sleep(1e-5)))  # lets another thread in between
    monkeypatch.setattr(sys, "platform", platform)
    if platform == "win32":
        monkeypatch.delattr(os, "pread")

    def wrong(start: int) -> list[int]:
        numbers = range(start, 2_000, 4)
        return [number for number in numbers if int.from_bytes(read_at(handle, 4, 4 * number), "little") != number]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, range(4))) == [[], [], [], []]
    assert read_at(handle, 8, 4 * 1_999) == (1_999).to_bytes(4, "little")
    os.close(handle)
