"""`diagnose cuda --check-loader`: sound data pass; each planted fault fails the row that names it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.lmdb import reader as lmdb
from ocrctl.diagnose import loader
from ocrctl.diagnose.checks import Check
from ocrctl.diagnose.loader import diagnose_loader

pytestmark = pytest.mark.posix  # forked loader processes

SHM = (1 << 30, 1 << 30)
PARENT = os.getpid()


@pytest.fixture(scope="module")
def word_lmdb(word_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "words.lmdb"
    assert run(["lmdb", "build", str(word_folder), str(out), "--jobs", "1", "-q"]) == 0
    return out


@pytest.fixture
def only_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spawned processes import everything again: no test of one fault needs them."""
    monkeypatch.setattr(loader, "METHODS", ("fork",))
    monkeypatch.setattr(loader, "ROUND", 0.1)


def rows(checks: list[Check]) -> dict[str, Check]:
    return {row.name.removeprefix("loader "): row for row in checks}


def test_a_sound_lmdb_passes_forked_and_spawned(word_lmdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "ROUND", 0.1)
    found = rows(diagnose_loader(open_annotations(str(word_lmdb)), SHM))
    assert [found[name].status for name in ("samples", "fork", "spawn", "LMDB handles", "shared memory")] == ["ok"] * 5
    assert (
        "12 samples from 2 processes" in found["fork"].detail and "4 loader processes" in found["LMDB handles"].detail
    )
    assert "samples/s from 2 loader processes" in found["throughput"].detail


def test_pages_are_checked_too(page_folder: Path, only_fork: None) -> None:
    found = rows(diagnose_loader(open_annotations(f"icdar15:{page_folder}"), SHM))
    assert found["fork"].status == "ok" and found["LMDB handles"].status == "skipped"
    # 4 batches x 2 workers x 64 pages of 640x640x3 bytes
    assert found["shared memory"].status == "warn" and "need 600 MiB" in found["shared memory"].detail


def faulty(monkeypatch: pytest.MonkeyPatch, fault: object) -> None:
    """Let `fault(bytes)` answer for every image that a loader process reads."""
    read = Annotations.image_bytes
    monkeypatch.setattr(
        Annotations,
        "image_bytes",
        lambda self, image: fault(read(self, image)) if os.getpid() != PARENT else read(self, image),  # type: ignore[operator]
    )


def other_bytes(data: bytes) -> bytes:
    import cv2
    import numpy as np

    return bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1])


def killed(data: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return data


def hanging(data: bytes) -> bytes:
    time.sleep(600)
    return data


def unreadable(data: bytes) -> bytes:
    return data[:40]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (other_bytes, "sample 1 differs from what this process reads"),
        (killed, "DataLoader worker"),
        (hanging, "no batch in 2 s: a loader process hangs"),
        (unreadable, "cut off"),
    ],
)
def test_a_fault_of_the_loader_processes_fails(
    fault: object, said: str, word_folder: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, fault)
    found = rows(diagnose_loader(open_annotations(str(word_folder)), SHM, patience=2))
    assert found["samples"].status == "ok"
    assert found["fork"].status == "fail" and said in found["fork"].detail and found["fork"].fix


def test_an_inherited_environment_fails(word_lmdb: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb, "close_environments", lambda: None)  # what runs before a fork: children now inherit
    found = rows(diagnose_loader(open_annotations(str(word_lmdb)), SHM))
    monkeypatch.undo()
    lmdb.close_environments()
    assert found["LMDB handles"].status == "fail" and "2 of 2" in found["LMDB handles"].detail


def test_a_damaged_image_and_a_small_shared_memory_fail(tmp_path: Path, word_folder: Path, only_fork: None) -> None:
    found = rows(diagnose_loader(open_annotations(str(word_folder)), (1 << 20, 1 << 20)))
    assert found["shared memory"].status == "fail" and "--shm-size" in found["shared memory"].fix
    (tmp_path / "rec_gt.txt").write_text("a.png\tword\n")
    (tmp_path / "a.png").write_bytes(b"no image")
    (row,) = diagnose_loader(open_annotations(str(tmp_path)), SHM)
    assert row.status == "fail" and "a.png" in row.detail


def test_the_command_takes_a_spec_and_works_as_one_word(
    word_lmdb: Path, tmp_path: Path, only_fork: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["diagnose", "cuda"], ["diagnose-cuda"]):
        assert run([*words, "--check-loader", str(word_lmdb)]) == 0
        out, err = capsys.readouterr()
        assert "loader fork" in out and "onnxruntime" in out and "Loader: " in err
    assert run(["diagnose-cuda", "--check-loader", str(tmp_path / "none")]) == 3
    capsys.readouterr()
    assert run(["--help"]) == 0
    assert "diagnose-cuda" not in capsys.readouterr().out
