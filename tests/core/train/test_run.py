"""`train` end to end on a few small images: what it leaves behind, how it goes on, how it refuses."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.core.train.task import TrainResult
from ocrctl.errors import InputError, MissingRequirement, ResumableStop, UsageError
from ocrctl.files.lock import exclusive_folder_lock
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.training.signals import SignalWatch

WORDS = ["cat", "dog", "sun", "hat", "pen", "cup", "map", "fox", "owl", "bee"]
QUICK = ["train.max_steps=6", "train.val_every_steps=3", "train.log_every_steps=2", "train.batch_size=4",
         "data.workers=0", "data.max_val_samples=4", "train.threads=1", "train.schedule=constant"]  # fmt: skip


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn words in PaddleOCR's layout."""
    folder = tmp_path_factory.mktemp("words")
    write_words(folder, [(f"{i}.png", word) for i, word in enumerate(WORDS)])
    return folder


def write_words(folder: Path, samples: list[tuple[str, str]]) -> None:
    for name, word in samples:
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / name), image)
    (folder / "rec_gt.txt").write_text("".join(f"{name}\t{word}\n" for name, word in samples), encoding="utf-8")


def run(out: Path, data: Path | None, *sets: str, resume: bool = False, **flags: object) -> TrainResult:
    tree = {"arch": "crnn-tiny", "data": {"train": [str(data)] if data else None, **flags}}
    if resume and (out / "config.toml").exists():
        settings = load_train_settings(None, sets, {"data": flags}, use_variables=False)
    else:
        settings = load_train_settings(None, [*QUICK, *sets], tree)
    return train(TrainRequest(settings, out, resume), lambda line: None)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(out / "last.ckpt")["state_dict"]


def test_a_run_folder_holds_all_that_a_run_is(words: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", words)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.toml", "data.json", "metrics.csv", "best.ckpt", "last.ckpt", "previews", "val_split.txt"}
    assert result.steps == 6
    assert [row["step"] for row in rows(tmp_path / "run")] == ["2", "3", "4", "6", "6"]
    assert len((tmp_path / "run" / "val_split.txt").read_text().splitlines()) == 1
    assert (tmp_path / "run" / "previews" / "step-0000003.png").stat().st_size > 500


def test_config_toml_reproduces_the_run_bit_for_bit(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "a", words)
    again = load_train_settings([str(tmp_path / "a" / "config.toml")], [], {})
    train(TrainRequest(again, tmp_path / "b"), lambda line: None)
    for name, value in weights(tmp_path / "a").items():
        assert torch.equal(value, weights(tmp_path / "b")[name]), name


def test_workers_change_no_sample(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "a", words)
    run(tmp_path / "b", words, "data.workers=2")
    assert not multiprocessing.active_children()  # a notebook trains again and again
    for name, value in weights(tmp_path / "a").items():
        assert torch.equal(value, weights(tmp_path / "b")[name]), name


def test_three_and_three_steps_equal_six(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "whole", words)
    run(tmp_path / "parts", words, "train.max_steps=3")
    result = run(tmp_path / "parts", None, "train.max_steps=6", resume=True)
    assert result.steps == 6
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "parts")[name]), name
    assert [row["step"] for row in rows(tmp_path / "parts")] == ["2", "3", "3", "4", "6", "6"]


def test_a_finished_run_is_not_trained_on(words: Path, tmp_path: Path) -> None:
    first = run(tmp_path / "run", words)
    before = (tmp_path / "run" / "last.ckpt").read_bytes(), (tmp_path / "run" / "metrics.csv").read_bytes()
    again = run(tmp_path / "run", None, resume=True)
    assert (again.steps, again.best_step, again.parameters) == (6, first.best_step, first.parameters)
    assert ((tmp_path / "run" / "last.ckpt").read_bytes(), (tmp_path / "run" / "metrics.csv").read_bytes()) == before


def test_resume_without_a_run_starts_one_and_a_run_without_resume_is_refused(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", words, resume=True)
    with pytest.raises(UsageError, match="already holds a run") as caught:
        run(tmp_path / "run", words)
    assert "--resume" in str(caught.value.hint)


def test_resume_refuses_another_model_setting_and_charset(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", words)
    with pytest.raises(UsageError, match=r"train.lr was 0.001 and cannot become 0.5") as caught:
        run(tmp_path / "run", None, "train.lr=0.5", resume=True)
    assert "--from" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"train.accumulate was 2 and cannot become 1"):
        run(tmp_path / "double", words, "train.accumulate=2")
        run(tmp_path / "double", None, "train.accumulate=1", resume=True)
    with pytest.raises(UsageError, match="seed was 0 and cannot become 5"):
        run(tmp_path / "run", None, "seed=5", resume=True)
    with pytest.raises(UsageError, match=r"data.charset"):
        run(tmp_path / "run", None, resume=True, charset="digits")
    text = (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "run" / "config.toml").write_text(text.replace("[data]", '[data]\ncharset = "ascii94"'))
    with pytest.raises(UsageError, match="trained with a charset of 36 characters"):
        run(tmp_path / "run", None, "train.max_steps=9", resume=True)


def test_from_keeps_what_both_charsets_share(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "a", words)
    (tmp_path / "chars.txt").write_text("zyxwvutsrqponmlkjihgfedcba!\n")
    tree = {"arch": "crnn-tiny", "data": {"train": [str(words)], "charset": str(tmp_path / "chars.txt")},
            "model": {"init": str(tmp_path / "a")}}  # fmt: skip
    lines: list[str] = []
    settings = load_train_settings(None, [*QUICK, "train.lr=1e-9", "train.weight_decay=0"], tree)
    train(TrainRequest(settings, tmp_path / "b"), lines.append)
    assert any("26 of 27 characters keep their weights" in line for line in lines)
    old, new = weights(tmp_path / "a"), weights(tmp_path / "b")
    row_of = {char: i + 1 for i, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}
    best = read_checkpoint(tmp_path / "a" / "best.ckpt")["state_dict"]
    torch.testing.assert_close(new["model.head.linear.weight"][1], best["model.head.linear.weight"][row_of["z"]])
    assert new["model.head.linear.weight"].shape[0] == 28
    assert old["model.head.linear.weight"].shape[0] == 37


def test_bad_labels_stop_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_words(tmp_path / "data", [("a.png", "cat"), ("b.png", "çat"), ("c.png", "a" * 40)])
    with pytest.raises(InputError, match="1 with unknown characters .*1 with label too long"):
        run(tmp_path / "run", tmp_path / "data")
    assert not (tmp_path / "run").exists()
    result = run(tmp_path / "run", tmp_path / "data", "data.bad_labels=skip", "data.val_fraction=0.5",
                 unknown_chars="skip", val=str(tmp_path / "data"))  # fmt: skip
    assert result.steps == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_names_its_place(words: Path, tmp_path: Path, workers: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_words(data, [(f"{i}.png", word) for i, word in enumerate(WORDS)])
    for i in range(10):  # sound headers: what stands behind them is not read before it is trained on
        (data / f"{i}.png").write_bytes((data / f"{i}.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"rec_gt.txt:\d+ \(\d.png\)"):
        run(tmp_path / "run", data, f"data.workers={workers}", val=str(words))


def test_a_full_disk_keeps_the_last_checkpoint(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "run", words, "train.max_steps=3")
    before = (tmp_path / "run" / "last.ckpt").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ResumableStop, match="the disk is full; the file written before it is intact"):
        run(tmp_path / "run", None, "train.max_steps=6", resume=True)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*tmp"))


def test_a_model_that_is_not_finite_is_never_saved(words: Path, tmp_path: Path) -> None:
    wild = ["train.lr=1e30", "train.clip_norm=0", "train.warmup=0", "train.max_steps=30", "train.log_every_steps=50"]
    with pytest.raises(ResumableStop, match="not finite at step 2: each of its 4 .*; no checkpoint had been written"):
        run(tmp_path / "wild", words, *wild)
    assert not list((tmp_path / "wild").glob("*.ckpt"))


def test_what_is_refused_leaves_no_folder(words: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(MissingRequirement):
            run(tmp_path / "run", words, "train.device=cuda")
    if find_spec("wandb") is None:
        with pytest.raises(MissingRequirement):
            run(tmp_path / "run", words, "log.logger=wandb")
    with pytest.raises(InputError):
        tree = {"arch": "crnn-tiny", "data": {"train": [str(words)]}, "model": {"init": str(tmp_path / "none")}}
        train(TrainRequest(load_train_settings(None, QUICK, tree), tmp_path / "run"), lambda line: None)
    assert not (tmp_path / "run").exists()


def test_resume_refuses_changed_data_and_a_trial(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_words(data, [(f"{i}.png", word) for i, word in enumerate(WORDS)])
    run(tmp_path / "run", data)
    write_words(data, [(f"{i}.png", word) for i, word in enumerate([*WORDS, "new"])])
    config = (tmp_path / "run" / "config.toml").read_text()
    with pytest.raises(UsageError, match="has changed since .* began"):
        run(tmp_path / "run", None, "train.max_steps=9", resume=True)
    with pytest.raises(UsageError, match="a trial must not change a run"):
        settings = load_train_settings(None, [], {}, use_variables=False)
        train(TrainRequest(settings, tmp_path / "run", resume=True, fast_dev_run=True), lambda line: None)
    assert (tmp_path / "run" / "config.toml").read_text() == config


def test_a_bad_validation_image_ends_the_run_early(words: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_words(data, [("a.png", "cat")])
    (data / "a.png").write_bytes((data / "a.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"rec_gt.txt:1 \(a.png\)"):
        run(tmp_path / "run", words, "train.max_steps=100000", "train.val_every_steps=50000", val=str(data))


def test_a_validation_of_few_samples_is_a_warning(words: Path, tmp_path: Path) -> None:
    tree = {"arch": "crnn-tiny", "data": {"train": [str(words)]}}
    few = ["train.max_steps=1", "train.batch_size=4", "data.workers=0", "log.previews=0"]
    for name, sets, warns in (("a", [], True), ("b", ["data.max_val_samples=1"], False)):
        lines: list[str] = []
        train(TrainRequest(load_train_settings(None, [*few, *sets], tree), tmp_path / name), lines.append)
        found = [line for line in lines if line.startswith("warning: val: ")]
        assert found == warns * [
            "warning: val: 1 sample: fewer than 20 do not tell which checkpoint is best; use --val SPEC with more or a "
            "larger data.val_fraction"
        ]
        assert any(line.startswith("val: 1 sample (held out") for line in lines) and "device: cpu, 1 thread," in str(
            lines
        )


def test_endless_data_has_no_epochs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="endless stream has no epochs"):
        run(tmp_path / "run", None, "train.max_epochs=2")


def test_epochs_become_steps(words: Path, tmp_path: Path) -> None:
    settings = load_train_settings(None, [s for s in QUICK if "max_steps" not in s] + ["train.max_epochs=2"],
                                   {"arch": "crnn-tiny", "data": {"train": [str(words)]}})  # fmt: skip
    result = train(TrainRequest(settings, tmp_path / "run"), lambda line: None)
    assert result.steps == 4  # 2 passes over the 9 samples that were not held out, 4 at a time


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
@pytest.mark.posix
def test_a_signal_saves_and_says_how_to_go_on(words: Path, tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ocrctl", "train", "crnn-tiny", "-d", str(words), "-o", str(out)]
    for item in [*QUICK, "train.max_steps=100000", "train.val_every_steps=50000", "data.workers=1"]:
        command += ["--set", item]
    environment = {**os.environ, "OCRCTL_DATA": ""}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert process.stderr is not None
    wait_for(
        lambda: (out / "metrics.csv").exists() and len((out / "metrics.csv").read_text().splitlines()) > 1, process
    )
    os.killpg(process.pid, number)  # a terminal's Ctrl-C, `timeout` and job managers signal the workers, too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    step = read_checkpoint(out / "last.ckpt")["global_step"]
    what = "interrupted (Ctrl-C)" if name == "SIGINT" else f"stopped by {name}"
    assert step >= 2 and errors.splitlines()[-2:] == [
        f"{what}: step {step} is saved in {out / 'last.ckpt'}", f"next: ocrctl train --resume -o {out}"
    ]  # fmt: skip


def test_a_running_run_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with exclusive_folder_lock(run):
        for more in ([], ["--resume"]):
            command = [sys.executable, "-X", "importtime", "-m", "ocrctl", "train", "crnn-tiny", "-o", str(run), *more]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 2
            assert f"error: {run}: process {os.getpid()} is training there." in done.stderr
            assert "| torch\n" not in done.stderr and "lightning" not in done.stderr


@pytest.mark.posix
def test_a_signal_that_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalWatch() as watch:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            assert watch.number is None
            signal.raise_signal(signal.SIGUSR1)
            assert watch.number == signal.SIGUSR1
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.posix
def test_a_closed_terminal_ends_a_run_as_sigterm_does(words: Path, tmp_path: Path) -> None:
    """The terminal hangs up: SIGHUP for the whole session, and every further line of the log fails."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ocrctl", "train", "crnn-tiny", "-d", str(words), "-o", str(out)]
    for item in [*QUICK, "train.max_steps=100000", "train.val_every_steps=50000", "data.workers=1"]:
        command += ["--set", item]
    import pty  # not on Windows

    child, terminal = pty.fork()
    if child == 0:
        os.environ["OCRCTL_DATA"] = ""
        os.execv(sys.executable, command)
    deadline = time.monotonic() + 120
    while not ((out / "metrics.csv").exists() and len((out / "metrics.csv").read_text().splitlines()) > 1):
        assert time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.05)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    assert read_checkpoint(out / "last.ckpt")["global_step"] >= 2


def test_a_log_that_nobody_reads_any_more_ends_no_training(words: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ocrctl", "train", "crnn-tiny", "-d", str(words), "-o", str(out)]
    for item in [*QUICK, "train.max_steps=3", "train.log_every_steps=1", "data.workers=0"]:
        command += ["--set", item]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stderr=writer, stdout=writer, env={**os.environ, "OCRCTL_DATA": ""}, timeout=120)
    finally:
        os.close(writer)
    assert done.returncode == 0 and read_checkpoint(out / "last.ckpt")["global_step"] == 3


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, "the run made no step in two minutes"
        time.sleep(0.05)


def test_missing_images_stop_before_anything_is_written(words: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_words(data, [(f"{i}.png", word) for i, word in enumerate(WORDS)])
    (data / "3.png").unlink()
    with pytest.raises(
        InputError, match=r"1 of 10 images cannot be used, I001 missing x1 \(such as .*rec_gt.txt:4 \(3.png\)"
    ):
        run(tmp_path / "run", data)
    assert not (tmp_path / "run").exists()
