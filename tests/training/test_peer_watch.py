"""A process ends when another one of its run is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from torch import distributed as dist

import ocrctl.training.peer_watch as peer_watch
from ocrctl.training.peer_watch import Member, PeerWatch, is_broken, this_member


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.posix
@pytest.mark.parametrize("pidfd", [True, False])
def test_a_lost_process_ends_one_that_waits_for_it(
    pidfd: bool, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer_watch, "GRACE", 0.1)
    monkeypatch.setattr(peer_watch, "POLL", 0.05)
    if not pidfd:
        monkeypatch.delattr(peer_watch.os, "pidfd_open", raising=False)
    codes: list[int] = []
    ended = Event()
    own = this_member(0)
    watch = PeerWatch(
        [own, Member(1, own.host, sleeper.pid), Member(2, "another", 1)], 0, Path("runs/a"),
        lambda code: (codes.append(code), ended.set()),  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    watch.start()
    assert not ended.wait(0.3)
    sleeper.kill()
    sleeper.wait()
    assert ended.wait(10) and codes == [5]
    error = capsys.readouterr().err
    assert f"error: Process 1 of 3 (pid {sleeper.pid}) has ended: the others cannot go on without it" in error
    assert "hint: ocrctl train --resume -o runs/a" in error


@pytest.mark.posix
def test_a_process_may_end_once_the_training_is_over(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_watch, "GRACE", 0.1)
    codes: list[int] = []
    own = this_member(0)
    watch = PeerWatch([own, Member(1, own.host, sleeper.pid)], 0, Path("runs/a"), codes.append)
    watch.start()
    watch.close()
    sleeper.kill()
    sleeper.wait()
    assert not Event().wait(0.5) and codes == []


def test_errors_of_collectives_are_told_from_others() -> None:
    gloo = "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234"
    assert is_broken(RuntimeError(gloo))
    assert is_broken(RuntimeError("Timed out waiting 1800000ms for recv operation to complete"))
    assert is_broken(dist.DistBackendError("NCCL communicator was aborted on rank 1"))
    assert not is_broken(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_broken(ValueError("gloo"))
