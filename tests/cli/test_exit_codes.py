"""The documented exit codes (docs/reference/exit-codes.md), where no other test meets them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.cli.pairs import gates
from ocrctl.inference.onnx_backend import OnnxBackend
from ocrctl.shortages import MEMORY, shortage_of


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Two words."""
    folder = tmp_path / "words"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((10, 30, 3), number * 90, np.uint8))
    (folder / "rec_gt.txt").write_text("0.png\tab\n1.png\tcd\n")
    return folder


def broken(*arguments: object, **options: object) -> None:
    raise IndexError("list index out of range")


def test_a_bug_is_70_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ocrctl.core.profile.list_profiles", broken)
    monkeypatch.delenv("OCRCTL_DEBUG", raising=False)
    assert run(["profile", "list"]) == 70
    output, log = capsys.readouterr()
    assert not output and "Traceback" not in log
    assert log.startswith("bug in ocrctl: IndexError: list index out of range\nhint: ") and "OCRCTL_DEBUG=1" in log


def test_debug_shows_the_traceback_of_a_bug_before_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OCRCTL_DEBUG", "1")
    monkeypatch.setattr("ocrctl.core.profile.list_profiles", broken)
    assert run(["profile", "list"]) == 70
    log = capsys.readouterr().err
    assert log.startswith("Traceback") and "in broken" in log and "bug in ocrctl: IndexError" in log


def test_debug_shows_the_traceback_of_expected_errors_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ocrctl", "profile", "show", "nope"],
        capture_output=True, text=True, env={**os.environ, "OCRCTL_DEBUG": "1"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "Traceback" in done.stderr and "UsageError: Unknown profile 'nope'" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("error: Unknown profile 'nope'") and done.returncode == 2


def test_places_that_cannot_be_written_are_3(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = words / "rec_gt.txt"  # nothing can lie below a file
    for arguments in (
        ["dataset", "charset", str(words), "-o", str(file / "x.txt")],
        ["dataset", "charset", str(words), "-o", ".", "--overwrite"],
        ["profile", "copy", "cpu", str(file / "x.toml")],
        ["dataset", "synth", str(file / "x"), "--count", "1"],
        ["lmdb", "build", str(words), str(file / "x"), "--jobs", "1"],
        ["train", "--set", "arch=crnn-tiny", "-o", str(file / "x"), "-d", str(words), "--set", "train.device=cpu"],
    ):
        assert run(arguments) == 3, arguments
        log = capsys.readouterr().err
        assert "cannot be written" in log and "rm -r" not in log and "None" not in log, arguments


def test_a_charset_makes_the_folders_it_needs(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "x.txt"
    assert run(["dataset", "charset", str(words), "-o", str(out)]) == 0
    assert out.read_text() == "abcd\n" and list(out.parent.iterdir()) == [out]


def test_a_full_disk_is_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ocrctl.core.dataset.synth_words.paddleocr_rec.write", full)
    assert run(["dataset", "synth", str(tmp_path / "out"), "--count", "1"]) == 5
    assert "the disk is full" in capsys.readouterr().err


def test_a_full_or_closed_standard_output() -> None:
    full = "import sys; sys.argv = ['ocrctl', 'profile', 'list']; from ocrctl.cli.app import main; main()"
    with open("/dev/full", "w") as device:
        done = subprocess.run(
            [sys.executable, "-c", full], stdout=device, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 5 and done.stderr.startswith("error: Standard output cannot be written (No space left")
    assert "Exception ignored" not in done.stderr
    shell = f"{sys.executable} -m ocrctl profile list >&-"
    closed = subprocess.run(["sh", "-c", shell], stderr=subprocess.PIPE, text=True, check=False)
    assert closed.returncode == 0 and closed.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["dataset", "validate"],
        ["lmdb", "info"],
        ["runs", "show"],
        ["model", "info"],
        ["train", "--charset"],
        ["train", "-p"],
    ],
)
def test_an_impossible_path_is_the_users_to_mend(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "x" * 300]) in (2, 3)
    assert "bug in ocrctl" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EACCES, 3, "place: permission denied."),
        (errno.ENOSPC, 5, "place: the disk is full."),
        (errno.EIO, 3, "place: the system could not"),
    ],
)
def test_what_the_file_system_answers_is_no_bug(
    number: int, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise OSError(number, os.strerror(number), "place")

    monkeypatch.setattr("ocrctl.core.profile.list_profiles", refused)
    monkeypatch.delenv("OCRCTL_DEBUG", raising=False)
    assert run(["profile", "list"]) == code
    assert said in capsys.readouterr().err


def test_an_architecture_that_is_no_text_is_a_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("3", "[1]"):
        assert run(["train", "--set", f"arch={value}"]) == 2
        assert "arch" in capsys.readouterr().err


def test_a_profile_with_a_width_that_does_not_suit_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wide.toml").write_text("arch = 'crnn'\n[model]\nwidth = 33\n")
    assert run(["profile", "check", str(tmp_path / "wide.toml")]) == 2
    assert "multiple of 4" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("ocrctl.core.dataset.validate.validate", broken)  # would be 70
    assert run(["dataset", "validate", str(words), "--report", str(tmp_path / "file" / "x.html")]) == 3


def test_ctrl_c_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocrctl.core.profile.list_profiles", stopped)
    assert run(["profile", "list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_while_the_command_line_is_still_loaded() -> None:
    stop = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from ocrctl.__main__ import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", stop], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("cer=10", "10 is 1000 %"),
        ("hmean=80", "80 is 8000 %"),
        ("hmean=101%", "from 0 to 100 %"),
        ("hmean=-1%", "from 0 to 100 %"),
    ],
)
def test_a_gate_that_all_or_none_would_pass_is_2(
    gate: str, said: str, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "--gt", str(words), "--pred", str(words), "--fail-under", gate]) == 2
    assert said in capsys.readouterr().err
    assert gates(["cer=150%", "exact=0.9", "str36.cer=1"]) == {"cer": 1.5, "exact": 0.9, "str36.cer": 1.0}


def test_a_misspelt_variable_is_2_of_every_command(
    words: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OCRCTL_DAT", str(words))
    for command in (["dataset", "validate", str(words)], ["profile", "list"]):
        assert run(command) == 2
        assert "Did you mean 'OCRCTL_DATA'?" in capsys.readouterr().err
    assert run(["dataset", "--help"]) == 0 and run([]) == 2
    monkeypatch.delenv("OCRCTL_DAT")
    monkeypatch.setenv("OCRCTL_TRAIN__LR", "0.1")
    assert run(["profile", "list"]) == 0


ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ..."
FAILED_IN_ONNX = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9"


@pytest.mark.parametrize("command", ["predict", "eval", "suspects", "export"])
def test_out_of_memory_is_5_with_the_options_that_need_less(
    command: str, words: Path, tiny_checkpoint: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError(ALLOCATOR)

    def fails_in_the_exporter(*arguments: object, **options: object) -> None:
        try:
            fails()
        except RuntimeError as error:
            raise ValueError("Failed to export the model") from error

    monkeypatch.setattr("ocrctl.models.crnn.encoder.ConvEncoder.forward", fails)
    monkeypatch.setattr("ocrctl.core.export.run.export", fails_in_the_exporter)
    model = str(tiny_checkpoint)
    arguments = {
        "predict": ["predict", str(words), "-m", model],
        "eval": ["eval", model, "-d", str(words)],
        "suspects": ["dataset", "suspects", str(words), "-m", model],
        "export": ["export", model, "-o", str(tmp_path / "bundle")],
    }[command]
    assert run(arguments) == 5
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: Out of memory: DefaultCPUAllocator: can't allocate memory: you tried to ..."
    options = "" if command == "export" else "--batch-size 1, --jobs 1, --threads 1, "
    assert hint.startswith(f"hint: run the command again with {options}smaller images, a smaller model or page side")


def test_out_of_memory_in_onnx_runtime_is_not_a_damaged_file() -> None:
    class Failed(Exception):
        __module__ = "onnxruntime.capi.onnxruntime_pybind11_state"

    class Session:
        def run(self, *arguments: object) -> None:
            raise Failed(FAILED_IN_ONNX)

    backend = object.__new__(OnnxBackend)
    backend._session, backend._outputs, backend._input = Session(), ["logits"], "images"
    with pytest.raises(Failed) as raised:
        backend.outputs(np.zeros((1, 32, 100, 1), np.uint8))
    assert shortage_of(raised.value) is MEMORY


@pytest.mark.skipif(os.name == "nt", reason="needs a FIFO")
def test_a_device_or_a_fifo_is_named(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, found in ((fifo, "a FIFO"), (Path("/dev/zero"), "a character device")):
        assert run(["predict", str(words), "-m", str(path)]) == 3
        assert f"error: {path}: expected a model, found {found}." in capsys.readouterr().err
        assert run(["profile", "show", str(path)]) == 2
        assert f"error: Profile {path}: expected a TOML file, found {found}." in capsys.readouterr().err
