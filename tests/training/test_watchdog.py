"""A hanging step or loader is named, with the Python stacks of all processes, and ends the run where that is set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ocrctl.config.settings import WatchdogSettings
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.datasets.loader import StartedLoader, training_loader
from ocrctl.data.datasets.recognition import TrainingWords
from ocrctl.training.metrics_rows import read_rows
from ocrctl.training.watchdog import Stalled, Watchdog, stack_files

pytestmark = pytest.mark.posix


class Numbers:
    """Batches that hold the process id; from draw 4 on they take long."""

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        if numbers[0] >= 4:
            hang_in_the_worker()
        images = np.full((len(numbers), 1, 1, 1), 0, np.uint8)
        return SimpleNamespace(images=images, ids=np.array([os.getpid()] * len(numbers)))


def hang_in_the_worker() -> None:
    time.sleep(30)


def wait_for(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    limit = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < limit:
        time.sleep(0.02)
    return value


@pytest.fixture
def loader() -> Any:
    opened = training_loader(Numbers(), batch_size=2, start=0, workers=2)
    yield opened
    opened.close()


def watchdog(
    run: Path, lines: list[str], workers: StartedLoader | None = None, *, abort: bool = False, seconds: float = 0.2
) -> Watchdog:
    settings = WatchdogSettings(step_seconds=seconds, loader_seconds=seconds, abort=abort)
    return Watchdog(run, settings, workers, lines.append, lambda: 2)


def test_stacks_of_all_processes_are_written(tmp_path: Path, loader: StartedLoader) -> None:
    lines: list[str] = []
    pids = {int(next(loader)["ids"][0]) for _ in range(2)}
    with watchdog(tmp_path, lines, loader) as watched:
        watched.enter("loader")
        assert wait_for(lambda: lines)
        watched.enter("step")
        assert wait_for(lambda: len(lines) > 2)
    path = tmp_path / "stacks" / "step-0000002-loader.txt"
    text = path.read_text()
    assert lines[0].startswith("watchdog: step 3 has waited 0 s for a batch (watchdog.loader_seconds=0.2); stacks of "
                               f"the training process and 2 loader processes: {path};")  # fmt: skip
    assert lines[1].startswith("watchdog: the wait for a batch ended after ")
    assert lines[2].startswith("watchdog: step 3 has taken 0 s (watchdog.step_seconds=0.2)")
    own, *workers = text.split("\n== loader process ")
    assert "test_stacks_of_all_processes_are_written" in own and f"== training process {os.getpid()}" in own
    assert {int(part.split()[0]) for part in workers} == pids
    assert all("hang_in_the_worker" in part and "__getitems__" in part for part in workers)
    assert [found.name for found in stack_files(tmp_path)] == ["step-0000002-loader.txt", "step-0000002-step.txt"]


def test_it_reports_at_the_limit_and_at_each_doubling(tmp_path: Path) -> None:
    lines: list[str] = []
    watched = watchdog(tmp_path, lines)
    watched._now = ("step", 100.0)
    for moment in (100.1, 100.21, 100.3, 100.41, 100.7, 100.81, 101.0):
        watched._check(moment)
    assert len(lines) == 3
    watched.enter("validation")
    watched._check(time.monotonic())
    assert lines[3].startswith("watchdog: the step ended after ") and len(lines) == 4


def test_a_step_within_its_limit_and_a_limit_of_zero_are_silent(tmp_path: Path) -> None:
    lines: list[str] = []
    with watchdog(tmp_path, lines, seconds=0) as off, watchdog(tmp_path, lines, seconds=0.5) as watched:
        assert off._thread is None
        for _ in range(8):
            watched.enter("step")
            time.sleep(0.1)
        watched.enter("idle")
        time.sleep(0.6)
    assert lines == [] and not (tmp_path / "stacks").exists()


def test_a_worker_that_cannot_answer_is_named(tmp_path: Path, loader: StartedLoader) -> None:
    pids = [int(next(loader)["ids"][0]) for _ in range(2)]
    os.kill(pids[0], signal.SIGSTOP)
    try:
        found = dict(loader.stacks())
    finally:
        os.kill(pids[0], signal.SIGCONT)
    assert found[pids[0]].startswith("it does not answer")
    if sys.platform == "linux":
        assert found[pids[0]] == "it does not answer: it is stopped\n"
    assert "hang_in_the_worker" in found[pids[1]]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_every_start_method_answer(method: str) -> None:
    started = training_loader(Numbers(), batch_size=2, start=0, workers=1, start_method=method)
    try:
        starting = started.stacks()  # while its interpreter starts SIGUSR2 would end it
        assert starting[0][1].startswith("it is still starting") or "Thread" in starting[0][1]
        next(started)
        assert wait_for(lambda: "hang_in_the_worker" in started.stacks()[0][1])
    finally:
        started.close()


def test_abort_ends_a_wait_in_the_main_thread(tmp_path: Path) -> None:
    lines: list[str] = []
    before = signal.getsignal(signal.SIGUSR2)
    with pytest.raises(Stalled) as stopped, watchdog(tmp_path, lines, abort=True) as watched:
        watched.enter("loader")
        time.sleep(30)
    assert stopped.value.exit_code == 5 and stopped.value.between_steps
    assert "step 3 has waited 0 s for a batch" in stopped.value.message
    assert stopped.value.hint == f"go on with: ocrctl train --resume -o {tmp_path} --set data.workers=0"
    assert signal.getsignal(signal.SIGUSR2) is before


def test_abort_ends_a_process_whose_main_thread_does_not_return(tmp_path: Path) -> None:
    """A mutex that is locked twice: no signal ends that wait, as none ends a wait inside a kernel or a driver."""
    program = f"""
        import ctypes, pathlib, sys
        from ocrctl.config.settings import WatchdogSettings
        from ocrctl.training import watchdog
        watchdog._GRACE = 0.3
        settings = WatchdogSettings(step_seconds=0.2, abort=True)
        def hang_in_a_library():
            mutex, lock = ctypes.create_string_buffer(256), ctypes.CDLL(None).pthread_mutex_lock
            lock(mutex), lock(mutex)
        with watchdog.Watchdog(pathlib.Path({str(tmp_path)!r}), settings, None, print) as watched:
            watched.enter("step")
            hang_in_a_library()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 5, ended.stderr
    assert "error: The run was ended (watchdog.abort): step 1 has taken" in ended.stderr
    assert "hang_in_a_library" in stack_files(tmp_path)[0].read_text()


def test_an_interpreter_lock_that_is_never_released_is_reported_on_stderr(tmp_path: Path) -> None:
    program = f"""
        import ctypes, pathlib
        from ocrctl.config.settings import WatchdogSettings
        from ocrctl.training import watchdog
        watchdog._LONGEST = 0.2
        def hold_the_lock():
            ctypes.PyDLL(None).sleep(2)
        with watchdog.Watchdog(pathlib.Path({str(tmp_path)!r}), WatchdogSettings(step_seconds=0.2, loader_seconds=0),
                               None, lambda line: None) as watched:
            watched.enter("step")
            import time; time.sleep(0.15)
            hold_the_lock()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "Timeout" in ended.stderr and "hold_the_lock" in ended.stderr


def test_a_file_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "stacks").write_text("in the way")
    lines: list[str] = []
    with watchdog(tmp_path, lines) as watched:
        watched.enter("step")
        assert wait_for(lambda: lines)
    assert "cannot be written" in lines[0] and "are above" in lines[0]


def test_a_run_whose_loader_hangs_is_saved_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ["train.max_steps=6", "train.val_every_steps=6", "train.log_every_steps=1", "train.batch_size=2",
            "data.max_val_samples=4", "data.workers=1", "data.start_method=fork", "train.threads=1", "log.previews=0",
            "watchdog.loader_seconds=4", "watchdog.step_seconds=0", "watchdog.abort=true"]  # fmt: skip
    settings = load_train_settings(None, sets, {"arch": "crnn-tiny"})
    lines: list[str] = []
    read = TrainingWords.__getitems__

    def hang_in_the_worker(self: TrainingWords, numbers: Sequence[int]) -> Any:
        if numbers[0] >= 6:  # the fourth batch; Lightning fetches one ahead
            time.sleep(60)
        return read(self, numbers)

    monkeypatch.setattr(TrainingWords, "__getitems__", hang_in_the_worker)
    run = tmp_path / "run"
    with pytest.raises(Stalled, match="step 3 has waited") as stopped:
        train(TrainRequest(settings, run), lines.append)
    assert stopped.value.hint == f"go on with: ocrctl train --resume -o {run} --set data.workers=0"
    assert any(line.startswith("watchdog: step 3 has waited") for line in lines)
    text = (run / "stacks" / "step-0000002-loader.txt").read_text()
    assert "hang_in_the_worker" in text and "training process" in text
    monkeypatch.setattr(TrainingWords, "__getitems__", read)
    resumed = load_train_settings(None, ["data.workers=0", "watchdog.loader_seconds=0"], {})
    result = train(TrainRequest(resumed, run, resume=True), lines.append)
    assert result.steps == 6 and f"run: {run}, resumed from step 2" in lines
    assert [row["step"] for row in read_rows(run / "metrics.csv").rows] == ["1", "2", "3", "4", "5", "6", "6"]
