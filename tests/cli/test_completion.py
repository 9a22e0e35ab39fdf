"""Completion through the real protocol of each shell, in processes that cannot import anything heavy."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrctl.cli.completion import charsets, formats, profiles, writers

HEAVY = (
    "torch",
    "lightning",
    "numpy",
    "cv2",
    "onnxruntime",
    "onnx",
    "pydantic",
    "pydantic_settings",
    "lmdb",
    "shapely",
)
MAIN = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); from ocrctl.cli.app import main; main()"
ROOT = Path(__file__).resolve().parents[2]


def ask(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", MAIN], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def bash(folder: Path, *words: str) -> list[str]:
    """What bash is answered for the words it split a line into, the last of them unfinished."""
    variables = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = ask(folder, _OCRCTL_COMPLETE="complete_bash", **variables)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


def test_every_kind_of_word(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()

    def words(line: str) -> list[str]:
        return bash(tmp_path, *line.split(" "))

    assert words("ocrctl train pars") == ["parseq-tiny", "parseq"]
    assert words("ocrctl train -p rtx") == ["rtx3060", "rtx3090"]
    assert words("ocrctl profile show q") == ["quickstart"]
    assert words("ocrctl dataset convert a b --format paddle") == ["paddleocr-det", "paddleocr-rec"]
    assert words("ocrctl train -d syn") == ["synth:words", "synth:pages"]
    assert words("ocrctl train -d icdar") == ["icdar13:", "icdar15:", "icdar-words:"]
    assert words("ocrctl train -d sam") == []  # a folder begins so: bash completes files
    assert words("ocrctl train --unknown-chars ") == ["refuse", "skip"]
    assert words("ocrctl train --charset asc") == ["ascii94", "ascii95"]
    assert words("ocrctl predict a --device c") == ["cpu", "cuda"]


def test_settings_and_their_choices_as_bash_splits_them(tmp_path: Path) -> None:
    start = ["ocrctl", "train", "--set"]
    assert bash(tmp_path, *start, "train.warm")[0].startswith("train.warmup")
    assert bash(tmp_path, *start, "train.opt") == ["train.optimizer=adamw", "train.optimizer=muon"]
    assert bash(tmp_path, *start, "train.optimizer", "=") == ["adamw", "muon"]
    assert bash(tmp_path, *start, "train.optimizer", "=", "mu") == ["muon"]
    assert bash(tmp_path, *start, "=", "train.optimizer", "=", "mu") == ["muon"]  # --set=train.optimizer=mu
    assert bash(tmp_path, *start, "train.lr") == ["train.lr=", "train.lr=0.001"]
    assert bash(tmp_path, *start, "arch", "=", "dbnet") == ["dbnet", "dbnetpp"]
    assert bash(tmp_path, *start, "train.lr", "=", "1", "--set", "data.start") == [
        f"data.start_method={method}" for method in ("auto", "fork", "spawn", "forkserver")
    ]
    every = bash(tmp_path, "ocrctl", "eval", "m", "--set", "")
    assert every and all(word.startswith("synth.") for word in every)


def test_zsh_and_fish_get_words_with_their_meaning(tmp_path: Path) -> None:
    line = "ocrctl train --set train.optimizer=m"
    done = ask(tmp_path, _OCRCTL_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert (done.returncode, done.stderr) == (0, "") and '"train.optimizer=muon":"muon\\\\: orth' in done.stdout
    variables = {"_TYPER_COMPLETE_ARGS": line, "_OCRCTL_COMPLETE": "complete_fish"}
    done = ask(tmp_path, _TYPER_COMPLETE_FISH_ACTION="get-args", **variables)
    assert done.stdout.startswith("train.optimizer=muon\tmuon: orthogonalised")
    assert ask(tmp_path, _TYPER_COMPLETE_FISH_ACTION="is-args", **variables).returncode == 0
    (tmp_path / "set").mkdir()
    files = {**variables, "_TYPER_COMPLETE_ARGS": "ocrctl train -d icdar15:s"}
    assert ask(tmp_path, _TYPER_COMPLETE_FISH_ACTION="get-args", **files).stdout.split() == [f"icdar15:set{os.sep}"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_in_bash_itself(tmp_path: Path) -> None:
    """The script that --show-completion prints, in bash: its function, and that a key is not closed by a space."""
    command = tmp_path / "ocrctl"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m ocrctl \"$@\"\n")
    command.chmod(0o755)
    script = (
        'eval "$(_OCRCTL_COMPLETE=source_bash ocrctl)"; complete -p ocrctl; '
        "COMP_WORDS=(ocrctl train --set train.optimizer = m); COMP_CWORD=5; _ocrctl_completion ocrctl; "
        'echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout.splitlines()) == (
        "", ["complete -o default -F _ocrctl_completion ocrctl", "muon"],
    )  # fmt: skip
    source = ask(tmp_path, _OCRCTL_COMPLETE="source_bash").stdout
    assert "compopt -o nospace" in source


def test_names_are_those_of_the_registries() -> None:
    from ocrctl.config.profiles import load_profile, shipped_profiles
    from ocrctl.data.formats import DETECTION_FORMATS, FORMATS
    from ocrctl.inference.writers.select import PAGE_FILES, PAGE_WRITERS, WRITERS
    from ocrctl.text.charset import BUILTIN

    assert sorted(formats()) == sorted([*FORMATS, *DETECTION_FORMATS])
    assert set(writers()) >= {*WRITERS, *PAGE_WRITERS, *PAGE_FILES, *DETECTION_FORMATS}
    assert charsets() == list(BUILTIN)
    assert profiles() == [(name, load_profile(name).get("description", "")) for name in shipped_profiles()]


def test_a_broken_line_and_a_bug_answer_nothing(tmp_path: Path) -> None:
    done = ask(tmp_path, _OCRCTL_COMPLETE="complete_bash", COMP_WORDS="ocrctl\ntrain", COMP_CWORD="nonsense")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_ctrl_c_is_silent(tmp_path: Path) -> None:
    """Before: `interrupted` in the middle of the line being typed."""
    code = (
        "import ocrctl.cli.completion as room, time\n"
        "def slow(): print('ready', flush=True); time.sleep(30); return []\n"
        "room.architectures = slow\n"
        "from ocrctl.__main__ import main\nmain()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_OCRCTL_COMPLETE": "complete_bash",
                   "COMP_WORDS": "ocrctl\ntrain\n", "COMP_CWORD": "2"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
