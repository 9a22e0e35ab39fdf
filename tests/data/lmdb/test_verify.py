from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from ocrctl.core.lmdb.run import describe_lmdb, verify_lmdb
from ocrctl.data.formats import lmdb_words
from ocrctl.data.lmdb.reader import LmdbWords, close_environments
from ocrctl.errors import InputError


def picture(number: int) -> bytes:
    """An image of several pages."""
    pixels = np.random.default_rng(number).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    lmdb_words.write([(picture(number), f"word{number}") for number in range(50)], tmp_path / "out")
    yield tmp_path / "out"
    close_environments()


def change(path: Path, **values: bytes | None) -> None:
    """Put or delete keys; `_` stands for `-`."""
    close_environments()
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            name = key.replace("_", "-").encode()
            if value is None:
                transaction.delete(name)
            else:
                transaction.put(name, value)


def test_a_whole_file_is_ok(path: Path) -> None:
    report = verify_lmdb(path, jobs=2)
    assert report.ok and report.samples == report.images == report.labels == 50


@pytest.mark.parametrize("count", [b"1" + b"0" * 30, b"102"])
def test_a_count_that_the_file_cannot_hold(path: Path, count: bytes) -> None:
    change(path, num_samples=count)
    with pytest.raises(InputError, match=f"num-samples is {count.decode()}, but the LMDB holds 101 keys"):
        verify_lmdb(path, jobs=1)


def test_an_empty_file_is_a_fault(path: Path) -> None:
    change(path, num_samples=b"0")
    report = verify_lmdb(path, jobs=1)
    assert not report.ok and any("num-samples is 0" in fault["reason"] for fault in report.faults)


def test_every_kind_of_fault_is_found(path: Path) -> None:
    change(
        path,
        image_000000002=None,
        image_000000003=b"noise",
        image_000000004=picture(3)[:-30],
        label_000000005=None,
        label_000000006=b"\xff\xfe",
        label_000000007="e\u0301".encode(),
        label_000000008=b"",
        label_000000009=b"a\0b",
        image_000000051=picture(51),
        label_000000051=b"beyond",
    )
    report = verify_lmdb(path, jobs=1)
    faults = {(fault["sample"], fault["reason"]) for fault in report.faults}
    assert not report.ok and report.images == 49 and report.labels == 49
    reasons = {number: [str(reason) for sample, reason in faults if sample == number] for number in range(10)}
    for number, word in enumerate(
        ["missing", "cannot be decoded", "cut off", "missing", "not UTF-8", "not NFC", "empty", "U+0000"], 2
    ):
        assert len(reasons[number]) == 1 and word in reasons[number][0]
    assert sorted(reasons[0]) == ["1 images beyond num-samples (50)", "1 labels beyond num-samples (50)"]
    assert len(faults) == 10


def test_num_samples_too_large_or_no_number(path: Path) -> None:
    change(path, num_samples=b"52")
    report = verify_lmdb(path, jobs=1)
    assert [fault["sample"] for fault in report.faults] == [51, 51, 52, 52]
    with pytest.raises(InputError, match="sample 51: the label is missing"):
        describe_lmdb(path)
    for count in (b"many", b"9" * 5000):
        change(path, num_samples=count)
        with pytest.raises(InputError, match="num-samples should be a number"):
            verify_lmdb(path)
    change(path, num_samples=None)
    with pytest.raises(InputError, match="num-samples, found none"):
        verify_lmdb(path)
    change(path, num_samples=b"0")
    with pytest.raises(InputError, match="num-samples is 0"):
        describe_lmdb(path)


@pytest.mark.parametrize("keep", [0, 20, 4096, 8191, 8192, 0.1, 0.5, 0.9, -4096])
def test_a_cut_off_file_is_an_error_not_a_crash(path: Path, keep: float) -> None:
    file = path / "data.mdb"
    size = file.stat().st_size
    close_environments()
    with open(file, "r+b") as stream:
        stream.truncate(int(size * keep) if 0 < keep < 1 else int(keep) % size)
    with pytest.raises(InputError):
        LmdbWords(path)
    with pytest.raises(InputError):
        verify_lmdb(path)


def test_overwritten_pages_are_an_error_or_a_fault_not_a_crash(path: Path) -> None:
    file = path / "data.mdb"
    whole = file.read_bytes()
    for start in range(2, len(whole) // 4096, 7):
        close_environments()
        rng = np.random.default_rng(start)
        damaged = bytearray(whole)
        damaged[start * 4096 : (start + 1) * 4096] = rng.bytes(4096) if start % 2 else bytes(4096)
        file.write_bytes(damaged)
        try:
            report = verify_lmdb(path, jobs=1)
        except InputError as error:
            assert str(path) in error.message
        else:
            assert report.ok or report.faults


def test_what_is_no_lmdb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"x" * 10000)
    with pytest.raises(InputError, match=r"expected an LMDB .* found none"):
        verify_lmdb(tmp_path)
    with pytest.raises(InputError, match="expected an LMDB"):
        describe_lmdb(tmp_path / "absent")


def test_one_file_without_a_folder_opens_too(path: Path, tmp_path: Path) -> None:
    single = tmp_path / "words.mdb"
    (path / "data.mdb").rename(single)
    assert LmdbWords(single).labels[49] == "word49"
    assert verify_lmdb(single, jobs=1).ok
