"""Files that are no checkpoints, and checkpoints that were damaged on the way."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ocrctl.config.model_card import recognition_card
from ocrctl.errors import InputError, UsageError
from ocrctl.models.checkpoint import load_checkpoint, read_checkpoint, write_checkpoint
from ocrctl.models.registry import get_spec


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


def test_a_zip_that_claims_several_disks_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    data = bytearray(saved(path))
    locator = data.rindex(b"PK\x06\x07")  # of the zip64 directory: signature, disk, offset (8 bytes), number of disks
    data[locator + 16] ^= 2
    path.write_bytes(data)
    with pytest.raises(InputError, match="a.ckpt: a PyTorch file that is cut off or damaged"):
        read_checkpoint(path)


def test_a_checkpoint_that_unpacks_to_too_much_is_refused_at_once(
    tmp_path: Path, set_limit: Callable[[str, str], None]
) -> None:
    saved(tmp_path / "a.ckpt")
    path = tmp_path / "bomb.ckpt"
    with (
        zipfile.ZipFile(tmp_path / "a.ckpt") as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
        with target.open("a/data/1", "w") as part:
            for _ in range(256):
                part.write(bytes(1 << 20))
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"bomb.ckpt: \d+ bytes would unpack to \d+, more than 50 times") as caught:
        read_checkpoint(path)
    assert time.perf_counter() - start < 0.2  # unpacking it for its checksums takes longer
    assert caught.value.hint and "OCRCTL_LIMITS__UNPACK_RATIO=" in caught.value.hint
    set_limit("limits.unpack_ratio", "2000")
    read_checkpoint(path)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([torch.zeros(2)], "should be named tensors, found list"),
        ({"model.w": 3}, "int under 'model.w'"),
        ({"model.w": None}, "NoneType under"),
        ({3: torch.zeros(2)}, "Tensor under 3"),
        ({"model.w": torch.zeros(2).to_sparse()}, "torch.sparse_coo"),
        ({"model.w": torch.zeros(2, dtype=torch.complex64)}, "complex64"),
        ({"model.w": torch.zeros(2, device="meta")}, "on meta"),
        ({"model.w": torch.zeros(1).expand(1 << 40)}, "over 4 bytes"),
    ],
)
@pytest.mark.parametrize("part", ["state_dict", "ema"])
def test_weights_of_other_kinds_are_named(
    tmp_path: Path, tiny_checkpoint: Path, weights: Any, said: str, part: str
) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({**torch.load(tiny_checkpoint, weights_only=True), part: weights}, path)
    with pytest.raises(InputError, match=r"a.ckpt: (state_dict|ema) should be named tensors") as caught:
        load_checkpoint(path)
    assert said in caught.value.message


def test_a_written_checkpoint_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    path, weights = tmp_path / "new" / "a.ckpt", {"a": torch.arange(6.0).view(2, 3).T}
    card = recognition_card(get_spec("crnn-tiny"), "abc")
    write_checkpoint(path, card, weights, source={"file": "w.pth"})
    found, held = load_checkpoint(path)
    assert found == card and torch.equal(held["a"], weights["a"])
    assert read_checkpoint(path)["source"] == {"file": "w.pth"}
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        write_checkpoint(path, card, {})
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["a.ckpt"]
