"""`ocrctl predict`: every kind of input, every format, and what a bad one does."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.cli.predict import _summary
from ocrctl.core.predict.run import PredictReport
from ocrctl.data.formats.spec import open_source
from ocrctl.inference.engine import Recognition
from ocrctl.inference.writers.prediction import Unreadable
from ocrctl.inference.writers.select import WRITERS


def lines(text: str) -> list[str]:
    return text.splitlines()


def predict(checkpoint: Path, *arguments: object) -> int:
    return run(["predict", *map(str, arguments), "-m", str(checkpoint), "--device", "cpu"])


def test_folder_to_tsv(tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(tiny_checkpoint, word_folder) == 0
    out, err = capsys.readouterr()
    rows = [line.split("\t") for line in lines(out)]
    assert rows[0] == ["path", "text", "confidence"]
    assert [Path(row[0]).name for row in rows[1:]] == [f"{number:02d}.png" for number in range(12)]
    assert all(0 <= float(row[2]) <= 1 for row in rows[1:])
    assert "12 read, 0 unreadable" in err


def test_texts_that_are_all_empty_are_a_warning(
    tiny_checkpoint: Path, word_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ocrctl.core.predict.run.MIN_PREDICTIONS", 1)
    arguments = ["predict", str(word_folder), "-m", str(tiny_checkpoint), "-q"]
    assert run(arguments) == 0
    assert "reads nothing" not in capsys.readouterr().err
    nothing = Recognition("", 0.0)
    monkeypatch.setattr("ocrctl.inference.engine.Engine.decode", lambda self, logits: [nothing] * len(logits))
    assert run(arguments) == 0
    assert "texts are empty: the recogniser reads nothing." in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_format_to_a_folder(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, name: str) -> None:
    assert predict(tiny_checkpoint, word_folder, "--format", name, "-o", tmp_path) == 0
    (written,) = tmp_path.iterdir()
    assert written.name == "predictions" + WRITERS[name].suffix
    assert len(lines(written.read_text("utf-8"))) == 12 + bool(WRITERS[name].header)


def test_rec_gt_reads_back(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path) -> None:
    assert predict(tiny_checkpoint, word_folder, "--format", "rec_gt", "-o", tmp_path) == 0
    read_back = open_source(str(tmp_path / "predictions.txt"))
    pictures = sorted(word_folder.glob("*.png"))
    assert [read_back.image_bytes(index) for index in range(len(read_back))] == [path.read_bytes() for path in pictures]
    assert len(set(read_back.labels)) > 3


def test_rec_gt_reads_back_from_another_folder(
    tiny_checkpoint: Path,
    word_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Given as seen from the working folder, written as seen from the file's own, which is reached through a link."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(word_folder)
    assert predict(tiny_checkpoint, "00.png", "--format", "rec_gt", "-o", tmp_path / "out") == 0
    assert not lines((tmp_path / "out" / "predictions.txt").read_text("utf-8"))[0].startswith("/")
    read_back = open_source(str(tmp_path / "out" / "predictions.txt"))
    assert read_back.image_bytes(0) == (word_folder / "00.png").read_bytes()
    capsys.readouterr()
    assert predict(tiny_checkpoint, "00.png", "--format", "rec_gt") == 0
    assert capsys.readouterr().out.startswith(f"{word_folder.resolve() / '00.png'}\t")


def test_the_same_images_by_glob_stdin_and_subfolder(
    tiny_checkpoint: Path,
    word_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nested = tmp_path / "deep" / "er"
    nested.mkdir(parents=True)
    for path in word_folder.iterdir():
        (nested / path.name).write_bytes(path.read_bytes())
    (nested / ".hidden.png").write_bytes(b"junk")

    def texts(*arguments: object) -> list[str]:
        assert predict(tiny_checkpoint, *arguments, "--format", "txt") == 0
        return lines(capsys.readouterr().out)

    expected = texts(word_folder)
    assert len(expected) == 12
    assert texts(tmp_path) == expected
    assert texts(f"{nested}/*.png") == expected
    assert texts(f"{tmp_path}/**/0?.png", f"{nested}/1?.png") == expected
    paths = "".join(f"{path}\r\n\n" for path in sorted(nested.glob("[0-9]*.png")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(paths.encode())))
    assert texts("-") == expected


def test_lmdb_gives_the_texts_of_the_files(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import lmdb

    names = sorted(word_folder.glob("*.png"))
    with lmdb.open(str(tmp_path / "words"), map_size=1 << 24) as store, store.begin(write=True) as write:
        for number, path in enumerate(names, 1):
            write.put(b"image-%09d" % number, path.read_bytes())
            write.put(b"label-%09d" % number, b"x")
        write.put(b"num-samples", str(len(names)).encode())
    assert predict(tiny_checkpoint, tmp_path / "words", "--json") == 0
    stored = [json.loads(line) for line in lines(capsys.readouterr().out)]
    assert predict(tiny_checkpoint, word_folder, "--json") == 0
    files = [json.loads(line) for line in lines(capsys.readouterr().out)]
    assert [row["text"] for row in stored] == [row["text"] for row in files]
    assert stored[0]["path"].endswith("words/image-000000001")


def test_bad_images_are_named_counted_and_do_not_stop_the_rest(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted(word_folder.glob("*.png"))
    (tmp_path / "cut.png").write_bytes(good[0].read_bytes()[:90])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    report = tmp_path / "report.json"
    code = predict(
        tiny_checkpoint, good[0], tmp_path, tmp_path / "gone.png", f"{tmp_path}/*.gif", good[1], "--report", report
    )
    out, err = capsys.readouterr()
    assert code == 1
    assert [line.split("\t")[0] for line in lines(out)[1:]] == [str(good[0]), str(good[1])]
    bad = [line for line in lines(err) if line.startswith("unreadable: ")]
    assert len(bad) == 5
    for name in ("cut.png", "empty.jpg", "text.png", "gone.png", "*.gif"):
        assert sum(name in line for line in bad) == 1
    summary = json.loads(report.read_text("utf-8"))
    assert summary["read"] == 2 and len(summary["unreadable"]) == 5 and summary["images_per_second"] > 0


def test_nothing_readable_is_exit_3_and_stdout_stays_empty(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, tmp_path) == 3
    out, err = capsys.readouterr()
    assert out == "" and "holds no image file" in err


def test_a_path_that_label_lines_cannot_hold_is_reported_and_escaped_in_a_table(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "a\tb.png"
    odd.write_bytes((word_folder / "00.png").read_bytes())
    assert predict(tiny_checkpoint, odd, word_folder, "--format", "rec_gt") == 1
    assert "use jsonl" in capsys.readouterr().err
    assert predict(tiny_checkpoint, odd) == 0
    first = lines(capsys.readouterr().out)[1].split("\t")[0]
    assert first.encode("latin-1", "backslashreplace").decode("unicode_escape") == str(odd)
    assert predict(tiny_checkpoint, odd, "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(odd)


def test_unknown_format_names_the_nearest(
    tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, word_folder, "--format", "jsonll") == 2
    assert "'jsonl'" in capsys.readouterr().err


def test_json_beside_another_stdout_format_is_refused(
    tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, word_folder, "--json", "--format", "txt") == 2


def test_order_holds_with_threads_and_small_batches(
    tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, word_folder, "--jobs", 0, "--batch-size", 64) == 0
    expected = [line.split("\t")[:2] for line in lines(capsys.readouterr().out)]
    assert predict(tiny_checkpoint, word_folder, "--jobs", 4, "--batch-size", 5) == 0
    assert [line.split("\t")[:2] for line in lines(capsys.readouterr().out)] == expected


@pytest.mark.parametrize(
    ("name", "code"),
    [("SIGINT", 130), *(pytest.param(*one, marks=pytest.mark.slow) for one in (("SIGTERM", 143), ("SIGHUP", 129)))],
)
@pytest.mark.posix
def test_a_signal_keeps_what_is_written(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, name: str, code: int
) -> None:
    """Paths arrive on stdin and stop coming; Ctrl-C then leaves the finished lines in predictions.tsv.part."""
    (tmp_path / "predictions.tsv").write_text("an older result\n")
    options = ["--device", "cpu", "--batch-size", "4", "--jobs", "1", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ocrctl", "predict", "-", "-m", str(tiny_checkpoint), "-o", str(tmp_path), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write("".join(f"{path}\n" for path in sorted(word_folder.glob("*.png"))))
    process.stdin.flush()
    first = [process.stdout.readline() for _ in range(4)]
    assert all(json.loads(line)["path"] for line in first)
    time.sleep(0.3)
    os.kill(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "predictions.tsv.part" in err
    kept = lines((tmp_path / "predictions.tsv.part").read_text("utf-8"))
    assert kept[0].startswith("path\t") and len(kept) >= 5
    assert (tmp_path / "predictions.tsv").read_text() == "an older result\n"


def test_a_full_disk_is_exit_5_and_the_older_file_stays(
    tiny_checkpoint: Path,
    word_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "predictions.tsv").write_text("an older result\n")
    monkeypatch.setattr(os, "fsync", full)
    assert predict(tiny_checkpoint, word_folder, "-o", tmp_path) == 5
    assert "the disk is full" in capsys.readouterr().err
    assert (tmp_path / "predictions.tsv").read_text() == "an older result\n"


def test_a_place_that_cannot_be_written(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert predict(tiny_checkpoint, word_folder, "-o", tmp_path / "file" / "out") == 3
    assert "is a file, or below one; name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "blocked"), [("onnx", "torch lightning onnx"), ("checkpoint", "lightning onnx onnxruntime")]
)
def test_only_the_runtime_that_is_needed_is_loaded(
    tiny_checkpoint: Path, tiny_onnx: Path, word_folder: Path, kind: str, blocked: str
) -> None:
    model = tiny_onnx if kind == "onnx" else tiny_checkpoint
    arguments = ["predict", str(word_folder), "-m", str(model), "-q", "--device", "cpu"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked.split()!r}));"
        f"from ocrctl.cli.app import run; sys.exit(run({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(lines(done.stdout)) == 13


def test_cuda_asked_for_and_absent_is_exit_4(
    tiny_checkpoint: Path, tiny_onnx: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for model in (tiny_checkpoint, tiny_onnx):
        assert run(["predict", str(word_folder), "-m", str(model), "--device", "cuda"]) == 4
        out, err = capsys.readouterr()
        assert out == "" and "device 'cuda' was asked for" in err and "diagnose cuda" in err
        assert run(["eval", str(model), "-d", str(word_folder), "--device", "cuda:0"]) == 4
        capsys.readouterr()


def test_a_closed_pipe_ends_silently(tiny_checkpoint: Path, word_folder: Path) -> None:
    command = f"{sys.executable} -m ocrctl predict {word_folder} -q -m {tiny_checkpoint} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stdout == "path\ttext\tconfidence\n"
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_text_is_the_name_for_words_and_txt_still_works(
    tiny_checkpoint: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, word_folder, "--format", "text") == 0
    out, err = capsys.readouterr()
    assert "now called" not in err
    assert predict(tiny_checkpoint, word_folder, "--format", "txt") == 0
    again = capsys.readouterr()
    assert again.out == out and "note: for word images --format txt is now called text" in again.err


def test_the_summary_leaves_out_what_was_not_read() -> None:
    report = PredictReport("m", "onnx", "cpu", "", 4, [], 8.0, 1.0, 0.5, boxes=9, words=7)
    assert _summary(report) == "4 read, 0 unreadable, 9 boxes, 7 words, 2 seconds/image (onnx on cpu)"
    assert "12.5 images/s" in _summary(replace(report, images_per_second=12.5))
    missing = replace(report, read=0, unreadable=[Unreadable("a.jpg", "a.jpg: gone.")], images_per_second=0.0)
    assert _summary(missing) == "0 read, 1 unreadable (onnx on cpu)"
