"""A checkpoint that cannot be written: why, in words, and the one before it whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ocrctl.errors import ResumableStop
from ocrctl.training.checkpoints import save_atomically, write_atomically


class FullDisk:
    """A file on a disk that takes `room` more bytes."""

    def __init__(self, file: Any, room: int, code: int) -> None:
        self.file, self.room, self.code = file, room, code

    def write(self, data: Any) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.code, os.strerror(self.code))
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EFBIG, "file too large"),
        (errno.EIO, "input/output error"),
    ],
)
@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_failed_write_is_told_by_its_cause_and_the_file_before_stays(
    tmp_path: Path, code: int, said: str, room: int
) -> None:
    """PyTorch's writer reports all of them as `[enforce fail at inline_container.cc:672]`."""
    path = tmp_path / "run" / "last.ckpt"
    save_atomically({"step": 1}, path)
    (tmp_path / "run" / "config.toml").touch()
    for write in (
        lambda file: torch.save({"step": torch.zeros(4000)}, file),
        lambda file: np.savez(file, np.zeros(4000)),
    ):
        with pytest.raises(ResumableStop) as caught:
            write_atomically(path, lambda file, write=write: write(FullDisk(file, room, code)), "the checkpoint")
        message = f"{path}: the checkpoint could not be written, {said}; the file written before it is intact."
        assert caught.value.message == message and caught.value.exit_code == 5
        assert caught.value.hint is not None and caught.value.hint.endswith(f"--resume -o {tmp_path / 'run'}")
        assert ("free some space" in caught.value.hint) == (said == "the disk is full")
    assert torch.load(path, weights_only=True) == {"step": 1} and len(list((tmp_path / "run").iterdir())) == 2
