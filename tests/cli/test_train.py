"""The train command's own words: refusals with the corrected command, JSON, the next command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def ocrctl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OCRCTL_")}
    return subprocess.run(
        [sys.executable, "-m", "ocrctl", *words],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            ("train", "--set", "train.lr=1", "train.max_steps=2"),
            "ocrctl train --set train.lr=1 --set train.max_steps=2",
        ),
        (("train", "data/words", "-p", "ci"), "ocrctl train -d data/words -p ci"),
        (("train", "crn"), "ocrctl model list"),
        (("train", "-p", "rtx306"), "ocrctl profile list"),
        (("trian",), "ocrctl --help"),
        (("train", "--resume"), "ocrctl train --resume -o runs/last"),
    ],
)
def test_wrong_words_are_exit_2_with_the_mend(words: tuple[str, ...], hint: str) -> None:
    done = ocrctl(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == f"hint: {hint}"
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_and_a_missing_device_have_their_codes(tmp_path: Path) -> None:
    import torch

    done = ocrctl("train", OCRCTL_TRIAN__LR="1")
    assert (done.returncode, "Did you mean 'OCRCTL_TRAIN__LR'" in done.stderr) == (2, True)
    if not torch.cuda.is_available():
        done = ocrctl("train", "-p", "ci", "--set", "train.device=cuda", "-o", str(tmp_path / "run"))
        assert done.returncode == 4
        assert done.stderr.splitlines()[-1] == "hint: ocrctl diagnose cuda tells why"


def test_fast_dev_run_of_a_gpu_profile_says_what_it_does(tmp_path: Path) -> None:
    done = ocrctl("train", "--profile", "rtx3060", "--fast-dev-run", "-o", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["arch"], result["steps"]) == ("crnn", 3)
    lines = done.stderr.splitlines()
    assert lines[0] == "no data given (-d): training on synth:words"
    assert any(line.startswith("model: crnn, 2,") for line in lines)
    assert lines[-1] == "next: ocrctl train --profile rtx3060 --json"
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_fast_dev_run_leaves_nothing_where_no_folder_is_named(tmp_path: Path) -> None:
    arguments = ["train", "-p", "ci", "--fast-dev-run"]
    done = subprocess.run(
        [sys.executable, "-m", "ocrctl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("steps: 3 in ")
    assert not list(tmp_path.rglob("*.*"))


def test_plain_error_for_a_disk_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    done = ocrctl("train", "-p", "ci", "-o", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "is a file" in done.stderr
    assert (tmp_path / "run").read_text() == "mine"


def test_estimate_projects_for_a_card_that_is_not_here() -> None:
    cuda = ["--set", "train.device=cuda"]
    done = ocrctl("train", "dbnet", "-p", "rtx3060", *cuda, "--estimate", "--json")
    found = json.loads(done.stdout)
    assert (found["device"], found["precision"], found["batch_size"]) == ("cuda", "16-mixed", 2)
    assert found["total"] == sum(found["memory"].values()) < 12 * 2**30
    assert ocrctl("train", "parseq-tiny", "--estimate").returncode == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is estimated without a GPU")
def test_estimate_is_of_the_device_that_would_train() -> None:
    done = ocrctl("train", "crnn-tiny", "-p", "rtx3060", "--estimate")
    assert done.stderr.splitlines()[-1] == (
        "crnn-tiny, batch 512 of 32x100, 32-true on cpu (no GPU here; for one: --set train.device=cuda)"
    )
    done = ocrctl("train", "crnn-tiny", "--estimate", "--set", "train.device=cpu")
    assert done.stderr.splitlines()[-1].endswith(" on cpu (train.device=cpu)")


def test_a_run_that_reads_nothing_says_so_and_names_the_command_that_tells(
    word_folder: Path, mute_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: `next: ocrctl export RUN`, at 100 % empty predictions."""
    from ocrctl.cli.app import run

    words = ["train", "crnn-tiny", "-d", str(word_folder), "--from", str(mute_checkpoint), "--unknown-chars", "skip"]
    sets = ["train.max_steps=2", "train.batch_size=2", "train.lr=1e-8", "data.workers=0", "log.previews=0"]
    assert run([*words, *[part for item in sets for part in ("--set", item)], "-o", str(tmp_path / "run")]) == 0
    last = capsys.readouterr().err.splitlines()[-3:]
    assert last[0] == ("warning: the model reads nothing: 100% of the validation predictions are empty after 2 steps.")
    assert last[1].startswith("hint: ") and f"{tmp_path}/run/previews" in last[1] and "diagnose model" in last[1]
    assert last[2] == f"next: ocrctl diagnose model {tmp_path}/run"


@pytest.mark.parametrize(
    ("last", "best", "said"),
    [
        ({"val_exact": 0.0, "val_empty": 0.96}, 0.0, "reads nothing: 96% of the validation predictions are empty"),
        ({"val_exact": 0.0, "val_empty": 0.1}, 0.0, "reads no validation word correctly"),
        ({"val_hmean": 0.0}, 0.0, "finds no word on the validation pages"),
        ({"val_exact": 0.2, "val_empty": 0.1}, 0.2, ""),
        ({"val_hmean": 0.0}, 0.4, ""),
        ({}, 0.0, ""),
    ],
)
def test_what_the_validations_say_of_a_model(last: dict[str, float], best: float, said: str) -> None:
    from ocrctl.core.train.run import TrainResult, unread

    assert unread(TrainResult(Path("run"), "any", 1, 9, 1.0, best, 9, last)) == said
