"""Commands given devices, FIFOs and folders where files belong: a named error at once, never a hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrctl.cli.app import run

pytestmark = pytest.mark.posix  # devices and FIFOs


@pytest.fixture
def odd_words(word_folder: Path, tmp_path: Path) -> Path:
    """Three labelled words: a readable image, a link to a device without an end, a FIFO that nobody writes."""
    (tmp_path / "good.png").write_bytes((word_folder / "00.png").read_bytes())
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "rec_gt.txt").write_text("good.png\thotel\nzero.png\tzero\nfifo.png\tpipe\n")
    return tmp_path


def test_predict_names_them_and_reads_the_rest(
    odd_words: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    assert run(["predict", str(odd_words), "-m", str(tiny_checkpoint), "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.out.count("good.png") == 1
    assert "fifo.png: cannot be read (expected a regular file, found a FIFO)" in said.err
    assert "zero.png: cannot be read (expected a regular file, found a character device)" in said.err
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("headers", [[], ["--header-only"]])
def test_validate_finds_them(odd_words: Path, headers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "validate", str(odd_words), *headers, "--json"]) == 1
    codes = json.loads(capsys.readouterr().out)["codes"]
    messages = [location["message"] for code in codes for location in code["locations"]]
    assert sum("expected a regular file, found" in message for message in messages) == 2


@pytest.mark.parametrize("path", ["/dev/zero", "FIFO"])
def test_a_device_or_fifo_is_no_data_set_charset_model_or_profile(path: str, tmp_path: Path, word_folder: Path) -> None:
    if path == "FIFO":
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
    lines = [
        ["dataset", "validate", path],
        ["dataset", "stats", f"paddleocr-rec:{path}"],
        ["dataset", "validate", str(word_folder), "--for", "crnn", "--charset", path],
        ["predict", path, "-m", path],
        ["model", "info", path],
        ["profile", "check", path],
        ["train", "crnn", "-d", path, "-o", str(tmp_path / "run")],
    ]
    script = f"from ocrctl.cli.app import run\nimport json\nprint(json.dumps([run(line) for line in {lines!r}]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    codes = eval(done.stdout.splitlines()[-1])
    assert set(codes) <= {2, 3}, (codes, done.stderr)
    assert done.stderr.count("error: ") == len(lines)


def test_a_charset_through_a_pipe(word_folder: Path, tmp_path: Path) -> None:
    """Process substitution, as the shell does it."""
    reader, writer = os.pipe()
    os.write(writer, b"abc\n")
    os.close(writer)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ocrctl", "dataset", "validate", str(word_folder), "--for", "crnn",
             "--charset", f"/dev/fd/{reader}"],
            pass_fds=[reader], capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(reader)
    assert done.returncode == 1 and "M002" in done.stdout + done.stderr, done.stderr
