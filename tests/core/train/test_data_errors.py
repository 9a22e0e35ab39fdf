"""A refused training names every reason at once, and the command that it suggests works as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.config.output_steps import output_steps
from ocrctl.core.train.data_errors import Fix, LabelPolicy, fitting_width, label_plan
from ocrctl.data.datasets.check_labels import LabelReport, check_labels
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import BUILTIN, Charset

TINY = get_spec("crnn-tiny")
LOWER = LabelPolicy(TINY, Charset.load("lower36"))


@pytest.fixture(autouse=True)
def talking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(console._state, "quiet", False)


class Labels:
    name = "gt.txt"

    def __init__(self, *labels: str) -> None:
        self.labels = list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def image_bytes(self, index: int) -> bytes:
        raise AssertionError("labels are checked without reading images")

    def where(self, index: int) -> str:
        return f"gt.txt:{index + 1}"


def report(*labels: str) -> LabelReport:
    return check_labels(Labels(*labels), LOWER.charset, TINY)


def write(folder: Path, labels: list[str], *, missing: tuple[int, ...] = ()) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(len(labels)):
        if number not in missing:
            cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (20, 60, 3), dtype=np.uint8))
    lines = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
    (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


def paste(command: str, *more: str) -> None:
    """Run a suggested command line, the training shortened."""
    parts = command.split(" && ")
    for part in parts:
        words = shlex.split(part)
        assert words[0] == "ocrctl"
        assert run([*words[1:], *(more if part == parts[-1] else ())]) == 0, part


SHORT = ["--set", "train.max_steps=1", "--set", "data.workers=0", "--set", "train.batch_size=2", "--set",
         "log.previews=0", "--set", "data.max_val_samples=2"]  # fmt: skip


def test_all_reasons_of_all_sources_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: five runs, each with the next reason."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a b", ["Grжыe", "ok", "x" * 40, "fine", "", "good"], missing=(1,))
    write(tmp_path / "b", ["Жber", "also", "this"])
    write(tmp_path / "val", ["Zы", "n" * 20])
    words = ["train", "crnn-tiny", "-d", "a b", "-d", str(tmp_path / "b"), "--val", "val", "-o", "run"]
    assert run(words) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert "for 4 reasons" in error and "1 of 6 images cannot be used, I001 missing x1 (such as" in error
    for part in ("1 with empty label", "2 with unknown characters", "'ж' x1", "'Ж' x1", "'ы' x1", "label too long"):
        assert part in error or part.replace("2 with", "1 with") in error, part
    assert "val/rec_gt.txt: of 2 samples" in error.replace(str(tmp_path) + "/", "")
    assert hint.startswith("hint: ocrctl lmdb build 'a b' 'a b.lmdb' && ocrctl dataset charset 'a b.lmdb' b val -o ")
    assert not (tmp_path / "run").exists()
    paste(hint.removeprefix("hint: "), *SHORT)
    assert (tmp_path / "run" / "best.ckpt").exists()


def test_a_built_in_charset_is_enough_where_one_holds_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "data", ["Exit", "OPEN", "24h"])
    assert run(["train", "-d", str(data), "--unknown-chars=refuse"]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"hint: ocrctl train -d {data} --unknown-chars=refuse --charset ascii94"
    )


def test_one_sample_gets_other_words_for_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "data", ["exit"])
    assert run(["train", "-d", str(data)]) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert "one sample cannot be split" in error and hint == f"hint: ocrctl train -d {data} --val synth:words"


def test_few_long_labels_are_left_out_and_many_widen_the_model() -> None:
    few = label_plan([report(*["word"] * 200, "x" * 30)], LOWER)
    assert (few.width, few.options()) == (None, ["--set", "data.bad_labels=skip"])
    many = label_plan([report(*["word"] * 20, *["some long line"] * 20, "ab" * 20, "xyz" * 12)], LOWER)
    assert many.width == 160 and not many.skip_bad and "--set" in many.options()
    assert many.spec.max_label_length >= 40 and output_steps(many.spec) >= 40
    endless = label_plan([report(*["y" * 300] * 5, "ok", "fine")], LOWER)
    assert endless.width is None and endless.skip_bad


def test_a_charset_that_was_given_is_kept_for_a_few_samples() -> None:
    given = LabelPolicy(TINY, LOWER.charset, charset_given=True)
    assert label_plan([report(*["word"] * 300, "Ж")], given).options() == ["--unknown-chars", "skip"]
    assert label_plan([report(*["word"] * 3, *["Ж"] * 30)], given).writes_charset


@pytest.mark.parametrize(("longest", "steps", "width"), [(25, 25, 112), (25, 40, 160), (32, 32, 128), (200, 20, None)])
def test_the_width_that_fits(longest: int, steps: int, width: int | None) -> None:
    assert fitting_width(TINY, longest, steps) == width


def test_what_lmdb_build_suggests_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: `next: ocrctl train -d words.lmdb`, refused for its charset, then for a label too long for CTC."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "words", ["서울", "Exit", "ok", "a" * 20, "fine"])
    assert run(["lmdb", "build", "words", "words.lmdb", "--jobs", "1"]) == 0
    log = capsys.readouterr().err.splitlines()
    assert "labels: longest 20 characters, letters: Latin 30, Hangul 2" in log
    assert any("3 characters outside the charset of crnn-tiny: 'E' x1" in line for line in log)
    assert any(line.startswith("training: 1 label too long for crnn-tiny") for line in log)
    assert log[-1] == (
        "next: ocrctl dataset charset words.lmdb -o words-charset.txt && ocrctl train -d words.lmdb "
        "--charset words-charset.txt --set data.bad_labels=skip"
    )
    paste(log[-1].removeprefix("next: "), *SHORT, "-o", "run")


def test_lmdb_build_tells_scripts_of_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    data = write(tmp_path / "one", ["exit"])
    assert run(["lmdb", "build", str(data), str(tmp_path / "out"), "--jobs", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["needs"] == {
        "arch": "crnn-tiny", "fit": 1, "outside": {}, "too_long": 0, "longest": 4, "longest_fitting": 13,
        "scripts": {"Latin": 4}, "command": None,
    }  # fmt: skip
    assert "next:" not in err


@pytest.mark.parametrize("given", [["--charset", "digits"], ["--charset=digits"]])
def test_the_hint_replaces_the_charset_that_was_given(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: the hint was `--charset digits --charset ascii94`."""
    data = write(tmp_path / "data", ["Exit", "OPEN", "24h"])
    assert run(["train", *given, "-d", str(data), "--set", "train.lr=1"]) == 3
    assert (
        capsys.readouterr().err.splitlines()[-1] == f"hint: ocrctl train -d {data} --set train.lr=1 --charset ascii94"
    )


def test_the_hint_replaces_the_width_that_was_given() -> None:
    fix = Fix(options=("--set", "model.width=256"))
    assert fix.command(["train", "--set", "model.width=64", "--set=model.width=96", "--set", "train.lr=1"]) == (
        "ocrctl train --set train.lr=1 --set model.width=256"
    )


def test_help_names_every_built_in_charset(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train"], ["model", "cut"]):
        assert run([*command, "--help"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert all(name in said for name in BUILTIN), command
