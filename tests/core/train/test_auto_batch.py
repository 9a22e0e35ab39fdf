"""`train --auto-batch`: the largest batch that fits, found in child processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ocrctl.core.train.auto_batch as auto_batch
from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.settings import DataSettings, ModelSettings, Settings, TrainSettings
from ocrctl.core.train.auto_batch import run_attempt, with_largest_batch
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import ResumableStop
from ocrctl.models.registry import get_spec
from ocrctl.runtime import MemoryLimit, free_memory
from ocrctl.training.device import Accelerator
from ocrctl.training.trial import trial_batch, trial_steps

CPU = Accelerator("cpu", "32-true")
CARD = recognition_card(get_spec("crnn-tiny"), "abcdefgh")
GIB = 1 << 30


class Machine:
    """A machine on which an image takes a fixed number of bytes."""

    def __init__(self, per_image: int, batch: int = 0) -> None:
        self.per_image, self.batch, self.requests = per_image, batch, list[dict[str, Any]]()

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        size = request["batch_size"]
        if not size:
            return {"free": 8 * GIB}
        peak = size * self.per_image
        fits = peak <= request["limit"]
        return {"fits": fits, "peak": peak, "batch": size * self.batch, "reason": "" if fits else "no memory"}


def search(machine: Machine, settings: Settings, accelerator: Accelerator = CPU) -> tuple[Settings, list[str]]:
    lines: list[str] = []
    return with_largest_batch(settings, CARD, accelerator, lines.append, machine), lines


@pytest.fixture(autouse=True)
def ten_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_batch, "free_memory", lambda: MemoryLimit(10 * GIB, "memory limit of the container"))
    monkeypatch.setattr(auto_batch, "worker_processes", lambda requested: requested)


def test_the_effective_batch_is_kept(ten_gib: None) -> None:
    settings = Settings(train=TrainSettings(batch_size=256, accumulate=2), data=DataSettings(workers=0))
    found, lines = search(Machine(90 << 20), settings)
    assert 96 <= found.train.batch_size <= 102 and found.train.batch_size * found.train.accumulate >= 512
    assert found.train.accumulate == -(-512 // found.train.batch_size)
    assert lines[0] == "auto-batch: 9,216 MiB may be used, 90% of what is free (memory limit of the container)"
    assert lines[-1].startswith(f"auto-batch: train.batch_size={found.train.batch_size}, train.accumulate=")
    assert "(given: 256 x 2)" in lines[-1] and "does not fit" in lines[-1]
    assert "train" in found.model_fields_set


def test_loader_processes_take_their_share() -> None:
    alone, _ = search(Machine(90 << 20, 10 << 20), Settings(data=DataSettings(workers=0)))
    two, _ = search(Machine(90 << 20, 10 << 20), Settings(data=DataSettings(workers=2)))
    assert two.train.batch_size < 0.6 * alone.train.batch_size


def test_a_gpu_says_what_it_has_left() -> None:
    machine = Machine(90 << 20)
    found, lines = search(machine, Settings(), Accelerator("cuda", "bf16-mixed"))
    assert machine.requests[0]["batch_size"] == 0 and machine.requests[1]["limit"] == 8 * GIB
    assert lines[0] == "auto-batch: 8,192 MiB of GPU memory may be used" and 85 <= found.train.batch_size <= 91


def test_kept_images_are_part_of_a_batch() -> None:
    machine = Machine(90 << 20)
    settings = Settings(data=DataSettings(workers=0, keep="synth"), train=TrainSettings(keep_share=0.5))
    found, _ = search(machine, settings)
    assert 46 <= found.train.batch_size <= 51 and machine.requests[-1]["batch_size"] % 2 == 0


def test_one_image_that_does_not_fit_ends_the_run() -> None:
    with pytest.raises(ResumableStop, match=r"not even one image of 32x100 fits in 9,216 MiB \(no memory\)"):
        search(Machine(100 * GIB), Settings())


def detector(name: str) -> ModelCard:
    return detection_card(get_spec(name), ModelSettings(), height=64, width=64)


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        recognition_card(get_spec("crnn-tiny", 320, "keep"), "abcdefgh"),
        recognition_card(get_spec("parseq-tiny"), "abcdefgh"),
        detector("dbnet"),
    ],
    ids=["ctc", "kept", "ar", "maps"],
)
def test_every_kind_of_model_can_be_tried(card: ModelCard) -> None:
    assert trial_steps(card, TrainSettings(ema=0.9), CPU, 2) >= 2 * card.height * 64 * card.channels


def test_labels_are_as_long_as_fits() -> None:
    batch = trial_batch(CARD, 3)
    assert batch["images"].shape == (3, 1, 32, 100) and batch["lengths"].tolist() == [13, 13, 13]


def test_a_container_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{2 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB // 2}\n")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 9 kB\nMemAvailable: {4 * GIB >> 10} kB\n")
    assert free_memory(tmp_path, meminfo) == MemoryLimit(3 * GIB // 2, "memory limit of the container, 2.0 GiB")
    (tmp_path / "memory.max").write_text("max\n")
    found = free_memory(tmp_path, meminfo)
    assert found is not None and found.free <= 4 * GIB


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits mappings on Linux only")
def test_a_child_process_that_needs_too_much_ends_alone() -> None:
    request = {"card": CARD.to_json(), "train": TrainSettings().model_dump(), "device": "cpu",
               "precision": "32-true", "plugins": [], "limit": GIB}  # fmt: skip
    small = run_attempt({**request, "batch_size": 2})
    large = run_attempt({**request, "batch_size": 4000})
    assert small["fits"] and small["peak"] < GIB and small["batch"] > 2 * 32 * 100
    assert not large["fits"] and "memory" in large["reason"]


def test_a_run_trains_with_what_was_found_and_resumes_with_it(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(3 * GIB)
    monkeypatch.setattr(auto_batch, "run_attempt", machine)
    sets = ["train.max_steps=1", "train.val_every_steps=1", "train.batch_size=7", "data.workers=0", "train.threads=1",
            "log.previews=0"]  # fmt: skip
    tree = {"arch": "crnn-tiny", "data": {"train": [str(word_folder)], "charset": "ascii94"}}
    run, lines = tmp_path / "run", list[str]()
    train(TrainRequest(load_train_settings(None, sets, tree), run, auto_batch=True), lines.append)
    assert any(line.startswith("batch: 9 (3 x accumulate 3 x 1 device)") for line in lines)
    config = (run / "config.toml").read_text()
    assert "batch_size = 3" in config and "accumulate = 3" in config
    machine.requests.clear()
    train(TrainRequest(load_train_settings(None, [], {}), run, resume=True, auto_batch=True), lines.append)
    assert not machine.requests and "auto-batch: the run goes on with its own train.batch_size" in lines
