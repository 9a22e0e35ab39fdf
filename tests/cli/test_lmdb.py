from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run


@pytest.fixture(autouse=True)
def not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """-q of one test must not silence the next."""
    monkeypatch.setitem(console._state, "quiet", False)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Ten words, the fourth without a label, the sixth without an image."""
    folder = tmp_path / "words"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        if number != 5:
            cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (10, 30, 3), dtype=np.uint8))
    labels = [f"w{number}" if number != 3 else "" for number in range(10)]
    (folder / "rec_gt.txt").write_text("".join(f"{n}.png\t{label}\n" for n, label in enumerate(labels)))
    return folder


def test_build_lists_what_it_leaves_out_and_says_what_is_next(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["lmdb", "build", str(words), str(out), "--jobs", "1"]) == 0
    output, log = capsys.readouterr()
    assert (
        output.startswith("problem\twhere\treason\n")
        and f"{words / 'rec_gt.txt'}:4 (3.png)\tthe label is empty" in output
    )
    assert "6 (5.png)\tthe image" in output and "written\t8" in output
    assert log.splitlines()[-1] == f"next: ocrctl train -d {out}"
    assert run(["lmdb", "verify", str(out)]) == 0
    assert "faults\t0" in capsys.readouterr().out


def test_build_as_json_and_strict(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lmdb", "build", str(words), str(tmp_path / "out"), "--strict", "--json", "--jobs", "2"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["samples"], report["written"], report["jobs"]) == (10, 8, 2)
    assert [problem["index"] for problem in report["left_out"]] == [3, 5]
    assert report["reasons"] == {"empty label": 1, "image missing or unreadable": 1}


def test_info_and_verify_as_json(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["lmdb", "build", str(words), str(tmp_path / "out"), "-q"])
    capsys.readouterr()
    assert run(["lmdb", "info", str(tmp_path / "out"), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["labels"]["samples"] == 8 and info["labels"]["characters"]["w"] == 8
    assert info["labels"]["lengths"] == {"2": 8} and info["bytes"] > 0
    assert run(["lmdb", "verify", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert run(["lmdb", "info", str(tmp_path / "out")]) == 0
    assert "label length\t2 to 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words_said"),
    [
        (["build", "nowhere", "out"], 3, "nowhere: no such file"),
        (["build", "lmbd:nowhere", "out"], 2, "Did you mean 'lmdb'"),
        (["build", "synth:words", "out"], 2, "endless"),
        (["build", "words", "words"], 2, "no LMDB folder"),
        (["verify", "words"], 3, "expected an LMDB"),
        (["info", "nowhere"], 3, "expected an LMDB"),
        (["build", "words", "out", "--jobs", "0"], 2, "--jobs"),
    ],
)
def test_errors_are_one_sentence_with_their_exit_code(
    words: Path, arguments: list[str], code: int, words_said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(words.parent)
    assert run(["lmdb", *arguments]) == code
    output, log = capsys.readouterr()
    assert output == "" and words_said in log and "Traceback" not in log


def test_a_truncated_lmdb_is_exit_3(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["lmdb", "build", str(words), str(tmp_path / "out"), "-q"])
    file = tmp_path / "out" / "data.mdb"
    file.write_bytes(file.read_bytes()[:-5000])
    for verb in ("verify", "info"):
        assert run(["lmdb", verb, str(tmp_path / "out")]) == 3
        assert "is cut off" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_with_its_code_and_how_to_go_on(words: Path, tmp_path: Path, number: int, code: int) -> None:
    script = (
        "import os, sys, ocrctl.data.images.decode as images, ocrctl.data.lmdb.check as check\n"
        "numbers = [int(sys.argv.pop())]\n"
        "images.decode_problem = lambda data: os.kill(os.getpid(), numbers.pop()) or '' if numbers else ''\n"
        "check.CHUNK = 2\n"
        "from ocrctl.cli.app import main; main()\n"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, "lmdb", "build", str(words), str(out), "--jobs=1", str(int(number))],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == f"next: ocrctl lmdb build {words} {out} --jobs 1 --resume"
    assert not out.exists() and run(["lmdb", "build", str(words), str(out), "--resume", "-q"]) == 0
