"""A quarantined step is checked when it is read: odd facts and arrays end with exit 3, and reach no loss."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.diagnose.quarantined import read_step
from ocrctl.errors import InputError

FACTS = {
    "step": 1, "seed": 1, "precision": "32-true", "norm_frozen": False, "broken": [], "sizes": [2], "samples": [0],
    "sentence": "one sample", "places": {"0": "a.png", "1": "b.png"},
}  # fmt: skip
ARRAYS = {
    "images.0": np.zeros((2, 32, 100, 1), np.uint8), "labels.0": np.ones((2, 3), np.int64),
    "lengths.0": np.array([3, 3]), "ids.0": np.array([0, 1]),
}  # fmt: skip


@pytest.fixture
def step(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A step that reads back."""
    shutil.copy(tiny_checkpoint, tmp_path / "weights.ckpt")
    (tmp_path / "step.json").write_text(json.dumps(FACTS))
    np.savez(tmp_path / "batch.npz", **ARRAYS)
    return tmp_path


def test_a_whole_step_reads_back(step: Path) -> None:
    [batch] = read_step(step).batches
    assert batch["images"].shape == (2, 1, 32, 100) and batch["ids"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", "1"), ("seed", -1), ("seed", 2**80), ("precision", "8-bit"), ("sizes", []), ("sizes", [3]),
        ("sizes", [2, 2.5]), ("sizes", None), ("places", [1]), ("norm_frozen", "no"),
    ],
)  # fmt: skip
def test_odd_facts_are_named(step: Path, name: str, value: object) -> None:
    (step / "step.json").write_text(json.dumps({**FACTS, name: value}))
    with pytest.raises(InputError, match=name):
        read_step(step)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff"])
def test_facts_that_are_none(step: Path, content: bytes) -> None:
    (step / "step.json").write_bytes(content)
    with pytest.raises(InputError, match="step.json"):
        read_step(step)


@pytest.mark.parametrize(
    "changed",
    [
        {"images.0": None}, {"ids.0": None}, {"labels.0": None}, {"labels.0": np.full((2, 3), 1 << 40)},
        {"labels.0": np.full((2, 3), -1)}, {"lengths.0": np.array([3, 4])}, {"images.0": np.zeros((2, 9))},
        {"images.0": np.zeros((2, 16, 100, 1), np.uint8)}, {"ids.0": np.zeros((2, 1), np.int64)}, {"x.7": np.zeros(2)},
        {"x": np.zeros(2)}, {"ids/y.0": np.zeros(2)}, {"labels.0": np.array(["a", "b"])}, {"ids.0": np.zeros(3)},
        {"kept.0": np.zeros(2)}, {"kept/images.0": np.zeros((2, 32, 100, 1), np.uint8)},
    ],
)  # fmt: skip
def test_arrays_that_no_loss_should_read(step: Path, changed: dict[str, Any]) -> None:
    arrays = {name: value for name, value in {**ARRAYS, **changed}.items() if value is not None}
    np.savez(step / "batch.npz", **arrays)
    with pytest.raises(InputError, match="batch.npz"):
        read_step(step)


def test_an_empty_file_of_arrays_is_no_end_of_input(step: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (step / "batch.npz").write_bytes(b"")
    assert run(["diagnose", "replay", str(step)]) == 3
    assert "aborted" not in capsys.readouterr().err
