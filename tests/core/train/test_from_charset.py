"""`--from` without `--charset`: the run keeps the charset of its initial model, also when it is resumed."""

from __future__ import annotations

from pathlib import Path

import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint

SETS = ["train.batch_size=4", "data.workers=0", "data.max_val_samples=4", "train.threads=1", "log.previews=0",
        "train.val_every_steps=1", "data.general=none"]  # fmt: skip


def test_the_charset_is_that_of_the_initial_model(tmp_path: Path) -> None:
    card = ModelCard("crnn-tiny", "recognition", "abcdefgé", 32, 100, 1, 25)
    state = {f"model.{name}": value for name, value in build_model(card).state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, tmp_path / "base.ckpt")
    out, lines = tmp_path / "run", list[str]()
    tree = {"arch": "crnn-tiny", "model": {"init": str(tmp_path / "base.ckpt")}}
    train(TrainRequest(load_train_settings(None, [*SETS, "train.max_steps=1"], tree), out), lines.append)
    assert load_checkpoint(out / "last.ckpt")[0].charset == card.charset
    assert any(line.startswith("charset: 8 characters of the --from model") for line in lines)
    (tmp_path / "base.ckpt").unlink()  # a resumed run has its own checkpoint
    train(TrainRequest(load_train_settings(None, ["train.max_steps=2"], {}), out, resume=True), lines.append)
    assert load_checkpoint(out / "last.ckpt")[0].charset == card.charset


def test_a_given_charset_wins(tmp_path: Path, tiny_checkpoint: Path) -> None:
    tree = {"arch": "crnn-tiny", "model": {"init": str(tiny_checkpoint)}, "data": {"charset": "ascii94"}}
    train(TrainRequest(load_train_settings(None, [*SETS, "train.max_steps=1"], tree), tmp_path / "run"), print)
    assert len(load_checkpoint(tmp_path / "run" / "last.ckpt")[0].charset) == 94
