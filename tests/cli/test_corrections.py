"""Options and names of other tools are answered with the command line that does it here."""

from __future__ import annotations

import shlex

import pytest

from ocrctl.cli.app import run
from ocrctl.config.load import check_environment
from ocrctl.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("train --epochs 3", "ocrctl train --set train.max_epochs=3"),
        ("train --lr=1e-3", "ocrctl train --set train.lr=1e-3"),
        ("train crnn -d x --batch-size 32", "ocrctl train crnn -d x --set train.batch_size=32"),
        ("train --workers 4 -o r", "ocrctl train --set data.workers=4 -o r"),
        ("train --device 0", "ocrctl train --set train.device=cuda"),
        ("train --device cpu", "ocrctl train --set train.device=cpu"),
        ("train lr=1e-3", "ocrctl train --set train.lr=1e-3"),
        ("train lr=1e-3 bs=8", "ocrctl train --set train.lr=1e-3 --set train.batch_size=8"),
        ("train train.learning_rate=1", "ocrctl train --set train.lr=1"),
        ("train --set lr=1e-3", "ocrctl train --set train.lr=1e-3"),
        ("train --set=lr=1 --set train.learning_rate=2", "ocrctl train --set train.lr=1 --set train.lr=2"),
        (
            "train --model crnn --epochs 3 --lr 1e-3 --output runs/a --fp16",
            "ocrctl train crnn --set train.max_epochs=3 --set train.lr=1e-3 -o runs/a --set train.precision=16-mixed",
        ),
        ("train --activation-checkpointing", "ocrctl train --set train.activation_checkpointing=true"),
        ("eval m -d x --workers 3", "ocrctl eval m -d x --jobs 3"),
        ("eval -m runs/last -d x", "ocrctl eval runs/last -d x"),
        ("eval words -m runs/last", "ocrctl eval -d words runs/last"),
        ("eval -m runs/last words", "ocrctl eval runs/last -d words"),
        ("export --checkpoint a.ckpt -o x", "ocrctl export a.ckpt -o x"),
        ("predict --source photos -m x", "ocrctl predict photos -m x"),
        ("dataset stats -d x", "ocrctl dataset stats x"),
        ("predict a.png --gpu", "ocrctl predict a.png --device cuda"),
        ("lmdb build a b --num-workers 2", "ocrctl lmdb build a b --jobs 2"),
        ("dataset synth out --style scene", "ocrctl dataset synth out --set synth.style=scene"),
        # no guess where nothing is known, or the value does not fit
        ("train --nonsense 3", "ocrctl train --help"),
        ("train --epochs", "ocrctl train --help"),
        ("eval m --epochs 3", "ocrctl eval --help"),
        ("train --precision fp64", "ocrctl train --help"),
        ("train --set nonsense=1", "ocrctl profile check --settings"),
    ],
)
def test_the_hint_is_the_whole_corrected_line(typed: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(typed.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1] == f"hint: {hint}"


def test_the_error_says_what_it_is_called_here(capsys: pytest.CaptureFixture[str]) -> None:
    run(["eval", "m", "--workers", "3"])
    assert capsys.readouterr().err.splitlines()[0] == "error: No such option: --workers. In ocrctl it is --jobs."
    run(["train", "--precision", "fp64"])
    assert "In ocrctl it is --set train.precision=auto|32-true|16-mixed|bf16-mixed." in capsys.readouterr().err
    run(["train", "--set", "train.learning_rate=1"])
    assert "Did you mean 'train.lr'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "near", "line"),
    [
        ("train --chraset a.txt", "--charset", "train --charset a.txt"),
        ("train --resum -o 'my run'", "--resume", "train --resume -o 'my run'"),
        ("predict x --formt=text", "--format", "predict x --format=text"),
        ("dataset clean x --remove-bda", "--remove-bad", "dataset clean x --remove-bad"),
    ],
)
def test_a_misspelt_option_is_corrected(typed: str, near: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(typed)) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.endswith(f". Did you mean {near}?") and "Possible" not in error
    assert hint == f"hint: ocrctl {line}"


def test_quotes_survive(capsys: pytest.CaptureFixture[str]) -> None:
    run(["train", "-d", "a b", "--lr", "1"])
    assert capsys.readouterr().err.splitlines()[-1] == "hint: ocrctl train -d 'a b' --set train.lr=1"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("OCRCTL_LR", "OCRCTL_TRAIN__LR"), ("OCRCTL_TRAIN__EPOCHS", "OCRCTL_TRAIN__MAX_EPOCHS")],
)
def test_variables_too(variable: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'"):
        check_environment({variable: "1"})
