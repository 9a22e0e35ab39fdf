"""model.resize=keep in training: batches by width, exact resume, labels that need room, quarantine, preflight."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import ocrctl.training.objectives as objectives
from ocrctl import Engine
from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.output_steps import output_steps
from ocrctl.core.train.recognition import RecognitionTask, prepare
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.datasets.loader import training_loader
from ocrctl.data.datasets.recognition import WordBatch
from ocrctl.diagnose.replay import replay
from ocrctl.errors import InputError, ResumableStop, UsageError
from ocrctl.models.checkpoint import load_checkpoint, read_checkpoint
from ocrctl.models.registry import get_spec
from ocrctl.training.nonfinite_samples import read_excluded

SETS = ["model.resize=keep", "train.val_every_steps=4", "train.log_every_steps=2", "train.batch_size=4",
        "data.workers=2", "data.max_val_samples=6", "train.threads=1", "train.schedule=constant", "log.previews=3",
        "train.device=cpu"]  # fmt: skip
LABELS = ["a", "bb", "cup", "tree", "house", "little", "another", "elephant", "crocodile", "strawberry", "iiiiiiiiii"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of many widths; one a single pixel wide, one very long, one too narrow for its ten equal letters."""
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(44):
        label = LABELS[number % len(LABELS)]
        height = int(rng.integers(16, 50))
        width = {0: 1, 5: 2000, 10: 12}.get(number, max(2, round(height * 0.55 * len(label))))
        image = np.full((height, width, 3), 255, np.uint8)
        cv2.putText(image, label, (1, height - 6), cv2.FONT_HERSHEY_SIMPLEX, height / 40, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        lines.append(f"{number}.png\t{label}\n")
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def go(out: Path, steps: int, *sets: str, data: list[str] | None = None) -> list[str]:
    resume = (out / "config.toml").exists()
    tree = {} if resume else {"arch": "crnn-tiny", **({"data": {"train": data}} if data else {})}
    settings = load_train_settings(None, [f"train.max_steps={steps}", *([] if resume else [*SETS, *sets])], tree)
    lines: list[str] = []
    train(TrainRequest(settings, out, resume), lines.append)
    return lines


def task(*sets: str, data: list[str] | None = None) -> RecognitionTask:
    tree = {"arch": "crnn-tiny", "data": {"train": data}} if data else {"arch": "crnn-tiny"}
    settings = load_train_settings(None, [*SETS, *sets], tree)
    return prepare(settings, get_spec("crnn-tiny", settings.model.width, "keep"), lambda line: None)


@pytest.mark.parametrize("mixed", [False, True], ids=["files", "files and synth"])
def test_five_and_five_steps_equal_ten(mixed: bool, words: Path, tmp_path: Path) -> None:
    data = [str(words), *(["synth:words"] if mixed else [])]
    go(tmp_path / "whole", 10, "data.workers=0", data=data)
    go(tmp_path / "halves", 5, data=data)
    go(tmp_path / "halves", 10)
    whole, halves = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "halves"))
    assert whole["global_step"] == 10 and whole["next_draw"] == halves["next_draw"] == 40
    assert all(torch.equal(value, halves["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert Engine.load(tmp_path / "whole").card.kept == KeptAspect(8, 640, 4)
    assert len(list((tmp_path / "whole" / "previews").iterdir())) == 3  # steps 4, 8 and 10


def test_batches_are_the_same_from_any_number_of_processes(words: Path) -> None:
    found = task(data=[str(words), "synth:words"])
    here = [found.samples.__getitems__(range(start, start + 4)) for start in range(0, 40, 4)]
    for workers in (1, 3):
        loader = training_loader(found.samples, batch_size=4, start=8, workers=workers)
        for batch in here[2:]:
            assert isinstance(batch, WordBatch) and batch.widths is not None
            there = next(loader)
            assert np.array_equal(there["images"].permute(0, 2, 3, 1).numpy(), batch.images)
            assert there["widths"].tolist() == batch.widths.tolist()
        loader.close()


def test_the_width_of_every_draw_is_known_without_its_image(words: Path) -> None:
    samples = task(data=[str(words), "synth:words"]).samples
    assert samples.order is not None
    for position in range(120):
        image, _ = samples.sample(position)
        assert image.shape == (32, samples.width(samples.order.draw(position)), 1)


def test_augmentation_leaves_a_long_line_its_aspect_ratio(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "line.png"), np.full((100, 2000, 3), 200, np.uint8))  # 640 pixels wide at 32
    (tmp_path / "rec_gt.txt").write_text("line.png\tline\n", encoding="utf-8")
    samples = task("data.val=synth:words", data=[str(tmp_path)]).samples
    widths = [samples.sample(position)[0].shape[1] for position in range(40)]
    assert np.median(widths) > 550  # 512 at most if it were limited to 1024 pixels for its 64 rows


def test_every_sample_is_drawn_once_in_an_epoch(words: Path) -> None:
    samples = task("data.val=synth:words", data=[str(words)]).samples
    places = [samples.locate(position)[0] for position in range(44)]
    assert sorted(places) == [(0, index) for index in range(44)]


def test_a_narrow_image_is_widened_for_its_label(words: Path, tmp_path: Path) -> None:
    found = task("data.val=synth:words", "data.augment=0", data=[str(words)])
    for position in range(44):
        image, label = found.samples.sample(position)
        assert output_steps(found.spec, image.shape[1]) >= found.tokenizer.required_steps(label)
        if found.samples.locate(position)[0] == (0, 10):
            assert image.shape[1] == 76  # ten letters, nine blanks, four pixels each
    lines = go(tmp_path / "run", 1, "data.val=synth:words", data=[str(words)])
    assert "of 44 images 1 are compressed to 640, 1 widened for their labels" in "\n".join(lines)


def test_a_bad_batch_is_kept_with_its_widths_and_played_back(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = objectives.ctc_objective
    bad = 4 * 6 + 2  # of the seventh step

    def planted(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.where((batch["ids"] == bad).any(), torch.nan, learn(model, batch))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(objectives, "ctc_objective", planted)
        with pytest.raises(ResumableStop, match="1 of its 4 samples alone give it"):
            go(tmp_path / "run", 12, data=[str(words)])
    folder = tmp_path / "run" / "quarantine" / "step-0000007"
    with np.load(folder / "batch.npz") as batch:
        assert batch["images.0"].shape[2] >= batch["widths.0"].max() > 0
        arrays = dict(batch)
    assert {check.name: check.status for check in replay(folder).checks}["forward"] == "ok"
    np.savez(folder / "batch.npz", **{**arrays, "widths.0": arrays["widths.0"] + 9999})
    with pytest.raises(InputError, match="do not fit images"):
        replay(folder)
    settings = load_train_settings(None, ["train.on_nonfinite=skip"], {})
    train(TrainRequest(settings, tmp_path / "run", True), lambda line: None)
    (sample,) = read_excluded(tmp_path / "run")
    excluding = task(data=[str(words)]).samples
    assert excluding.exclude(frozenset({sample})) is None
    assert sample not in [excluding.locate(position)[0] for position in range(80)]


def test_preflight_overfits_a_padded_batch(words: Path, tmp_path: Path) -> None:
    settings = load_train_settings(
        None, [*SETS, "train.max_steps=1", "data.augment=0"], {"arch": "crnn-tiny", "data": {"train": [str(words)]}}
    )
    lines: list[str] = []
    train(TrainRequest(settings, tmp_path / "run", preflight=True), lines.append)
    assert any("one batch overfitted" in line for line in lines)
    card, _ = load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert (card.preprocessing, card.width, card.max_label_length) == ("keep", 640, 160)
    assert any("input 32x8..640x1" in line for line in lines)


@pytest.mark.parametrize(
    ("arch", "said"), [("parseq-tiny", "model.resize=keep: parseq-tiny supports only stretch"), ("dbnet", "page.side")]
)
def test_an_architecture_that_cannot_says_so(arch: str, said: str, tmp_path: Path) -> None:
    settings = load_train_settings(None, ["model.resize=keep"], {"arch": arch})
    with pytest.raises(UsageError, match=said):
        train(TrainRequest(settings, tmp_path / "run"), lambda line: None)
    assert not (tmp_path / "run").exists()


def test_weights_of_a_stretched_model_start_one_that_keeps(tiny_checkpoint: Path, words: Path, tmp_path: Path) -> None:
    lines = go(tmp_path / "run", 1, f"model.init={tiny_checkpoint}", data=[str(words)])
    assert any(line.startswith("from:") and "trained with model.resize=stretch" in line for line in lines)
    state = json.loads(read_checkpoint(tmp_path / "run" / "last.ckpt")["ocrctl"])
    assert KeptAspect(**state["kept"]) == KeptAspect(8, 640, 4)
