"""A run folder that was damaged: resume reads what is valid, names what is not, and trains on nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import InputError, OcrctlError, ResumableStop, UsageError
from ocrctl.training.metrics_file import DAMAGED
from ocrctl.training.metrics_rows import read_rows

SETS = ["train.max_steps=4", "train.val_every_steps=2", "train.log_every_steps=1", "train.batch_size=2",
        "data.workers=0", "data.max_val_samples=2", "train.threads=1", "log.previews=1"]  # fmt: skip


def go(out: Path, *sets: str, resume: bool = False) -> list[str]:
    lines: list[str] = []
    tree = {} if resume else {"arch": "crnn-tiny", "data": {"train": ["synth:words"]}}
    train(TrainRequest(load_train_settings(None, [*([] if resume else SETS), *sets], tree), out, resume), lines.append)
    return lines


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    out = tmp_path_factory.mktemp("damage") / "run"
    go(out)
    return out


@pytest.mark.parametrize("over", [False, True], ids=["goes on", "is over"])
def test_damaged_metrics_do_not_end_a_run(four: Path, tmp_path: Path, over: bool) -> None:
    run = tmp_path / "run"
    shutil.copytree(four, run)
    path = run / "metrics.csv"
    header, *rows = path.read_bytes().splitlines(keepends=True)
    rows = [row.rstrip() + b",mine\r\n" for row in rows]
    path.write_bytes(b"\xef\xbb\xbf" + header.rstrip() + b",note\r\n" + b"".join(rows) + b"4,1\r\n" + b"\0" * 500)
    lines = go(run, f"train.max_steps={4 if over else 6}", resume=True)
    (told,) = [line for line in lines if "damaged lines" in line]
    assert "expected 12 fields, found 2" in told and "found NUL bytes" in told
    found = read_rows(path)
    assert [row["note"] for row in found.rows if int(row["step"]) <= 4] == ["mine"] * len(rows)
    if not over:
        assert not found.damage and (run / DAMAGED).exists() and found.rows[-1]["step"] == "6"


def emptied(run: Path) -> None:
    (run / "config.toml").write_text("")


def cut(run: Path) -> None:
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text[: text.index("[page]")])


def zeroed(run: Path) -> None:
    (run / "config.toml").write_bytes(b"\0" * 300)


def gone(run: Path) -> None:
    (run / "config.toml").unlink()


def of_other_kind(run: Path) -> None:
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('arch = "crnn-tiny"', "arch = 5"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (emptied, "config.toml: damaged, it lacks arch, seed, train, data, synth, page, model, log"),
        (cut, "config.toml: damaged, it lacks page, model, log"),
        (zeroed, "config.toml: not a TOML file"),
        (gone, "holds last.ckpt, but no config.toml"),
        (of_other_kind, "config.toml: arch: input should be a valid string, found 5"),
    ],
)
def test_a_damaged_config_is_refused(four: Path, tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(four, run)
    damage(run)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(OcrctlError, match=said) as caught:
        go(run, resume=True)
    assert caught.value.exit_code == 3
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    with pytest.raises(UsageError, match="already holds a run"):
        go(run)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"a": 1}', '{"a"', "[" * 100_000, "\0\0"])
def test_damaged_fingerprints_are_named(four: Path, tmp_path: Path, text: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(four, run)
    (run / "data.json").write_text(text)
    with pytest.raises(InputError, match=r"data.json: (cannot be read|expected a JSON object)") as caught:
        go(run, "train.max_steps=5", resume=True)
    assert "delete the file" in (caught.value.hint or "")
    (run / "data.json").unlink()
    assert any("data.json is missing" in line for line in go(run, "train.max_steps=5", resume=True))
    assert isinstance(json.loads((run / "data.json").read_text()), dict)


def test_a_full_disk_keeps_the_checkpoint_before(four: Path, tmp_path: Path) -> None:
    """On a file system of one MiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = sum(path.stat().st_size for path in four.rglob("*") if path.is_file())
    options = f"size={size + 100_000}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        shutil.copytree(four, disk / "run")
        before = (disk / "run" / "last.ckpt").read_bytes()
        with pytest.raises(ResumableStop, match="the disk is full"):
            go(disk / "run", "train.max_steps=6", resume=True)
        assert (disk / "run" / "last.ckpt").read_bytes() == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)
