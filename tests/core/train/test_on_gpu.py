"""Training on a CUDA device: precisions, pinned batches from loader processes, missing memory, and --auto-batch."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import ResumableStop
from ocrctl.models.checkpoint import read_checkpoint

pytestmark = pytest.mark.gpu

SETS = ["train.device=cuda", "train.val_every_steps=100", "train.log_every_steps=5", "data.max_val_samples=4",
        "log.previews=0"]  # fmt: skip


def trained(out: Path, arch: str, *sets: str, data: Path | None = None, auto_batch: bool = False) -> list[str]:
    tree = {"arch": arch, **({"data": {"train": [str(data)], "charset": "ascii94"}} if data else {})}
    lines: list[str] = []
    settings = load_train_settings(None, [*SETS, *sets], tree)
    train(TrainRequest(settings, out, auto_batch=auto_batch), lines.append)
    return lines


def losses(out: Path) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("arch", ["crnn-tiny", "parseq-tiny", "dbnet"])
def test_every_precision_learns(arch: str, precision: str, tmp_path: Path) -> None:
    small = ["page.height=128", "page.width=128", "page.side=128", "data.workers=0", "train.batch_size=8"]
    trained(tmp_path / "run", arch, *small, "train.max_steps=40", f"train.precision={precision}")
    found = losses(tmp_path / "run")
    assert len(found) == 8 and all(map(math.isfinite, found)) and sum(found[-3:]) < sum(found[:3])


@pytest.mark.posix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_hand_over_pinned_batches_of_an_lmdb(method: str, word_folder: Path, tmp_path: Path) -> None:
    """Every process reads the LMDB itself; the training process, which has initialised CUDA, pins what arrives."""
    store = tmp_path / "words.lmdb"
    assert run(["lmdb", "build", str(word_folder), str(store), "--jobs", "1", "-q"]) == 0
    sets = ("data.workers=2", f"data.start_method={method}", "train.batch_size=4", "train.max_steps=10")
    trained(tmp_path / "processes", "crnn-tiny", *sets, data=store)
    trained(tmp_path / "alone", "crnn-tiny", "data.workers=0", *sets[2:], data=store)
    one, other = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("processes", "alone"))
    assert one["next_draw"] == other["next_draw"] == 40
    for name, value in one["state_dict"].items():  # the same samples; atomic additions round in any order
        torch.testing.assert_close(other["state_dict"][name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.fixture
def little_memory() -> object:
    """A process that may use 1 GiB of the card."""
    _, total = torch.cuda.mem_get_info(0)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (1 << 30) / total))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_missing_memory_names_what_is_allocated_and_what_to_change(little_memory: object, tmp_path: Path) -> None:
    with pytest.raises(ResumableStop) as caught:
        trained(tmp_path / "run", "parseq-tiny", "train.batch_size=4096", "train.max_steps=2", "data.workers=0")
    stop = caught.value
    assert stop.exit_code == 5 and "at batch 4096" in stop.message and "tensors took up to" in stop.message
    hint = str(stop.hint)
    assert "train.batch_size=2048" in hint and hint.index("train.batch_size") < hint.index("activation_checkpointing")


@pytest.mark.slow
def test_the_largest_batch_that_fits_trains(tmp_path: Path) -> None:
    lines = trained(tmp_path / "run", "dbnet", "train.max_steps=2", "data.workers=0", "train.precision=32-true",
                    auto_batch=True)  # fmt: skip
    assert any(line.startswith("auto-batch: ") and "of GPU memory may be used" in line for line in lines)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2
