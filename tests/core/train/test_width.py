"""model.width: a recogniser for images of another width than its architecture's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.config.output_steps import output_steps
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import UsageError
from ocrctl.inference.engine import Engine
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.registry import get_spec

QUICK = [
    "train.max_steps=2", "train.batch_size=4", "train.val_every_steps=2", "train.threads=1", "train.device=cpu",
    "data.workers=0", "data.max_val_samples=4", "log.previews=0", "data.charset=lower36",
]  # fmt: skip


def run(out: Path, arch: str, *sets: str) -> list[str]:
    lines: list[str] = []
    train(TrainRequest(load_train_settings(None, [*QUICK, *sets], {"arch": arch}), out), lines.append)
    return lines


def test_wider_images_give_ctc_more_steps_and_longer_labels() -> None:
    spec, wide = get_spec("crnn"), get_spec("crnn", 320)
    assert (output_steps(spec), spec.max_label_length) == (32, 32)
    assert (output_steps(wide), wide.max_label_length) == (80, 80)
    assert get_spec("parseq-tiny", 256).max_label_length == 25  # its queries are learnt one by one


@pytest.mark.parametrize(
    ("arch", "width", "said"),
    [
        ("crnn", 130, "a multiple of 4"),
        ("parseq", 100, "a multiple of 8"),
        ("dbnet", 640, "pages of any size"),
        ("crnn", 1_000_000, "8192"),
    ],
)
def test_widths_that_do_not_suit_are_refused(tmp_path: Path, arch: str, width: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(tmp_path / "run", arch, f"model.width={width}")
    assert not (tmp_path / "run").exists()


def test_a_model_keeps_the_width_it_was_trained_at(tmp_path: Path) -> None:
    run(tmp_path / "wide", "crnn-tiny", "model.width=160", "synth.min_length=28", "synth.max_length=30")
    card, _ = load_checkpoint(tmp_path / "wide" / "last.ckpt")
    assert (card.width, card.max_label_length) == (160, 40)
    engine = Engine.load(tmp_path / "wide")
    assert engine.prepare(np.zeros((20, 300, 3), np.uint8)).shape == (32, 160, 1)
    assert len(engine.recognize([np.zeros((20, 300, 3), np.uint8)])) == 1
    lines = run(tmp_path / "narrow", "crnn-tiny", f"model.init={tmp_path / 'wide'}")
    assert any(line.startswith("from:") for line in lines)


def test_positions_learnt_at_one_width_are_interpolated_for_another(tmp_path: Path) -> None:
    run(tmp_path / "narrow", "parseq-tiny", "model.width=32", "synth.max_length=4")
    still = ["train.lr=1e-12", "train.weight_decay=0"]
    run(tmp_path / "wide", "parseq-tiny", *still, f"model.init={tmp_path / 'narrow'}")
    _, given = load_checkpoint(tmp_path / "narrow" / "best.ckpt")
    card, taken = load_checkpoint(tmp_path / "wide" / "best.ckpt")
    assert card.width == 128
    before, after = (weights["encoder.pos_embed"][0].T.reshape(192, 8, -1) for weights in (given, taken))
    assert (before.shape[2], after.shape[2]) == (4, 16)
    torch.testing.assert_close(after.mean(2), before.mean(2), rtol=0, atol=0.1)
    for name, value in given.items():
        if name != "encoder.pos_embed":
            torch.testing.assert_close(taken[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("width", [64, 256])
def test_a_straight_line_of_positions_is_the_same_line_in_coarser_or_finer_steps(width: int) -> None:
    """Row r, dimension d, at x pixels: 100 r + d + x / 8, given at 128 pixels, 16 columns whose middles lie 8 apart."""
    model = build_model(ModelCard("parseq-tiny", "recognition", "abc", 32, width, 3, 25))

    def line(columns: int, pixels: float) -> torch.Tensor:
        x = (torch.arange(columns) + 0.5) * pixels / 8
        rows, dims = torch.arange(8.0)[:, None, None] * 100, torch.arange(192.0)
        return (rows + x[:, None] + dims).reshape(1, -1, 192)

    columns = width // 8
    taken = model.encoder.interpolate_positions(line(16, 8)).view(8, columns, 192)  # type: ignore[operator]
    expected = line(columns, 128 / columns).view(8, columns, 192)
    # At the ends the curve has no neighbour to go by; between them torch's cubic (a = -0.75) sways by 3/64 of a column.
    inside = slice(columns // 8, -(columns // 8))
    torch.testing.assert_close(taken[:, inside], expected[:, inside], rtol=0, atol=0.05)


def test_positions_of_the_same_width_stay_as_they_are() -> None:
    model = build_model(ModelCard("parseq-tiny", "recognition", "abc", 32, 128, 3, 25))
    weights = dict(model.state_dict())
    before = weights["encoder.pos_embed"].clone()
    model.adapt_weights(weights)
    assert torch.equal(weights["encoder.pos_embed"], before)
    torch.testing.assert_close(model.encoder.interpolate_positions(before), before, rtol=0, atol=1e-6)  # type: ignore[operator]
