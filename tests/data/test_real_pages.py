"""Real page sets, where they are at hand: $OCRCTL_TEST_DATA, or the folder shared/data beside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ocrctl.core.dataset.split import listed_images
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.validate.run import run_rules

BENCH = Path(__file__).parents[2] / "benchmarks"
DATA = Path(os.environ.get("OCRCTL_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def unpack(name: str, folder: Path) -> Path:
    """The unpacked set `name`, or a skipped test."""
    archive = DATA / f"{name}.tar"
    if not archive.exists():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize(
    ("name", "format_name", "counts"),
    [("ic15_detection_train", "paddleocr-det", (1000, 11886, 7418)), ("sroie_train_60", "icdar15", (60, 3230, 0))],
)
def test_pages_hold_no_error(tmp_path: Path, name: str, format_name: str, counts: tuple[int, int, int]) -> None:
    data = open_annotations(str(unpack(name, tmp_path)))
    assert data.format == format_name and (len(data.images), len(data), int(data.ignore.sum())) == counts
    findings, scan = run_rules(data)
    assert findings.count("error") == 0 and (scan.sizes > 0).all()


@pytest.mark.slow
def test_every_fault_is_found_and_taken_back(tmp_path: Path) -> None:
    """Damaged as real sets are: recall and precision of 1, a clean that leaves no error, an undo of every byte."""
    folder = unpack("sroie_train_60", tmp_path)
    outcome = subprocess.run(
        [sys.executable, str(BENCH / "damage.py"), str(folder)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_hold_out_of_receipts(tmp_path: Path) -> None:
    data = open_annotations(str(unpack("sroie_train_60", tmp_path)))
    assert listed_images(data.images, BENCH / "sroie_holdout.txt").sum() == 20


def test_hold_out_of_photos_shares_no_rare_word(tmp_path: Path) -> None:
    folder, names = unpack("ic15_detection_train", tmp_path), BENCH / "ic15_holdout.txt"
    assert listed_images(open_annotations(str(folder)).images, names).sum() == 100
    command = [sys.executable, str(BENCH / "scene_groups.py"), str(folder), "--check", str(names)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    rare = next(line for line in outcome.stdout.splitlines() if line.startswith("rare word"))
    assert " have one, 0 share one" in rare
