"""Real word sets, where they are at hand: $OCRCTL_TEST_DATA, or the folder shared/data beside the checkout."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from ocrctl.core.lmdb.run import BuildOptions, build_lmdb, verify_lmdb
from ocrctl.data.formats.spec import open_source

DATA = Path(os.environ.get("OCRCTL_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def unpack(name: str, folder: Path) -> Path:
    """The unpacked word set `name`, or a skipped test."""
    archive = DATA / f"{name}.tar"
    if not archive.exists():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def test_icdar_2015_words(tmp_path: Path) -> None:
    source = open_source(str(unpack("ic15_words_train", tmp_path)))
    assert len(source) == 4468
    assert source.labels[:2] == ["Genaxis Theatre", "[06]"] and source.labels[1012] == 'READER"'
    assert len(source.image_bytes(4467)) > 100


def test_vintext_words_to_lmdb(tmp_path: Path) -> None:
    folder = unpack("vintext_words_train", tmp_path / "words")
    report = build_lmdb(BuildOptions(str(folder), tmp_path / "out", jobs=2))
    assert (report.samples, report.written, report.reasons) == (3000, 2999, {"empty label": 1})
    assert "rec_gt.txt:1451" in report.left_out[0].where
    assert open_source(str(tmp_path / "out")).labels[0] == "đậm"
    assert verify_lmdb(tmp_path / "out", jobs=2).ok
