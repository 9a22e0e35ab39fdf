"""`ocrctl predict` with inputs that real disks and pipes bring: odd names, bad LMDBs, programs that wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrctl.cli.app import run

ODD = b"\xb0\xa1.png"  # CP949


def command(checkpoint: Path, *arguments: object) -> list[str]:
    words = ["predict", *map(str, arguments), "-m", str(checkpoint), "--device", "cpu"]
    return [sys.executable, "-m", "ocrctl", *words]


@pytest.fixture
def odd_folder(word_folder: Path, tmp_path: Path) -> Path:
    """An image whose name is not UTF-8, and one after it; an image that is cut off, of such a name too."""
    folder = tmp_path / "odd"
    folder.mkdir()
    data = (word_folder / "00.png").read_bytes()
    for name, content in ((ODD, data), ("나.png".encode(), data), (b"\xb0\xa2.png", data[:50])):
        try:
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(content)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    return folder


@pytest.mark.parametrize("by_stdin", [False, True])
def test_names_that_are_not_utf8(tiny_checkpoint: Path, odd_folder: Path, tmp_path: Path, by_stdin: bool) -> None:
    place = os.fsencode(odd_folder)
    stdin = b"".join(place + b"/" + name + b"\n" for name in sorted(os.listdir(place))) if by_stdin else b""
    out = tmp_path / "out"
    more = ["-o", out, "--json", "--report", tmp_path / "report.json"]
    done = subprocess.run(
        command(tiny_checkpoint, "-" if by_stdin else odd_folder, *more), input=stdin, capture_output=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    streamed = [json.loads(line)["path"] for line in done.stdout.decode("utf-8").splitlines()]
    assert sorted(os.path.basename(os.fsencode(path)) for path in streamed) == [ODD, "나.png".encode()]
    written = (out / "predictions.tsv").read_text("utf-8")
    assert "\\udcb0\\udca1.png\t" in written and "나.png\t" in written
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["read"] == 2 and os.fsencode(report["unreadable"][0]["path"]).endswith(b"\xb0\xa2.png")


def test_rec_gt_reports_the_name_it_cannot_hold(tiny_checkpoint: Path, odd_folder: Path, tmp_path: Path) -> None:
    arguments = (odd_folder, "--format", "rec_gt", "-o", tmp_path / "out")
    done = subprocess.run(command(tiny_checkpoint, *arguments), capture_output=True, timeout=120)
    assert done.returncode == 1 and b"cannot be written as rec_gt" in done.stderr
    assert (tmp_path / "out" / "predictions.txt").read_text("utf-8").startswith("../odd/나.png\t")


def test_a_bad_lmdb_does_not_stop_the_rest(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "cut.lmdb", str(word_folder / "00.png")
    bad.write_bytes(b"\0" * 100)
    assert run(["predict", good, str(bad), good, "-m", str(tiny_checkpoint), "--device", "cpu"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert err.count("unreadable: ") == 1 and "cut.lmdb" in err


def test_rec_gt_refuses_lmdbs(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.lmdb").write_bytes(b"")
    arguments = ["-m", str(tiny_checkpoint), "--device", "cpu", "--format", "rec_gt"]
    assert run(["predict", str(tmp_path / "words.lmdb"), *arguments]) == 2
    assert "rec_gt requires image files" in capsys.readouterr().err
    assert run(["predict", f"{tmp_path}/*.lmdb", str(word_folder), *arguments]) == 1
    assert "unreadable: " in capsys.readouterr().err


def test_nothing_read_leaves_the_older_file(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "predictions.tsv"
    older.write_text("an older result\n")
    arguments = ["predict", str(tmp_path / "gone.png"), "-m", str(tiny_checkpoint), "--device", "cpu"]
    assert run([*arguments, "-o", str(tmp_path)]) == 3
    assert older.read_text() == "an older result\n" and list(tmp_path.iterdir()) == [older]
    assert "->" not in capsys.readouterr().err


def test_a_program_that_waits_for_each_answer(tiny_checkpoint: Path, word_folder: Path) -> None:
    process = subprocess.Popen(
        command(tiny_checkpoint, "-", "--json", "--jobs", 2, "-q"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin and process.stdout
    try:
        for path in sorted(word_folder.glob("*.png"))[:3]:
            process.stdin.write(f"{path}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["path"] == str(path)  # a deadlock before, not a failure
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_report_that_cannot_be_written_is_known_first(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    for command_line in (["predict", str(word_folder), "-m", "gone.ckpt"], ["eval", "gone.ckpt", "-d", "gone"]):
        for place in (tmp_path / "file" / "report.json", tmp_path / "folder.html"):
            assert run([*command_line, "--report", str(place)]) == 3
            out, err = capsys.readouterr()
            assert out == "" and f"{place}: cannot be written" in err  # before the missing model is looked for
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]


def test_a_folder_that_links_to_itself_is_read_once(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    inner = tmp_path / "loop" / "a"
    inner.mkdir(parents=True)
    (inner / "one.png").write_bytes((word_folder / "00.png").read_bytes())
    (inner / "up").symlink_to("..")
    assert run(["predict", str(tmp_path / "loop"), "-m", str(tiny_checkpoint), "--device", "cpu"]) == 0
    assert "1 read, 0 unreadable" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_named(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Root may read everything, so the refusal is the file system's as os.walk would meet it."""
    folder = tmp_path / "mix"
    (folder / "closed").mkdir(parents=True)
    (folder / "one.png").write_bytes((word_folder / "00.png").read_bytes())
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert run(["predict", str(folder), "-m", str(tiny_checkpoint), "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "closed" in said.out + said.err and "Permission denied" in said.out + said.err
