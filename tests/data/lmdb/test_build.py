from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from ocrctl.core.lmdb.run import BuildOptions, build_lmdb, describe_lmdb, verify_lmdb
from ocrctl.data.formats.spec import open_source
from ocrctl.data.lmdb.build import build
from ocrctl.data.lmdb.reader import LmdbWords, close_environments
from ocrctl.data.lmdb.writer import CommitThread, LmdbWriter
from ocrctl.errors import InputError, ResumableStop, UsageError
from ocrctl.files import lock
from ocrctl.files.folder import partial_folder
from ocrctl.files.lock import exclusive_lock


def picture(number: int, suffix: str = ".png") -> bytes:
    """A small image unlike the others."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def words(folder: Path, labels: list[str], broken: dict[int, bytes | None] | None = None) -> Path:
    """A PaddleOCR folder; `broken` replaces images, None leaves one out."""
    folder.mkdir()
    files = {number: picture(number) for number in range(len(labels))} | (broken or {})
    for number, data in files.items():
        if data is not None:
            (folder / f"{number}.png").write_bytes(data)
    lines = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
    (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


def content(path: Path) -> dict[bytes, bytes]:
    """Every key and value, read as other toolkits do."""
    close_environments()
    environment = lmdb.open(str(path), max_readers=32, readonly=True, lock=False, readahead=False, meminit=False)
    with environment.begin() as transaction:
        found = dict(transaction.cursor())
    environment.close()
    return found


@pytest.fixture
def forty(tmp_path: Path) -> Iterator[Path]:
    yield words(tmp_path / "words", [f"label {number} é한" for number in range(40)])
    close_environments()


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_layout_is_the_fields(tmp_path: Path, forty: Path, jobs: int) -> None:
    report = build_lmdb(BuildOptions(str(forty), tmp_path / "out", jobs=jobs))
    found = content(tmp_path / "out")
    assert report.written == report.samples == 40 and not report.left_out
    assert len(found) == 81 and found[b"num-samples"] == b"40"
    assert found[b"label-000000001"].decode() == "label 0 é한"
    assert found[b"image-000000040"] == picture(39)
    assert not partial_folder(tmp_path / "out").exists()
    source = open_source(str(tmp_path / "out"))
    assert source.labels[39] == "label 39 é한" and source.image_bytes(0) == picture(0)
    assert verify_lmdb(tmp_path / "out", jobs=1).ok


def test_files_of_other_toolkits_open_here(tmp_path: Path) -> None:
    """Written as clovaai's create_lmdb_dataset.py writes: images and labels mixed, a map of one terabyte."""
    environment = lmdb.open(str(tmp_path / "theirs"), map_size=1 << 40)
    with environment.begin(write=True) as transaction:
        for number in (1, 2, 3):
            transaction.put(b"image-%09d" % number, picture(number, ".jpg"))
            transaction.put(b"label-%09d" % number, f"w{number}".encode())
        transaction.put(b"num-samples", b"3")
    environment.close()
    source = open_source(str(tmp_path / "theirs"))
    assert source.labels == ["w1", "w2", "w3"] and source.image_bytes(2) == picture(3, ".jpg")
    assert verify_lmdb(tmp_path / "theirs", jobs=1).ok
    again = build_lmdb(BuildOptions(str(tmp_path / "theirs"), tmp_path / "ours", jobs=1))
    assert again.written == 3


def test_bad_samples_are_left_out_with_their_reason_and_line(tmp_path: Path) -> None:
    labels = ["good", "", "x" * 30, "nul\0", "cut", "noise", "empty", "gone", "good too", "again", "other"]
    broken = {4: picture(4, ".jpg")[:-20], 5: b"not a picture", 6: b"", 7: None, 9: picture(0), 10: picture(0)}
    folder = words(tmp_path / "words", labels, broken)
    report = build_lmdb(BuildOptions(str(folder), tmp_path / "out", jobs=1, max_label_length=25))
    reasons = {problem.index: problem.reason for problem in report.left_out}
    assert list(reasons) == [1, 2, 3, 4, 5, 6, 7]
    for index, word in enumerate(
        ["empty", "30 characters, the limit is 25", "U+0000", "cut off", "decoded", "empty"], 1
    ):
        assert word in reasons[index]
    assert "missing" in reasons[7] and "rec_gt.txt:8 (7.png)" in report.left_out[6].where
    assert sum(report.reasons.values()) == 7 and report.reasons["image empty or cut off"] == 2
    assert LmdbWords(tmp_path / "out").labels == ["good", "good too", "again", "other"]
    assert [problem.index for problem in report.repeated] == [9, 10]
    assert "rec_gt.txt:1" in report.repeated[0].reason and "under another label, 'good'" in report.repeated[1].reason


def test_nothing_good_leaves_nothing(tmp_path: Path) -> None:
    folder = words(tmp_path / "words", ["a", "b"], {0: b"no", 1: b"no"})
    with pytest.raises(InputError, match="all 2 samples are invalid"):
        build_lmdb(BuildOptions(str(folder), tmp_path / "out", jobs=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words"]


def test_the_map_grows_by_need(tmp_path: Path, forty: Path) -> None:
    build(open_source(str(forty)), tmp_path / "out", map_size=1 << 15, commit_bytes=1000)
    assert len(content(tmp_path / "out")) == 81
    assert (tmp_path / "out" / "data.mdb").stat().st_size > 1 << 15


def test_what_stands_in_the_way_is_refused(tmp_path: Path, forty: Path) -> None:
    out = tmp_path / "out"
    build_lmdb(BuildOptions(str(forty), out, jobs=1))
    with pytest.raises(UsageError, match="exists already"):
        build_lmdb(BuildOptions(str(forty), out, jobs=1))
    with pytest.raises(UsageError, match="no LMDB folder"):
        build_lmdb(BuildOptions(str(out), forty, jobs=1, overwrite=True))
    with pytest.raises(UsageError, match="both source and target"):
        build_lmdb(BuildOptions(str(out), out, jobs=1, overwrite=True))
    two = words(tmp_path / "two", ["a", "b"])
    reader = LmdbWords(out)
    build_lmdb(BuildOptions(str(two), out, jobs=1, overwrite=True))
    assert len(content(out)) == 5 and sorted(path.name for path in out.iterdir()) == ["data.mdb"]
    assert reader.image_bytes(0) == picture(0)


def stop_after(chunks: int) -> Callable[[], bool]:
    """A `stopping` that turns true at the given chunk."""
    calls = iter([False] * (chunks - 1) + [True])
    return lambda: next(calls)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_build_goes_on_to_the_same_file(
    tmp_path: Path, forty: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrctl.data.lmdb.check.CHUNK", 8)
    (forty / "3.png").write_bytes(b"broken")
    (forty / "30.png").write_bytes(b"broken")
    source, out = open_source(str(forty)), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        build(source, out, jobs=jobs, stopping=stop_after(2))
    assert not out.exists() and partial_folder(out).exists()
    with pytest.raises(UsageError, match="interrupted build"):
        build(source, out)
    with pytest.raises(UsageError, match="other samples"):
        build(open_source(str(words(tmp_path / "two", ["a", "b"]))), out, resume=True)
    result = build(source, out, jobs=jobs, resume=True)
    assert result.resumed_from == 16 and result.written == 38
    assert [problem.index for problem in result.left_out] == [3, 30]
    build(source, tmp_path / "at once", jobs=jobs)
    assert content(out) == content(tmp_path / "at once")


def test_a_signal_keeps_what_was_done(tmp_path: Path, forty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrctl.data.lmdb.check.CHUNK", 8)
    for number in (signal.SIGINT, signal.SIGTERM):
        out = tmp_path / str(int(number))
        with pytest.raises(KeyboardInterrupt) as caught:
            build_lmdb(
                BuildOptions(str(forty), out, jobs=1), lambda done, total, number=number: os.kill(os.getpid(), number)
            )
        assert caught.value.args == (number,)
        report = build_lmdb(BuildOptions(str(forty), out, jobs=1, resume=True))
        assert report.resumed_from in (8, 16) and report.written == 40


def test_a_killed_build_goes_on(tmp_path: Path, forty: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; import ocrctl.data.lmdb.check as c; c.CHUNK = 8\n"
        "from ocrctl.data.lmdb.build import build; from ocrctl.data.formats.spec import open_source\n"
        "die = lambda done, total: os.kill(os.getpid(), 9) if done >= 24 else None\n"
        "build(open_source(sys.argv[1]), Path(sys.argv[2]), progress=die, commit_bytes=1)\n"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", script, str(forty), str(out)], cwd=Path(__file__).parents[3])
    assert done.returncode == -9
    result = build(open_source(str(forty)), out, resume=True)
    assert result.written == 40 and result.resumed_from >= 8
    assert verify_lmdb(out, jobs=1).ok


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_stops_the_build_resumably(tmp_path: Path, forty: Path) -> None:
    """A limit on the size of files fails writes in the same place as a full disk."""
    script = (
        "import resource, sys; from pathlib import Path; import ocrctl.data.lmdb.check as c; c.CHUNK = 8\n"
        "from ocrctl.data.lmdb.build import build; from ocrctl.data.formats.spec import open_source\n"
        "from ocrctl.errors import ResumableStop\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try: build(open_source(sys.argv[1]), Path(sys.argv[2]), jobs=int(sys.argv[3]), commit_bytes=1)\n"
        "except ResumableStop as stop: print(stop.message, stop.hint, sep='\\n')\n"
    )
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        done = subprocess.run(
            [sys.executable, "-c", script, str(forty), str(out), jobs],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "writing failed after" in done.stdout and "--resume" in done.stdout and not done.stderr
        assert not out.exists()
        result = build(open_source(str(forty)), out, resume=True)
        assert result.written == 40 and 0 < result.resumed_from < 40
        assert verify_lmdb(out, jobs=1).ok


def test_an_unwritable_place_is_named(tmp_path: Path, forty: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        build_lmdb(BuildOptions(str(forty), tmp_path / "file" / "out", jobs=1))


def test_errors_of_the_writer_are_resumable(tmp_path: Path, forty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = lmdb.open

    class Full:
        def __init__(self, *args: object, **options: object) -> None:
            self._environment = real(*args, **options)

        def begin(self, write: bool = False) -> object:
            if write:
                raise lmdb.DiskError("mdb_txn_commit: No space left on device")
            return self._environment.begin()

        def close(self) -> None:
            self._environment.close()

    monkeypatch.setattr("ocrctl.data.lmdb.writer.lmdb.open", Full)
    with pytest.raises(ResumableStop, match="No space left on device"):
        build(open_source(str(forty)), tmp_path / "out")


def test_info_counts(tmp_path: Path, forty: Path) -> None:
    build_lmdb(BuildOptions(str(forty), tmp_path / "out", jobs=1))
    stats = describe_lmdb(tmp_path / "out").labels
    assert stats.samples == 40 and stats.lengths == {10: 10, 11: 30} and stats.characters["한"] == 40


def test_a_second_build_of_the_same_out_is_refused(tmp_path: Path, forty: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ocrctl.files.lock import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()\n"
    )
    out = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(partial_folder(out))],
        cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == b"locked\n"
    for resume in (False, True):
        with pytest.raises(UsageError, match=f"being written by process {other.pid}"):
            build(open_source(str(forty)), out, resume=resume)
    other.kill()
    other.communicate()
    assert build(open_source(str(forty)), out).written == 40  # a lock does not outlive its process
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "words"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_worker_does_not_keep_the_lock_of_a_killed_build(tmp_path: Path) -> None:
    target = tmp_path / "out.partial"
    with exclusive_lock(target):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, b"!")
            signal.pause()
            os._exit(0)
        os.read(reading, 1)
        # As if this process were gone: its descriptors closed, the file left behind.
        for handle in list(lock._held):
            os.dup2(os.open(os.devnull, os.O_RDWR), handle)
        try:
            with exclusive_lock(target):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_whole_but_unrenamed_build_is_not_gone_on_with(
    tmp_path: Path, forty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds no state, so nothing tells whose images these are."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("ocrctl.data.lmdb.build.publish", lambda claimed, out: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            build(open_source(str(forty)), out)
    other = words(tmp_path / "other", ["a", "b", "c"], {0: picture(100), 1: picture(101), 2: picture(102)})
    assert build(open_source(str(other)), out, resume=True).written == 3
    found = content(out)
    assert len(found) == 7 and found[b"image-000000001"] == picture(100) and found[b"label-000000001"] == b"a"


def test_the_folder_one_stands_in(tmp_path: Path, forty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (".", "..", "/"):
        with pytest.raises(UsageError, match="no LMDB folder"):
            build(open_source(str(forty)), Path(out))


def test_a_dying_process_is_named_and_keeps_the_rest(
    tmp_path: Path, forty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrctl.data.lmdb.check.CHUNK", 8)
    deadly = picture(35)
    (forty / "35.png").write_bytes(deadly)
    monkeypatch.setattr(
        "ocrctl.data.images.decode.decode_problem",
        lambda data: os.kill(os.getpid(), signal.SIGKILL) if data == deadly else "",
    )
    source, out = open_source(str(forty)), tmp_path / "out"
    with pytest.raises(InputError, match="a process died"):
        build(source, out, jobs=2, commit_bytes=1)
    monkeypatch.undo()
    assert partial_folder(out).exists() and build(source, out, resume=True).written == 40


@pytest.mark.parametrize("damage", ["cut", "meta", "tree"])
def test_a_damaged_build_is_not_gone_on_with(
    tmp_path: Path, forty: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library maps the file and trusts it: with half of it gone, it ended the process."""
    monkeypatch.setattr("ocrctl.data.lmdb.check.CHUNK", 8)
    source, out = open_source(str(forty)), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        build(source, out, jobs=1, stopping=stop_after(2))
    file = partial_folder(out) / "data.mdb"
    data = bytearray(file.read_bytes())
    if damage == "cut":
        del data[3 * 4096 :]
    elif damage == "meta":
        data[16:20] = data[4112:4116] = b"none"
    else:
        data[2 * 4096 :] = bytes(len(data) - 2 * 4096)
    file.write_bytes(data)
    with pytest.raises(InputError) as raised:
        build(source, out, resume=True)
    assert str(partial_folder(out)) in raised.value.message and "--overwrite" in str(raised.value.hint)
    assert build(source, out, overwrite=True).written == 40


def test_the_hint_of_a_full_disk_is_the_writers(tmp_path: Path) -> None:
    """`dataset crop` and `convert` have no --resume; `lmdb build` has (above)."""

    def fails(transaction: lmdb.Transaction) -> None:
        raise lmdb.Error("mdb_txn_commit: No space left on device")

    for options, hint in (({}, "free some space and run the command again"), ({"full_disk_hint": "go on"}, "go on")):
        with LmdbWriter(tmp_path / "out", **options) as writer, pytest.raises(ResumableStop) as caught:
            writer._commit(fails)
        assert caught.value.hint == hint


def test_a_commit_returns_once_its_pages_are_filled_or_have_failed(tmp_path: Path) -> None:
    """Decoding goes on while the disk is waited for, not before: and an error of the writer must not wait for ever."""
    with LmdbWriter(tmp_path / "out") as writer, CommitThread(writer) as commits:
        commits.add([b"one", b"two"])
        assert commits.size == 6
        commits.begin({"done": 2})
        assert commits.size == 0
        commits.wait()
        assert writer.written == 2 and list(writer.images()) == [b"one", b"two"]
        commits.add([b"three"])
        writer.close()
        commits.begin({"done": 3})
        with pytest.raises(ResumableStop, match="writing failed"):
            commits.wait()
