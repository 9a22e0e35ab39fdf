"""Outputs in a folder that may not be written to: a named error at once, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrctl.cli.app import run

COMMANDS = {
    "train": "train crnn-tiny -d {data} -o {out}",
    "predict": "predict {data} -m {model} -o {out} --device cpu",
    "export": "export {model} -o {out}",
    "lmdb build": "lmdb build {data} {out} --jobs 1",
    "dataset synth": "dataset synth {out} --count 1",
    "dataset clean": "dataset clean {read_only} --repair --remove-bad",
}


@pytest.fixture
def read_only(word_folder: Path, tiny_checkpoint: Path) -> Iterator[dict[str, Path]]:
    """Paths for COMMANDS, `out` in a folder without write permission; where the tests run as root, as another user."""
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        shutil.copytree(word_folder, base / "data")
        (base / "data" / "bad.png").write_bytes(b"no image")
        with (base / "data" / "rec_gt.txt").open("a", encoding="utf-8") as file:
            file.write("bad.png\tx\n")
        shutil.copytree(base / "data", base / "closed" / "data")
        shutil.copy(tiny_checkpoint, base / "model.ckpt")
        paths = {"data": base / "data", "model": base / "model.ckpt"}
        for name, command in COMMANDS.items():  # all modules are imported before the user changes
            out = paths["model"] if name == "train" else base / name.replace(" ", "-")  # train refuses a file
            warm = {**paths, "out": out, "read_only": base / "data"}
            assert run([word.format(**warm) for word in command.split()]) in (0, 1, 2), name
        for folder in (base, base / "data"):
            folder.chmod(0o755)
        (base / "closed" / "data").chmod(0o555)
        (base / "closed").chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield {**paths, "out": base / "closed" / "out", "read_only": base / "closed" / "data"}
        finally:
            if root:
                os.seteuid(0)
            (base / "closed").chmod(0o755)
            (base / "closed" / "data").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_a_folder_without_permission_is_named(read_only: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = sorted(read_only["read_only"].parent.rglob("*"))
    for name, command in COMMANDS.items():
        assert run([word.format(**read_only) for word in command.split()]) == 3, name
        out, err = capsys.readouterr()
        clean = name == "dataset clean"
        path, where = (read_only["read_only"], "") if clean else (read_only["out"], f" in {read_only['out'].parent}")
        assert len(err.splitlines()) > 1, err
        last, hint = err.splitlines()[-2:]
        assert last == f"error: {path}: cannot be written (Permission denied{where}).", name
        assert hint == "hint: name another path, or change the permissions" and "Traceback" not in err and not out
    assert sorted(read_only["read_only"].parent.rglob("*")) == before
