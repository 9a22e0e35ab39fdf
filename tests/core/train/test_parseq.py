"""`train parseq-tiny` end to end: learns, resumes bit for bit, starts from published weights, is read and refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl import Engine
from ocrctl.config.model_card import ModelCard
from ocrctl.core.runs.folder import set_names
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.core.train.task import TrainResult
from ocrctl.errors import InputError, UsageError
from ocrctl.models import build
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.models.parseq.model import SIZES
from ocrctl.text.charset import ASCII94

WORDS = ["cat", "Dog", "sun!", "hat", "pen", "cup", "map", "fox", "owl", "a"]
QUICK = ["train.max_steps=4", "train.val_every_steps=2", "train.log_every_steps=2", "train.batch_size=3",
         "data.workers=0", "data.max_val_samples=4", "train.threads=1", "synth.max_length=25"]  # fmt: skip


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block in the encoder: these tests are about what surrounds the model."""
    monkeypatch.setitem(SIZES, "parseq-tiny", replace(SIZES["parseq-tiny"], blocks=1))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn words in PaddleOCR's layout."""
    return write_words(tmp_path_factory.mktemp("words"), WORDS)


def write_words(folder: Path, labels: list[str]) -> Path:
    for number, word in enumerate(labels):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    lines = [f"{number}.png\t{word}\n" for number, word in enumerate(labels)]
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def run(
    out: Path, data: list[str] | None, *sets: str, resume: bool = False, init: Path | None = None, **flags: object
) -> tuple[TrainResult, list[str]]:
    tree = {"arch": "parseq-tiny", "data": {"train": data, **flags}, "model": {"init": str(init) if init else None}}
    lines: list[str] = []
    result = train(TrainRequest(load_train_settings(None, [*QUICK, *sets], tree), out, resume), lines.append)
    return result, lines


def weights(out: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(out / "last.ckpt")["state_dict"]


def test_two_and_two_steps_equal_four_whatever_the_workers(words: Path, tmp_path: Path) -> None:
    """With dropout, reading orders, a mixture of real and synthetic words, and validation in between."""
    data = [str(words), "synth:words"]
    run(tmp_path / "whole", data)
    run(tmp_path / "parts", data, "train.max_steps=2", "train.schedule=constant", "data.workers=2")
    run(tmp_path / "constant", data, "train.schedule=constant")
    result, _ = run(tmp_path / "parts", None, "train.max_steps=4", resume=True)
    assert result.steps == 4
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in weights(tmp_path / "constant").items():
        assert torch.equal(value, parts[name]), name
    assert any(not torch.equal(value, whole[name]) for name, value in parts.items())
    assert len(list((tmp_path / "parts" / "previews").iterdir())) == 2


def test_four_workers_train_without_a_word_about_masks(words: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(tmp_path / "run", [str(words)], "data.workers=4")
    assert not [str(item.message) for item in caught if "mask" in str(item.message)]


def test_the_learning_rate_is_the_architectures_unless_something_names_one(tmp_path: Path) -> None:
    def rate(*sets: str, arch: str = "parseq-tiny", profile: str | None = None) -> float:
        return load_train_settings([profile] if profile else None, sets, {"arch": arch}).train.lr

    left_alone = load_train_settings(None, [], {"arch": "parseq-tiny"})
    assert "train.lr" not in set_names(left_alone)  # so that a run with a rate of its own can be resumed
    assert (rate(), rate(arch="crnn"), rate("train.lr=0.1")) == (5e-4, 1e-3, 0.1)
    assert rate(profile="rtx3090") == 1e-3 and rate(profile="rtx3090", arch="crnn") == 2e-3
    (tmp_path / "own.toml").write_text("[recognition.train]\nlr = 0.3\n")
    assert rate(profile=str(tmp_path / "own.toml")) == 0.3


def test_a_run_starts_from_published_weights(words: Path, tmp_path: Path) -> None:
    card = ModelCard("parseq-tiny", "recognition", ASCII94, 32, 128, 3, 25)
    torch.manual_seed(5)
    published = dict(build.build_model(card).state_dict())
    torch.save(published, tmp_path / "parseq_tiny.pt")
    still = ["train.lr=1e-12", "train.weight_decay=0"]
    _, lines = run(tmp_path / "same", [str(words)], *still, init=tmp_path / "parseq_tiny.pt")
    assert f"from: {tmp_path / 'parseq_tiny.pt'} (published weights of parseq-tiny, same charset)" in lines
    same = weights(tmp_path / "same")
    for name, value in published.items():
        torch.testing.assert_close(same[f"model.{name}"], value, rtol=0, atol=1e-9)

    (tmp_path / "chars.txt").write_text("é!zcatDogsunhpemfxwlb\n", encoding="utf-8")
    _, lines = run(tmp_path / "other", [str(words)], *still, init=tmp_path / "parseq_tiny.pt",
                   charset=str(tmp_path / "chars.txt"))  # fmt: skip
    assert any("20 of 21 characters keep their weights" in line for line in lines)
    new = weights(tmp_path / "other")
    embedded, head = new["model.text_embed.embedding.weight"], new["model.head.weight"]
    assert (embedded.shape[0], head.shape[0]) == (24, 22)
    was = published["text_embed.embedding.weight"]
    for row, before in ((0, 0), (2, ASCII94.index("!") + 1), (3, ASCII94.index("z") + 1), (-2, -2), (-1, -1)):
        torch.testing.assert_close(embedded[row], was[before], rtol=0, atol=1e-9)
    torch.testing.assert_close(head[3], published["head.weight"][ASCII94.index("z") + 1], rtol=0, atol=1e-9)


def test_weights_of_another_size_or_kind_are_refused(words: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    card = ModelCard("parseq", "recognition", ASCII94, 32, 128, 3, 25)
    torch.save(dict(build.build_model(card).state_dict()), tmp_path / "parseq.pt")
    with pytest.raises(InputError, match="weights do not fit parseq-tiny"):
        run(tmp_path / "run", [str(words)], init=tmp_path / "parseq.pt")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds no model card"):
        run(tmp_path / "run2", [str(words)], init=tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds crnn-tiny, whose weights do not fit parseq-tiny"):
        run(tmp_path / "run3", [str(tmp_path / "no_data")], init=tiny_checkpoint)  # before data is opened
    assert not list(tmp_path.glob("run*"))


def test_a_batch_of_one_trains_and_is_validated(words: Path, tmp_path: Path) -> None:
    result, _ = run(tmp_path / "run", [str(words)], "train.batch_size=1", "data.max_val_samples=1")
    assert result.steps == 4 and all(bool(value.isfinite().all()) for value in weights(tmp_path / "run").values())


def test_resume_with_another_model_is_refused(words: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", [str(words)])
    text = (tmp_path / "run" / "config.toml").read_text().replace('"parseq-tiny"', '"parseq"')
    (tmp_path / "run" / "config.toml").write_text(text)
    with pytest.raises(UsageError, match="holds parseq-tiny, not parseq"):
        settings = load_train_settings(None, ["train.max_steps=6"], {"arch": "parseq"})
        train(TrainRequest(settings, tmp_path / "run", resume=True), lambda line: None)


@pytest.mark.parametrize(("label", "message"), [("a" * 26, "label too long"), ("", "empty label"), ("ü", "'ü' x1")])
def test_labels_that_cannot_be_learnt_stop_a_run(tmp_path: Path, label: str, message: str) -> None:
    write_words(tmp_path, [*WORDS[:4], label])
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", [str(tmp_path)])
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def trained(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of one-block PARSeq; it stays one-block while the tests read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "parseq-tiny", replace(SIZES["parseq-tiny"], blocks=1))
        out = tmp_path_factory.mktemp("runs") / "parseq"
        run(out, [str(words)])
        yield out


def test_the_card_says_how_it_reads_and_a_command_may_choose(trained: Path, tiny_checkpoint: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    engine = Engine.load(trained, device="cpu")
    assert engine.card.channels == 3
    assert engine.card.model == {"dropout": 0.1, "decoding": "ar", "refine": 1}
    assert len(engine.recognize([picture, picture])) == 2
    other = Engine.load(trained, device="cpu", decoding="nar")
    assert other is not engine and other.card.model["decoding"] == "nar"
    assert other.recognize([picture])[0].confidence > 0
    with pytest.raises(UsageError, match="crnn-tiny does not support decoding 'nar'"):
        Engine.load(tiny_checkpoint, device="cpu", decoding="nar")
    with pytest.raises(UsageError, match="decoding 'widest': use greedy, beam:WIDTH, ar"):
        Engine.load(trained, device="cpu", decoding="widest")
