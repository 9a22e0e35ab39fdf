"""What wandb and tensorboard are told, and how their sessions begin and end."""

from __future__ import annotations

import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ocrctl.training.callbacks as callbacks
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import MissingRequirement, ResumableStop
from ocrctl.training import loggers

SETS = ["train.max_steps=2", "train.val_every_steps=2", "train.log_every_steps=1", "train.batch_size=2",
        "log.previews=2", "data.max_val_samples=4", "data.workers=0", "train.threads=1",
        "log.logger=wandb"]  # fmt: skip


class Session:
    """One wandb run that remembers what it was told."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options, self.rows, self.images, self.ended = options, [], [], []
        self.broken = False

    def log(self, values: dict[str, Any], step: int) -> None:
        if self.broken:
            raise OSError("Broken pipe")
        images = {name: value.pixels for name, value in values.items() if isinstance(value, Picture)}
        if images:
            self.images.append((step, images))
        else:
            self.rows.append((step, values))

    def finish(self, exit_code: int | None = None) -> None:
        self.ended.append(exit_code)


class Picture:
    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that a fake wandb has opened."""
    opened: list[Session] = []

    def init(**options: Any) -> Session:
        opened.append(Session(options))
        return opened[-1]

    fake = types.ModuleType("wandb")
    fake.__dict__.update(init=init, Image=Picture, Error=type("Error", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(loggers, "find_spec", lambda name: fake)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return opened


def go(out: Path, words: Path, *sets: str, resume: bool = False) -> list[str]:
    lines: list[str] = []
    tree = {} if resume else {"arch": "crnn-tiny", "data": {"train": [str(words)], "charset": "ascii94"}}
    settings = load_train_settings(None, [*([] if resume else SETS), *sets], tree)
    train(TrainRequest(settings, out, resume), lines.append)
    return lines


def test_a_fresh_run_has_a_session_of_its_own_and_resume_keeps_it(
    word_folder: Path, tmp_path: Path, sessions: list[Session]
) -> None:
    go(tmp_path / "a" / "run", word_folder)
    go(tmp_path / "b" / "run", word_folder)
    go(tmp_path / "a" / "run", word_folder, "train.max_steps=3", resume=True)
    first, other, again = (session.options for session in sessions)
    assert first["id"] == again["id"] != other["id"] and first["name"] == other["name"] == "run"
    assert first["resume"] == "allow" and first["project"] == "ocrctl"
    assert first["config"]["train"]["batch_size"] == 2 and first["config"]["arch"] == "crnn-tiny"
    assert again["config"]["train"]["max_steps"] == 3 and again["allow_val_change"]
    assert [step for step, _ in sessions[0].rows] == [1, 2, 2] and [step for step, _ in sessions[2].rows] == [3, 3]
    assert {"loss", "lr"} <= set(sessions[0].rows[0][1]) and "val_cer" in sessions[0].rows[2][1]
    ((step, images),) = sessions[0].images
    assert step == 2 and images["previews"].dtype == np.uint8 and images["previews"].shape[2] == 3
    assert [session.ended for session in sessions] == [[0], [0], [0]]


def test_variables_of_wandb_win(
    word_folder: Path, tmp_path: Path, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"PROJECT": "mine", "NAME": "n", "DIR": str(tmp_path), "RUN_ID": "r7", "RESUME": "must"}
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    go(tmp_path / "run", word_folder, "train.max_steps=1")
    assert set(sessions[0].options) == {"config", "allow_val_change"}
    assert not (tmp_path / "run" / loggers.ID_FILE).exists()


def test_a_session_is_ended_however_the_run_ends(
    word_folder: Path, tmp_path: Path, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = callbacks.RunCallback._log

    def stop(self: callbacks.RunCallback, *arguments: Any) -> None:
        log(self, *arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(callbacks.RunCallback, "_log", stop)
    go(tmp_path / "signal", word_folder)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(callbacks.RunCallback, "_log", fail)
    with pytest.raises(ResumableStop):
        go(tmp_path / "error", word_folder)
    assert [session.ended for session in sessions] == [[128 + signal.SIGTERM], [1]]


def test_a_session_that_breaks_ends_no_training(word_folder: Path, tmp_path: Path, sessions: list[Session]) -> None:
    init = sys.modules["wandb"].init

    def broken(**options: Any) -> Session:
        session = init(**options)
        session.broken = True
        return session

    sys.modules["wandb"].init = broken  # type: ignore[attr-defined]
    lines = go(tmp_path / "run", word_folder)
    assert [line for line in lines if line.startswith("wandb")] == [
        "wandb takes no more figures from step 1 on (Broken pipe); metrics.csv goes on"
    ]
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 4


def test_a_session_that_cannot_be_opened_says_what_to_do(
    word_folder: Path, tmp_path: Path, sessions: list[Session]
) -> None:
    def refuse(**_: Any) -> None:
        raise sys.modules["wandb"].Error("api_key not configured (no-tty).\nRun wandb login")

    sys.modules["wandb"].init = refuse  # type: ignore[attr-defined]
    with pytest.raises(MissingRequirement, match="wandb cannot start: api_key not configured") as caught:
        go(tmp_path / "run", word_folder)
    assert "WANDB_MODE=offline" in str(caught.value.hint)


def test_tensorboard_gets_figures_and_previews(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            told.append(("open", Path(folder).name))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, step))

        def add_image(self, name: str, image: np.ndarray, step: int, dataformats: str) -> None:
            told.append((name, step, image.shape[2], dataformats))

        def flush(self) -> None: ...

        def close(self) -> None:
            told.append(("close",))

    fake = types.ModuleType("torch.utils.tensorboard.writer")
    fake.__dict__["SummaryWriter"] = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.ModuleType("torch.utils.tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", fake)
    monkeypatch.setattr(loggers, "find_spec", lambda name: fake)
    go(tmp_path / "run", word_folder, "log.logger=tensorboard")
    assert told[0] == ("open", "tensorboard") and told[-1] == ("close",)
    assert ("loss", 1) in told and ("val_cer", 2) in told and ("previews", 2, 3, "HWC") in told
