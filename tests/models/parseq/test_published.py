"""Published PARSeq weights in every form: state dict, Lightning checkpoint, `model.` prefix, any charset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.models import build
from ocrctl.models.checkpoint import load_initial
from ocrctl.models.weight_file import read_weight_file, recognise
from ocrctl.text.charset import ASCII94, LOWER36


def published(charset: str, arch: str = "parseq-tiny", **card: Any) -> dict[str, torch.Tensor]:
    sizes = {"width": 128, "max_label_length": 25, **card}
    return dict(build.build_model(ModelCard(arch, "recognition", charset, 32, channels=3, **sizes)).state_dict())


@pytest.mark.parametrize(
    ("charset", "told", "expected"),
    [
        (ASCII94, None, ASCII94),
        (LOWER36, None, LOWER36),
        (ASCII94[:62], None, ASCII94[:62]),
        ("abc", None, None),  # of no release: has to be given
        ("가나다", "가나다", "가나다"),
        (LOWER36, LOWER36[::-1], LOWER36[::-1]),  # what the file says comes first
    ],
)
def test_the_charset_is_the_files_or_that_of_a_release(
    tmp_path: Path, charset: str, told: str | None, expected: str | None
) -> None:
    weights = {f"model.{name}": value for name, value in published(charset).items()}
    torch.save({"state_dict": weights, **({"hyper_parameters": {"charset_train": told}} if told else {})},
               tmp_path / "w.ckpt")  # fmt: skip
    found = recognise(read_weight_file(tmp_path / "w.ckpt"))
    assert found is not None and (found.arch, found.charset) == ("parseq-tiny", expected)
    if expected is None:
        with pytest.raises(InputError, match="holds published weights of parseq-tiny, but not its charset") as caught:
            load_initial(tmp_path / "w.ckpt")
        assert caught.value.hint and "--as parseq-tiny --charset FILE" in caught.value.hint


def test_sizes_are_read_from_the_tensors(tmp_path: Path) -> None:
    torch.save(published(ASCII94, "parseq", width=256, max_label_length=40), tmp_path / "w.pt")
    found = recognise(read_weight_file(tmp_path / "w.pt"))
    assert found is not None and found.arch == "parseq" and found.card == {"width": 256, "max_label_length": 40}


def test_a_size_without_an_architecture_is_refused(tmp_path: Path) -> None:
    weights = published(ASCII94)
    weights["head.weight"] = torch.zeros(95, 768)
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(InputError, match="PARSeq of another size: 768 features"):
        recognise(read_weight_file(tmp_path / "w.pt"))
