"""metrics.csv of a run that goes on: what is valid stays, what is not is named and kept aside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ocrctl.errors import InputError, ResumableStop
from ocrctl.training.metrics_file import DAMAGED, MetricsFile
from ocrctl.training.metrics_rows import read_rows

COLUMNS = ("val_exact",)
HEADER = "step,samples,seconds,lr,loss,val_exact,images_per_second,skipped\r\n"
ROWS = ["2,8,1.5,0.001,3.5,,100,\r\n", "4,16,2.5,0.001,nan,0.5,90,1\r\n", "6,24,3.5,0.001,2.5,,80,\r\n"]


def opened(path: Path, content: bytes, step: int = 4) -> tuple[bytes, list[str]]:
    """What a run that goes on from `step` makes of a file, and what it says."""
    path.write_bytes(content)
    lines: list[str] = []
    MetricsFile(path, step, COLUMNS, lines.append)
    return path.read_bytes(), lines


def test_rows_after_the_checkpoint_go_and_new_ones_follow(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    kept, lines = opened(path, (HEADER + "".join(ROWS)).encode())
    assert (kept.decode(), lines) == (HEADER + ROWS[0] + ROWS[1], [])
    MetricsFile(path, 4, COLUMNS, lines.append).add({"step": 6, "loss": 0.25, "samples": 24})
    assert path.read_bytes().decode() == HEADER + ROWS[0] + ROWS[1] + "6,24,,,0.25,,,\r\n"
    MetricsFile(path, 0, COLUMNS, lines.append)  # a run that starts over
    assert path.read_bytes().decode() == HEADER


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"\0" * 4096, "line 4: expected text, found NUL bytes"),
        (b"ten,8,1.5,,,,,\r\n", "line 4: expected a number under step, found 'ten'"),
        (b"-3,8,1.5,,,,,\r\n", "line 4: expected a number under step, found '-3'"),
        (b"4,8,soon,,,,,\r\n", "line 4: expected a number under seconds, found 'soon'"),
        (b"4,8,1.5,,,,,,,more\r\n", "line 4: expected 8 fields, found 10"),
        (b"4,8,1", "line 4: expected 8 fields, found 3"),
        (b"\xff\xfe,8\r\n", "line 4: expected text, found bytes that are not UTF-8"),
        (b'4,"8,1.5\r\n', "line 4: not comma-separated values"),
        (b"x\r\n" * 9, "line 4: expected 8 fields, found 1; line 5: expected 8 fields, found 1; line 6: "),
    ],
    ids=["NUL", "word", "negative", "seconds", "extra", "torn", "bytes", "quote", "many"],
)
def test_a_damaged_line_is_named_and_hides_no_other(tmp_path: Path, tail: bytes, said: str) -> None:
    whole = (HEADER + "".join(ROWS[:2])).encode() + tail
    kept, lines = opened(tmp_path / "metrics.csv", whole)
    assert kept.decode() == HEADER + ROWS[0] + ROWS[1]
    assert len(lines) == 1 and said in lines[0]
    assert (tmp_path / DAMAGED).read_bytes() == whole


def test_a_byte_order_mark_and_unknown_columns_cost_no_row(tmp_path: Path) -> None:
    """Editors put the first there, other versions and users the second; columns in another order are found by name."""
    text = "note,step,loss,val_exact\nmine,2,3.5,\n,4,,0.5\n"
    kept, lines = opened(tmp_path / "metrics.csv", b"\xef\xbb\xbf" + text.encode())
    assert kept.decode() == HEADER.rstrip() + ",note\r\n2,,,,3.5,,,,mine\r\n4,,,,,0.5,,,\r\n" and not lines


@pytest.mark.parametrize("first", [b"\0\0\0", b"a,b\n", b"step,step\n", b"\xff\n"])
def test_a_file_without_a_header_is_kept_aside(tmp_path: Path, first: bytes) -> None:
    kept, lines = opened(tmp_path / "metrics.csv", first + b"4,5\n")
    assert kept.decode() == HEADER and "line 1: " in lines[0] and (tmp_path / DAMAGED).exists()
    assert read_rows(tmp_path / "none.csv").rows == []
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path)


def test_a_full_disk_leaves_no_half_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "metrics.csv", os.write
    (tmp_path / "config.toml").touch()
    metrics = MetricsFile(path, 0, COLUMNS, lambda line: None)
    metrics.add({"step": 2})
    before = path.read_bytes()
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:5]))  # what is left of the disk
    with pytest.raises(ResumableStop, match="a row could not be written, the disk is full") as caught:
        metrics.add({"step": 4})
    assert caught.value.hint == f"free some space, then go on with: ocrctl train --resume -o {tmp_path}"

    def refuse(handle: int, data: bytes) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(ResumableStop, match="a row could not be written, input/output error"):
        metrics.add({"step": 4})
    assert path.read_bytes() == before
