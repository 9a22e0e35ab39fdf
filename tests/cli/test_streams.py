"""Where results go: readers that leave, narrow terminals, and places that are no plain files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.files.atomic import check_writable, write_bytes, write_with_newline

QUAD = "1,1,50,1,50,20,1,20"


def test_a_missed_gate_outlives_its_reader(tmp_path: Path) -> None:
    for name, text in (("gt", f"{QUAD},word\n"), ("pred", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{'gt' if name == 'gt' else 'res'}_a.txt").write_text(text)
    report = tmp_path / "report.html"
    command = [sys.executable, "-m", "ocrctl", "eval", "--gt", f"icdar15:{tmp_path / 'gt'}", "--pred",
               str(tmp_path / "pred"), "--fail-under", "hmean=50%", "--report", str(report)]  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writer)
    assert done.returncode == 1 and "failed: hmean is 0.0000" in done.stderr and report.exists()


@pytest.mark.parametrize("command", [["validate"], ["validate", "--json"], ["clean"]])
def test_what_a_check_found_outlives_its_reader(command: list[str], tmp_path: Path) -> None:
    labels = tmp_path / "labels"  # images are looked for beside the folder as well: not in those of other tests
    labels.mkdir()
    (labels / "gt_a.txt").write_text("1,1,50,1,50,20,1,20,word\n" * 2)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ocrctl", "dataset", *command, f"icdar15:{labels}"], stdout=writer,
            stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 1 and done.stderr and "Traceback" not in done.stderr


def test_a_log_that_nobody_reads_goes_nowhere() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        log = console.PipeSafeStream(stream)
        log.write("one\n")
        log.write("two\n")
        log.flush()
        assert log.fileno() == writer


class Terminal:
    """A stdout of a terminal."""

    def __init__(self) -> None:
        self.text = ""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text


@pytest.mark.parametrize("width", [80, 40, 20])
def test_a_narrow_terminal_shows_every_number(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    numbers = [f"{number}.5 [1, 2]" for number in range(10, 20)]
    console.table(["model", *(f"metric {i}" for i in range(10))], [["crnn", *numbers]])
    assert all(number in terminal.text for number in numbers)
    assert max(map(len, terminal.text.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())) <= width
    terminal.text = ""
    console.table(["count", "message"], [["1", "a long sentence that says what is wrong with it " * 3]])
    plain = terminal.text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, plain.splitlines())) <= width and plain.count("says") == plain.count("wrong") == 3


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    for write, content in ((write_with_newline, "new"), (lambda path, text: write_bytes(path, text.encode()), "newer")):
        check_writable(link)
        write(link, content)
        assert link.is_symlink() and target.read_text().strip() == content
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.posix
def test_a_pipe_or_device_is_written_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    for write, content in (
        (write_with_newline, "text"),
        (lambda path, text: write_bytes(path, text.encode()), "bytes"),
    ):
        heard: list[str] = []
        listener = threading.Thread(target=lambda heard=heard: heard.append(pipe.read_text()))
        listener.start()
        write(pipe, content)
        listener.join(10)
        assert heard[0].strip() == content and pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["train", "--set", "train.batch_size=99999999999999999999"], "train.batch_size"),
        (["train", "--set", "train.accumulate=1000000000000000000000000"], "train.accumulate"),
        (["train", "--set", "page.side=1000000000"], "page.side"),
        (["train", "--set", "train.threads=100000"], "train.threads"),
        (["eval", "m", "-d", ".", "--threads", "100000"], "--threads"),
        (["eval", "m", "-d", ".", "--batch-size", "99999999999999999999999"], "--batch-size"),
        (["eval", "m", "-d", ".", "--bootstrap", "99999999999999999999999"], "--bootstrap"),
        (["eval", "--gt", ".", "--pred", ".", "--threshold", "nan"], "--threshold"),
        (["export", "m", "-o", "out", "--tolerance", "logits=-1"], "--tolerance"),
    ],
)
def test_numbers_out_of_all_proportion(command: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert word in capsys.readouterr().err
