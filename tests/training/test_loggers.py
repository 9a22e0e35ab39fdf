"""What wandb, tensorboard, trackio and mlflow are told, and how their sessions begin and end."""

from __future__ import annotations

import importlib.util
import os
import signal
import sqlite3
import subprocess
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
from ocrctl.training.loggers import wandb as wandb_logger

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
    assert not (tmp_path / "run" / wandb_logger.ID_FILE).exists()


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
        "wandb: offline",
        "wandb takes no more figures from step 1 on (Broken pipe); metrics.csv goes on",
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
    lines = go(tmp_path / "run", word_folder, "log.logger=tensorboard")
    assert f"tensorboard: tensorboard --logdir {tmp_path / 'run' / 'tensorboard'}" in lines
    assert told[0] == ("open", "tensorboard") and told[-1] == ("close",)
    assert ("loss", 1) in told and ("val_cer", 2) in told and ("previews", 2, 3, "HWC") in told


@pytest.mark.parametrize(
    ("url", "said"),
    [("https://wandb.ai/me/ocrctl/runs/r7", "https://wandb.ai/me/ocrctl/runs/r7"),
     (None, "offline; upload with: wandb sync '/my runs/wandb/offline-run-1'")],
)  # fmt: skip
def test_the_address_of_a_wandb_run_is_printed(
    url: str | None, said: str, word_folder: Path, tmp_path: Path, sessions: list[Session]
) -> None:
    init = sys.modules["wandb"].init

    def named(**options: Any) -> Session:
        session = init(**options)
        session.url, session.dir = url, "/my runs/wandb/offline-run-1/files"
        return session

    sys.modules["wandb"].init = named  # type: ignore[attr-defined]
    assert f"wandb: {said}" in go(tmp_path / "run", word_folder, "train.max_steps=1")


PROGRAM = """
import sys
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from pathlib import Path
tree = {"arch": "crnn-tiny", "data": {"train": [sys.argv[2]], "charset": "ascii94"}}
train(TrainRequest(load_train_settings(None, sys.argv[3:], tree), Path(sys.argv[1])), lambda line: print(line))
loaded = {name.partition(".")[0] for name in sys.modules}
print("LOADED", *sorted(loaded & {"wandb", "tensorboard", "trackio", "mlflow"}))
"""


def in_a_process(out: Path, words: Path, logger: str, **variables: str) -> str:
    """The output of a run of its own, with the real logger."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "MLFLOW", "TRACKIO"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(out), str(words), *SETS[:-1], f"log.logger={logger}"],
        capture_output=True, text=True, env={**environment, **variables}, cwd=out.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_logger_that_is_off_is_not_imported(word_folder: Path, tmp_path: Path) -> None:
    output = in_a_process(tmp_path / "run", word_folder, "none")
    assert output.splitlines()[-1] == "LOADED"


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(name) is None, reason=f"needs {name}, which `dev` does not install"
    )


@needs("wandb")
@pytest.mark.slow
def test_wandb_works_offline(word_folder: Path, tmp_path: Path) -> None:
    output = in_a_process(tmp_path / "run", word_folder, "wandb", WANDB_MODE="offline", WANDB_SILENT="true")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert f"wandb: offline; upload with: wandb sync {folder}" in output
    assert list(folder.glob("*.wandb")) and list(folder.rglob("media/images/previews*.png"))
    assert output.splitlines()[-1] == "LOADED wandb"


@needs("trackio")
@pytest.mark.slow
def test_trackio_takes_figures_and_previews(word_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    output = in_a_process(tmp_path / "run", word_folder, "trackio", TRACKIO_DIR=str(store))
    name = f"run-{(tmp_path / 'run' / 'trackio-id.txt').read_text().strip()}"
    assert f"trackio: run {name}; show it with: trackio show --project ocrctl" in output
    assert "Trackio project" not in output  # its own lines go to stderr
    (database,) = store.glob("ocrctl*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step").fetchall()
    assert {row[0] for row in rows} == {name} and {row[1] for row in rows} == {1, 2}
    assert any("val_cer" in str(row[2]) for row in rows) and list(store.rglob("*.png"))


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_takes_figures_and_previews(word_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    output = in_a_process(
        tmp_path / "run", word_folder, "mlflow", MLFLOW_TRACKING_URI=store.as_uri(), MLFLOW_ALLOW_FILE_STORE="true"
    )
    number = (tmp_path / "run" / "mlflow-id.txt").read_text().strip()
    assert f"mlflow: run {number}; show it with: mlflow ui --backend-store-uri " in output
    (folder,) = store.rglob(number)
    assert {"loss", "val_cer"} <= {path.name for path in (folder / "metrics").iterdir()}
    assert (folder / "params" / "train.batch_size").read_text() == "2"
    assert "FINISHED" in (folder / "meta.yaml").read_text() or "status: 3" in (folder / "meta.yaml").read_text()
    assert [path.name for path in folder.rglob("*.png")] == ["step-0000002.png"]


def test_an_mlflow_server_that_is_gone_says_what_to_do(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is lost later ends no training; what a server would answer is made up here."""
    error = type("MlflowException", (Exception,), {})

    class Client:
        lost = False

        def get_experiment_by_name(self, name: str) -> None:
            if not self.lost:
                raise error("no such host\nmore")

        def create_experiment(self, name: str) -> str:
            return "7"

        def create_run(self, experiment: str, run_name: str) -> Any:
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="a" * 32))

        def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
            if metrics:
                raise error("connection lost")

    fakes = {name: types.ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.exceptions")}
    fakes["mlflow"].__dict__.update(MlflowClient=Client, get_tracking_uri=lambda: "http://host:5000/")
    fakes["mlflow.entities"].__dict__.update(Metric=lambda *values: values, Param=lambda *values: values)
    fakes["mlflow.exceptions"].__dict__.update(MlflowException=error)
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(loggers, "find_spec", lambda name: fakes["mlflow"])
    with pytest.raises(MissingRequirement, match="mlflow cannot start at http://host:5000/: no such host"):
        go(tmp_path / "one", word_folder, "log.logger=mlflow")
    Client.lost = True
    lines = go(tmp_path / "two", word_folder, "log.logger=mlflow")
    assert [line for line in lines if line.startswith("mlflow")] == [
        f"mlflow: http://host:5000/#/experiments/7/runs/{'a' * 32}",
        "mlflow takes no more figures from step 1 on (connection lost); metrics.csv goes on",
    ]
    assert (tmp_path / "two" / "mlflow-id.txt").read_text() == "a" * 32 + "\n"
