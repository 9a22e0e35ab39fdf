"""Files that are no checkpoints, and checkpoints that were damaged on the way."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ocrctl.errors import InputError
from ocrctl.models.checkpoint import read_checkpoint


def saved(path: Path) -> bytes:
    torch.save({"ocrctl": "{}", "state_dict": {"model.weight": torch.arange(4096.0)}}, path)
    return path.read_bytes()


def test_a_flipped_byte_in_the_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    data = bytearray(saved(path))
    read_checkpoint(path)
    with zipfile.ZipFile(path) as file:
        info = max(file.infolist(), key=lambda info: info.file_size)
    data[data.index(torch.arange(4096.0).numpy().tobytes()[4:64]) + info.file_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged, the checksum of .*data/0"):
        read_checkpoint(path)


def test_fuzzed_files_are_input_errors(tmp_path: Path) -> None:
    """Zips and the older format alike: an InputError of one line, whatever the unpickler makes of them."""
    path, rng = tmp_path / "a.ckpt", np.random.default_rng(0)
    whole = saved(path)
    older = io.BytesIO()
    weights = {"ocrctl": "{}", "state_dict": {"model.weight": torch.zeros(4)}}
    torch.save(weights, older, _use_new_zipfile_serialization=False)
    refused = 0
    for start in (whole, older.getvalue()):
        for _ in range(100):
            data = np.frombuffer(start, np.uint8).copy()
            data[rng.integers(0, min(len(data), 600), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            try:
                read_checkpoint(path)
            except InputError as error:
                refused += 1
                assert str(path) in error.message and "\n" not in error.message and "weights_only" not in error.message
    assert refused > 100
