"""`diagnose loader` and `diagnose cuda --check-loader`: sound data pass; each fault fails the row that names it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.core.diagnose.loader import diagnose_loader
from ocrctl.core.train.run import load_train_settings
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.lmdb import reader as lmdb
from ocrctl.diagnose import loader, loader_speed
from ocrctl.diagnose.checks import Check, with_examined
from ocrctl.diagnose.loader import check_processes
from ocrctl.diagnose.loader_speed import LoaderRun, check_speed, recommended, workers_check

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
    monkeypatch.setattr(loader_speed, "ROUND", 0.05)


def rows(checks: list[Check]) -> dict[str, Check]:
    assert all(row.examined and (row.status in ("ok", "skipped") or (row.meaning and row.fix)) for row in checks)
    return {row.name.removeprefix("loader "): row for row in checks}


def test_a_sound_lmdb_passes_however_its_processes_start(word_lmdb: Path) -> None:
    found = rows(check_processes(open_annotations(str(word_lmdb)), SHM))
    assert [found[name].status for name in ("samples", "fork", "spawn", "forkserver")] == ["ok"] * 4
    assert [found[name].status for name in ("LMDB handles", "shared memory", "open files")] == ["ok"] * 3
    assert (
        "12 samples from 2 processes" in found["fork"].detail and "6 loader processes" in found["LMDB handles"].detail
    )


def test_pages_are_checked_too(page_folder: Path, only_fork: None) -> None:
    found = rows(check_processes(open_annotations(f"icdar15:{page_folder}"), SHM))
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
        (killed, "it was reading"),
        (hanging, "no batch in 2 s: a loader process hangs"),
        (unreadable, "cut off"),
    ],
)
def test_a_fault_of_the_loader_processes_fails(
    fault: object, said: str, word_folder: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, fault)
    found = rows(check_processes(open_annotations(str(word_folder)), SHM, patience=2))
    assert found["samples"].status == "ok"
    assert found["fork"].status == "fail" and said in found["fork"].detail and found["fork"].fix


def test_a_killed_process_is_reported_with_its_sample(
    word_folder: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatal = (word_folder / "05.png").read_bytes()
    faulty(monkeypatch, lambda data: killed(data) if data == fatal else data)
    found = rows(check_processes(open_annotations(str(word_folder)), SHM))["fork"]
    assert found.status == "fail" and found.detail.endswith("rec_gt.txt:6 (05.png)")
    assert "is killed by signal: Killed; it was reading " in found.detail


def test_a_process_that_is_killed_before_it_reads_says_so(
    word_folder: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.Samples, "_note", lambda self, index: os.getpid() == PARENT or killed(b""))
    found = rows(check_processes(open_annotations(str(word_folder)), SHM))["fork"]
    assert found.status == "fail" and found.detail.endswith("is killed by signal: Killed; it had not read a sample yet")


def test_an_inherited_environment_fails(word_lmdb: Path, only_fork: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb, "close_environments", lambda: None)  # what runs before a fork: children now inherit
    found = rows(check_processes(open_annotations(str(word_lmdb)), SHM))
    monkeypatch.undo()
    lmdb.close_environments()
    assert found["LMDB handles"].status == "fail" and "2 of 2" in found["LMDB handles"].detail


def test_a_damaged_image_and_a_small_shared_memory_fail(tmp_path: Path, word_folder: Path, only_fork: None) -> None:
    found = rows(check_processes(open_annotations(str(word_folder)), (1 << 20, 1 << 20)))
    assert found["shared memory"].status == "fail" and "--shm-size" in found["shared memory"].fix
    (tmp_path / "rec_gt.txt").write_text("a.png\tword\n")
    (tmp_path / "a.png").write_bytes(b"no image")
    (row,) = check_processes(open_annotations(str(tmp_path)), SHM)
    assert row.status == "fail" and "a.png" in row.detail


def test_a_container_with_a_small_shared_memory_fails(word_folder: Path) -> None:
    """In a mount namespace of its own, where /dev/shm has 1 MiB."""
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*own, "sh", "true"], capture_output=True).returncode:
        pytest.skip("this system lets no user mount")
    command = [sys.executable, "-m", "ocrctl", "diagnose", "loader", "-d", str(word_folder), "--workers", "1", "--json"]
    done = subprocess.run([*own, "sh", *command, "--set", "data.workers=2"], capture_output=True, text=True)
    found = {row["name"]: row for row in json.loads(done.stdout)["checks"]}["loader shared memory"]
    assert done.returncode == 1 and found["status"] == "fail" and "of 1 MiB free in /dev/shm" in found["detail"]


def test_the_command_takes_a_spec_and_works_as_one_word(
    word_lmdb: Path, tmp_path: Path, only_fork: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["diagnose", "cuda"], ["diagnose-cuda"]):
        assert run([*words, "--check-loader", str(word_lmdb)]) == 0
        out, err = capsys.readouterr()
        assert "loader fork" in out and "onnxruntime" in out and "Loader: " in err
    assert run(["diagnose-cuda", "--check-loader", str(tmp_path / "none")]) == 3
    assert run(["diagnose", "cuda", "--check-loader", str(word_lmdb), "--set", "data.workers=1", "--json"]) == 0
    found = {row["name"]: row["detail"] for row in json.loads(capsys.readouterr().out)["checks"]}
    assert found["loader shared memory"].startswith("1 workers x 4 batches")
    capsys.readouterr()
    assert run(["--help"]) == 0
    assert "diagnose-cuda" not in capsys.readouterr().out


class Draws:
    """A stream of flat images whose brightness is a number that `shade` gives for a draw."""

    def __init__(self, shade: Any, size: int = 4) -> None:
        self.shade, self.size = shade, size

    def __getitems__(self, numbers: Any) -> Any:
        from ocrctl.data.datasets.recognition import WordBatch

        images = np.stack([np.full((8, 8, 1), self.shade(n), np.uint8) for n in numbers])
        labels = np.ones((len(images), 1), np.int64)
        return WordBatch(images, labels, labels[:, 0], np.asarray(list(numbers), np.int64))

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        return (0, n % self.size), f"words.txt:{n % self.size + 1}"


def of_process(n: int) -> int:
    return os.getpid() % 256  # as a random state that a fork copies


def of_draw(n: int) -> int:
    return n % 251


def of_sample(n: int) -> int:
    return n % 4


@pytest.mark.parametrize(
    ("shade", "said"),
    [(of_draw, ""), (of_process, "draw 0 (words.txt:1) differs"), (of_sample, "of one sample are augmented alike")],
)
def test_draws_that_depend_on_the_process_or_repeat_fail(shade: Any, said: str, only_fork: None) -> None:
    run_of = LoaderRun(Draws(shade), batch=4, workers=1, start_method="fork", augmented=True, epoch=4)
    found = rows(check_speed(run_of, 1, 30.0, cuda=False))
    assert found["seeds"].status == ("fail" if said else "ok") and said in found["seeds"].detail
    assert found["pin_memory"].status == "skipped" and found["throughput"].detail.startswith("images/s")


def test_the_lowest_number_of_processes_that_is_nearly_the_best_is_recommended() -> None:
    assert recommended({0: 100.0, 1: 190.0, 2: 198.0}) == 1
    assert recommended({0: 100.0, 1: 90.0}) == 0


def test_slow_storage_warns(only_fork: None) -> None:
    class Slow(Draws):
        def image_bytes(self) -> None:
            time.sleep(0.05)

        def __getitems__(self, numbers: Any) -> Any:
            self.image_bytes()
            return super().__getitems__(numbers)

    run_of = LoaderRun(Slow(of_draw), batch=4, workers=0, start_method="fork", augmented=False, epoch=None)
    found = rows(check_speed(run_of, 1, 30.0, cuda=False))
    assert found["time"].status == "warn" and "lmdb build" in found["time"].fix


def test_a_number_of_processes_far_below_the_best_warns() -> None:
    [few] = with_examined([workers_check(0, {0: 50.0, 1: 90.0, 2: 180.0})], loader_speed.EXAMINED)
    assert rows([few])["workers"].fix == "--set data.workers=2"
    assert workers_check(2, {0: 50.0, 1: 90.0, 2: 180.0}).status == "ok"
    [slower] = with_examined([workers_check(2, {0: 40.0, 1: 746.0, 2: 600.0})], loader_speed.EXAMINED)
    assert slower.status == "warn" and slower.fix == "--set data.workers=1"
    beyond = workers_check(4, {0: 50.0, 1: 90.0})
    assert beyond.detail == "data.workers=1 gives 90 images/s; the settings say 4, which was not measured"
    other = workers_check(4, {0: 90.0, 1: 80.0})
    assert other.detail.endswith("; the settings say 4, which was not measured; 1 gives 80/s")
    assert workers_check(1, {}).status == "skipped"


def test_few_open_files_fail(word_folder: Path, only_fork: None) -> None:
    found = rows(check_processes(open_annotations(str(word_folder)), SHM, 64))["open files"]
    assert found.status == "fail" and "ulimit -n" in found.fix


def test_the_command_reports_stages_and_a_number_of_processes(
    page_folder: Path, only_fork: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "page.height=64", "--set", "page.width=64"]
    assert run(["diagnose", "loader", "-d", f"icdar15:{page_folder}", *sets, "--workers", "1", "--json"]) == 0
    found = {row["name"].removeprefix("loader "): row for row in json.loads(capsys.readouterr().out)["checks"]}
    assert all(stage in found["time"]["detail"] for stage in ("read", "decode", "augment", "targets", "collate"))
    assert found["seeds"]["status"] == "ok" and "data.workers=" in found["workers"]["detail"]
    assert run(["diagnose", "loader"]) == 2
    assert run(["diagnose", "loader", "-d", f"icdar15:{page_folder}", "--arch", "crnn"]) == 2
    assert "crnn cannot load" in capsys.readouterr().err


def test_progress_counts_every_timed_check_and_a_profile_for_words_suits_pages(
    page_folder: Path, only_fork: None
) -> None:
    sets = ["page.height=64", "page.width=64", "train.batch_size=2"]
    settings = load_train_settings(["rtx3060"], sets, {"data": {"train": [f"icdar15:{page_folder}"]}})
    assert settings.arch == "crnn"
    seen: list[tuple[int, int]] = []
    found = diagnose_loader(settings, 1, on_step=lambda done, total: seen.append((done, total)))
    total = len(loader.METHODS) + 2 + 2  # start methods as imported; seeds and time; rates with 0 and 1 process
    assert not found.failed and seen == [(done, seen[0][1]) for done in range(len(seen))]
    assert seen[-1][0] == total and "targets" in {row.name: row for row in found.checks}["loader time"].detail


def test_ctrl_c_while_processes_start_prints_no_traceback(word_folder: Path) -> None:
    code = (
        "import signal\n"
        "from ocrctl.data.datasets.loader import training_loader\n"
        "from tests.diagnose.test_loader import Draws, of_draw\n"
        "if __name__ == '__main__':\n"
        "    loader = training_loader(Draws(of_draw), batch_size=2, start=0, workers=1, start_method='spawn')\n"
        "    signal.signal(signal.SIGINT, lambda *_: None)\n"
        "    print('started', flush=True)\n"
        "    print(len(next(loader)['images']))\n"
        "    loader.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(0.3)  # its loader process imports torch now
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "2\n", "")
