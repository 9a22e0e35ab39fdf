"""Backup copies are refused, by name, wherever they lie; the repository itself holds none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = ROOT / ".ci" / "no_backups.py"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, LINT, root], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_repository_holds_no_backup_copy() -> None:
    done = lint(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_kind_is_found_tracked_or_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    bad = ["train.py.bak", "a/model_old.py", "a/model_old2.py", "model_backup.toml", "x.orig", ".backup/any.py"]
    bad += ["notes.md~", "b_backup/any.py"]
    good = ["holdout.txt", "a/threshold.py", "older.py", "model_older.py", "a/backup.py", "orig.py", "bak/any.py"]
    for name in [*bad, *good]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    subprocess.run(["git", "-C", tmp_path, "add", "-f", "train.py.bak"], check=True)  # the others are untracked
    done = lint(tmp_path)
    assert done.returncode == 1
    assert sorted(line.partition(": ")[0] for line in done.stderr.splitlines()) == sorted(bad)
