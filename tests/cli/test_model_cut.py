"""`ocrctl model cut`: a recogniser with fewer characters reads the same with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.export.parity import probe_images
from ocrctl.models.checkpoint import load_checkpoint

KEPT = "zyx9a0b"  # another order than the model's


@pytest.fixture
def charset(tmp_path: Path) -> Path:
    (tmp_path / "kept.txt").write_text(KEPT + "\n", encoding="utf-8")
    return tmp_path / "kept.txt"


def test_logits_of_the_kept_characters_stay(
    tiny_checkpoint: Path, charset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cut.ckpt"
    assert run(["model", "cut", str(tiny_checkpoint.parent), "--charset", str(charset), "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "7 of 36 characters" in shown.out
    assert f"model cut: reading {tiny_checkpoint.parent}\nmodel cut: writing {out}\n" in shown.err
    before, after = Engine.load(tiny_checkpoint, device="cpu"), Engine.load(out, device="cpu")
    assert after.card.charset == KEPT and after.card.max_label_length == before.card.max_label_length
    batch = np.stack(probe_images(before, 5))
    rows = [0, *(before.card.charset.index(char) + 1 for char in KEPT)]
    np.testing.assert_allclose(after.logits(batch), before.logits(batch)[:, :, rows], atol=1e-5)


def test_classes_after_the_characters_are_kept(tmp_path: Path, charset: Path) -> None:
    """PARSeq's embedding has [BOS] and [PAD] after the characters."""
    import torch

    from ocrctl.config.model_card import CARD_KEY, ModelCard
    from ocrctl.models.build import build_model
    from ocrctl.models.registry import get_spec
    from ocrctl.text.charset import LOWER36

    spec = get_spec("parseq-tiny")
    card = ModelCard(
        arch=spec.name, task="recognition", charset=LOWER36, height=spec.input_height, width=spec.input_width,
        channels=3, max_label_length=spec.max_label_length, model={"dropout": 0.1, "decoding": "ar", "refine": 1},
    )  # fmt: skip
    state = build_model(card).state_dict()
    content = {CARD_KEY: card.to_json(), "state_dict": {f"model.{name}": value for name, value in state.items()}}
    torch.save(content, tmp_path / "whole.ckpt")
    out = tmp_path / "cut.ckpt"
    assert run(["model", "cut", str(tmp_path / "whole.ckpt"), "--charset", str(charset), "-o", str(out)]) == 0
    _, cut = load_checkpoint(out)
    name = "text_embed.embedding.weight"
    assert len(cut[name]) == len(KEPT) + 3 and torch.equal(cut[name][-2:], state[name][-2:])
    assert torch.equal(cut[name][1], state[name][LOWER36.index("z") + 1])


def test_a_character_without_a_class_is_named(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["model", "cut", str(tiny_checkpoint), "--charset", "ascii95", "-o", str(tmp_path / "cut.ckpt")]
    assert run(arguments) == 2
    assert "no class for 59 of its 95 characters: A (U+0041)" in capsys.readouterr().err
    assert not (tmp_path / "cut.ckpt").exists()


def test_a_changed_charset_file_is_announced(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "twice.txt").write_text("a\nb\na\n \n")
    note = f"note: charset {tmp_path / 'twice.txt'}: 1 repeated character removed (first 'a' (U+0061))"
    charset = ["--charset", str(tmp_path / "twice.txt")]
    assert run(["dataset", "validate", str(word_folder), "--for", "crnn", *charset]) in (0, 1)
    assert note in capsys.readouterr().err
    assert run(["train", "-d", str(word_folder), *charset, "--unknown-chars", "skip", "-o", str(tmp_path / "r")]) == 3
    assert note in capsys.readouterr().err  # before the words it leaves out
    (tmp_path / "twice.txt").write_text("aba\n")  # one line: no space is added, but nothing may vanish unsaid
    assert run(["model", "cut", str(tiny_checkpoint), *charset, "-o", str(tmp_path / "cut.ckpt")]) == 0
    assert note in capsys.readouterr().err


def test_wrong_arguments(
    tiny_detector: Path, tiny_checkpoint: Path, charset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(model: Path, out: str) -> int:
        return run(["model", "cut", str(model), "--charset", str(charset), "-o", str(tmp_path / out), "--json"])

    assert cut(tiny_detector, "a.ckpt") == 2 and "is a detector and has no charset" in capsys.readouterr().err
    assert cut(tiny_checkpoint, "a.onnx") == 2 and "ocrctl export" in capsys.readouterr().err
    assert cut(tiny_checkpoint, "a.ckpt") == 0
    assert json.loads(capsys.readouterr().out)["characters_before"] == 36
    assert cut(tiny_checkpoint, "a.ckpt") == 2 and "exists already" in capsys.readouterr().err
