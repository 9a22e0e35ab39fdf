"""`--keep`: kept images in every batch, the base's outputs as targets, exact resume, the base's checksum."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.core.fine_tune.forgetting import forgetting
from ocrctl.core.train.keep import base_identity, held_out_part, recorded_base, write_base
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.datasets.kept import WithKept, kept_per_batch
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.datasets.recognition import FiniteWords, TrainingWords
from ocrctl.data.datasets.share import StepSampler
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.diagnose.replay import replay
from ocrctl.errors import InputError, ResumableStop, UsageError
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.text.tokenizer import CTCTokenizer
from ocrctl.training.distillation import DistillationObjective
from ocrctl.training.nonfinite_samples import read_excluded

SETS = ["train.batch_size=4", "data.workers=0", "data.max_val_samples=4", "train.threads=1", "train.schedule=constant",
        "log.previews=0", "train.log_every_steps=2", "train.val_every_steps=2"]  # fmt: skip


def draw(folder: Path, texts: list[str], labels: bool = True) -> Path:
    folder.mkdir(parents=True)
    for number, word in enumerate(texts):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    if labels:
        lines = "".join(f"{number}.png\t{word}\n" for number, word in enumerate(texts))
        (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data") / "new", ["cat", "dog", "sun", "hat", "pen", "cup"])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Word images without labels."""
    return draw(tmp_path_factory.mktemp("data") / "old", [f"old{n}" for n in range(8)], labels=False)


def run(out: Path, words: Path, base: Path, keep: str | None, *sets: str, arch: str = "crnn-tiny") -> list[str]:
    tree = {
        "arch": arch,
        "data": {"train": [str(words)], "keep": keep, "general": "none"},
        "model": {"init": str(base)},
    }
    resume = (out / "config.toml").exists()
    settings = load_train_settings(None, [*SETS, *sets], {} if resume else tree)
    lines: list[str] = []
    train(TrainRequest(settings, out, resume), lines.append)
    return lines


@pytest.mark.parametrize(("keep", "resize"), [("images", "stretch"), ("synth", "stretch"), ("images", "keep")])
def test_a_run_that_was_cut_in_two_is_the_run_that_was_not(
    keep: str, resize: str, words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    spec, resized = f"images:{images}" if keep == "images" else keep, f"model.resize={resize}"
    if resize == "keep":
        run(tmp_path / "base", words, tiny_checkpoint, None, "train.max_steps=1", resized)
        tiny_checkpoint = tmp_path / "base" / "last.ckpt"
    lines = run(tmp_path / "whole", words, tiny_checkpoint, spec, "train.max_steps=4", "data.workers=1", resized)
    assert any(line.startswith("keep: ") and "2 with each batch of 4 (33% of its images)" in line for line in lines)
    run(tmp_path / "cut", words, tiny_checkpoint, spec, "train.max_steps=2", resized)
    run(tmp_path / "cut", words, tiny_checkpoint, spec, "train.max_steps=4")
    one, two = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    run(tmp_path / "without", words, tiny_checkpoint, None, "train.max_steps=4", resized)
    plain = read_checkpoint(tmp_path / "without" / "last.ckpt")["state_dict"]
    assert any(not torch.equal(value, one[name]) for name, value in plain.items())


@pytest.mark.parametrize(
    ("batch_size", "share", "per_batch"), [(32, 0.25, 11), (64, 0.3, 27), (4, 0.3, 2), (1, 0.1, 1)]
)
def test_each_batch_brings_the_next_batch_of_kept_images(batch_size: int, share: float, per_batch: int) -> None:
    assert kept_per_batch(batch_size, share) == per_batch
    stream = WithKept(None, None, batch_size, per_batch)  # type: ignore[arg-type]
    drawn = [list(stream.draws(range(batch * batch_size, (batch + 1) * batch_size))) for batch in range(100)]
    assert drawn == np.arange(100 * per_batch).reshape(100, per_batch).tolist()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 50), st.sets(st.integers(0, 200)))
def test_with_excluded_samples_every_batch_brings_as_many_and_none_twice(
    batch_size: int, per_batch: int, start: int, excluded: set[int]
) -> None:
    stream = WithKept(None, None, batch_size, per_batch)  # type: ignore[arg-type]
    batches = islice(StepSampler(batch_size, start, wanted=lambda n: n not in excluded), 20)
    drawn = [draw for numbers in batches for draw in stream.draws(numbers)]
    assert len(drawn) == len(set(drawn)) == 20 * per_batch


def test_kept_images_of_a_batch_have_similar_widths(tmp_path: Path) -> None:
    """The kept batches of 11 to a batch of 32, a share that is no whole number for each sample."""
    rng = np.random.default_rng(0)
    sizes = np.stack([rng.integers(20, 600, 3000), np.full(3000, 48)], 1).astype(np.int32)
    source = FolderWords("words", str(tmp_path), [f"{n}.png" for n in range(3000)], ["a"] * 3000)
    words = FiniteWords(source, range(3000), sizes=sizes)
    per_batch = kept_per_batch(32, 0.25)
    spec = get_spec("crnn-tiny").with_resize("keep")
    tokenizer = CTCTokenizer(Charset("a"), 25)
    kept = TrainingWords([words], Mixture([3000], None, 1), spec, tokenizer, 1, per_batch)
    assert kept.order is not None
    stream = WithKept(None, kept, 32, per_batch)
    batches = [[kept.width(kept.order.draw(draw)) for draw in stream.draws([32 * step])] for step in range(200)]
    padded = sum(len(widths) * max(widths) for widths in batches)
    assert padded < 1.05 * sum(map(sum, batches))


def test_the_new_samples_are_the_same_with_and_without_kept_images(
    words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[int], int]] = []
    original = DistillationObjective.__call__

    def spy(self: DistillationObjective, model: object, batch: dict[str, object]) -> torch.Tensor:
        kept = batch.get("kept")
        seen.append((batch["ids"].tolist(), len(kept["images"]) if kept else 0))  # type: ignore[attr-defined, index]
        return original(self, model, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(DistillationObjective, "__call__", spy)
    run(tmp_path / "run", words, tiny_checkpoint, f"images:{images}", "train.max_steps=3", "train.keep_share=0.5")
    assert seen == [([0, 1, 2, 3], 4), ([4, 5, 6, 7], 4), ([8, 9, 10, 11], 4)]


def plant(monkeypatch: pytest.MonkeyPatch, bad: dict[str, object]) -> None:
    """The distance of `count` or more images to the base is NaN: of every one, or of a batch with one of `ids`."""
    original = DistillationObjective.of_kept

    def planted(self: DistillationObjective, model: object, kept: dict[str, torch.Tensor]) -> torch.Tensor:
        hit = torch.isin(kept["ids"], torch.tensor(bad["ids"])).any() & (len(kept["ids"]) >= bad.get("count", 1))  # type: ignore[operator]
        return torch.where(hit, torch.nan, original(self, model, kept))  # type: ignore[arg-type]

    monkeypatch.setattr(DistillationObjective, "of_kept", planted)


@pytest.mark.parametrize("resize", ["stretch", "keep"])
def test_a_kept_image_that_is_not_finite_is_named_and_no_new_sample_excluded(
    resize: str, words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if resize == "keep":
        run(tmp_path / "base", words, tiny_checkpoint, None, "train.max_steps=1", "model.resize=keep")
        tiny_checkpoint = tmp_path / "base" / "last.ckpt"
    plant(monkeypatch, {"ids": [5]})  # the second image of the third batch
    sets = ("train.max_steps=4", "train.on_nonfinite=skip", f"model.resize={resize}", "train.max_skipped_share=1")
    lines = run(tmp_path / "run", words, tiny_checkpoint, f"images:{images}", *sets)
    skipped = next(line for line in lines if "step 3 skipped" in line)
    assert "1 of its 2 kept images (--keep) alone give it, first " in skipped and f"{images} (" in skipped
    assert "none of its 4 new samples does" in skipped
    folder = tmp_path / "run" / "quarantine" / "step-0000003"
    assert not read_excluded(tmp_path / "run")
    (row,) = [check for check in replay(folder).checks if check.name == "samples"]
    assert row.status == "fail" and json.loads((folder / "step.json").read_text())["sentence"] in row.detail
    assert {check.name: check.status for check in replay(folder).checks}["loss"] == "fail"
    monkeypatch.undo()
    assert {check.status for check in replay(folder).checks} == {"ok"}
    (folder / "base.ckpt").unlink()
    with pytest.raises(InputError, match=r"base\.ckpt"):
        replay(folder)


def test_kept_images_that_are_not_finite_together_exclude_no_new_sample(
    words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, {"ids": [5], "count": 2})
    with pytest.raises(ResumableStop, match="without the kept images the step is finite"):
        run(tmp_path / "run", words, tiny_checkpoint, f"images:{images}", "train.max_steps=4")
    assert not read_excluded(tmp_path / "run")


def test_a_step_before_a_bad_kept_image_can_be_resumed_from(
    words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, {"ids": [5]})
    with pytest.raises(ResumableStop, match="last.ckpt holds the state before it"):
        run(tmp_path / "run", words, tiny_checkpoint, f"images:{images}", "train.max_steps=4")
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2


def test_at_rate_zero_nothing_changes_and_the_distance_to_the_base_is_zero(
    words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run(tmp_path / "run", words, tiny_checkpoint, f"images:{images}", "train.max_steps=1", "train.lr=0")
    start, after = (read_checkpoint(path)["state_dict"] for path in (tiny_checkpoint, tmp_path / "run" / "last.ckpt"))
    assert all(torch.equal(value, after[name]) for name, value in start.items())


def test_the_base_is_recorded_and_another_one_is_refused(
    words: Path, images: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base.ckpt"
    base.write_bytes(tiny_checkpoint.read_bytes())
    keep = f"images:{images}"
    run(tmp_path / "run", words, base, keep, "train.max_steps=2")
    assert len(json.loads((tmp_path / "run" / "base.json").read_text())["sha256"]) == 64
    raw = torch.load(base, weights_only=True)
    raw["state_dict"]["model.head.linear.bias"] += 1
    torch.save(raw, base)
    with pytest.raises(InputError, match="has changed since .* began"):
        run(tmp_path / "run", words, base, keep, "train.max_steps=4")
    base.unlink()
    with pytest.raises(InputError, match="requires the model that the run started from"):
        run(tmp_path / "run", words, base, keep, "train.max_steps=4")


@pytest.mark.parametrize("init", ["runs/last", "runs/last/best.ckpt"])
def test_a_run_from_the_last_run_keeps_its_base(
    init: str, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def next_run(**model: str) -> Path:
        tree = {"arch": "crnn-tiny", "data": {"train": [str(words)]}, "model": model}
        settings = load_train_settings(None, [*SETS, "train.max_steps=2"], tree)
        ended: list[object] = []
        result = train(TrainRequest(settings), lambda line: None, at_end=lambda *given: ended.append(given))
        forgetting(*ended[0])  # type: ignore[misc]
        return result.run.resolve()

    first = next_run()
    second = next_run(init=init)
    assert first != second == Path("runs/last").resolve()
    recorded = json.loads((second / "base.json").read_text())
    assert recorded["path"] == str(first / "best.ckpt")
    assert recorded["sha256"] == hashlib.sha256((first / "best.ckpt").read_bytes()).hexdigest()
    assert json.loads((second / "forgetting.json").read_text())["base"] == str(first / "best.ckpt")
    (first / "best.ckpt").write_bytes((first / "best.ckpt").read_bytes() + b"x")
    with pytest.raises(InputError, match=r"best\.ckpt has changed since .* cannot be measured"):
        recorded_base(second, init)


def test_a_base_is_the_recorded_file_even_where_its_link_points_elsewhere(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.ckpt"
    link.symlink_to(tiny_checkpoint)
    write_base(tmp_path, base_identity(str(link)))
    link.unlink()
    link.write_bytes(b"another model")
    assert recorded_base(tmp_path, str(link)) == str(tiny_checkpoint.resolve())


def test_a_resumed_run_may_name_its_base_again(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = tmp_path / "base" / "best.ckpt"
    base.write_bytes(tiny_checkpoint.read_bytes())
    tree = {"arch": "crnn-tiny", "data": {"train": [str(words)]}, "model": {"init": str(base.parent)}}
    for steps in (1, 2):
        settings = load_train_settings(None, [*SETS, f"train.max_steps={steps}"], tree)
        assert train(TrainRequest(settings, tmp_path / "run", resume=True), lambda line: None).steps == steps


def test_other_images_are_refused_on_resume(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    old = draw(tmp_path / "old", ["a", "b", "c", "d"], labels=False)
    run(tmp_path / "run", words, tiny_checkpoint, f"images:{old}", "train.max_steps=2")
    (old / "9.png").write_bytes((old / "0.png").read_bytes())
    with pytest.raises(UsageError, match="has changed since"):
        run(tmp_path / "run", words, tiny_checkpoint, f"images:{old}", "train.max_steps=4")


def test_without_a_base_there_is_nothing_to_keep(words: Path, tmp_path: Path) -> None:
    settings = load_train_settings(None, SETS, {"arch": "crnn-tiny", "data": {"train": [str(words)], "keep": "synth"}})
    with pytest.raises(UsageError, match="--keep: requires --from"):
        train(TrainRequest(settings, tmp_path / "run"), lambda line: None)


def test_one_kept_image_is_refused(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    old = draw(tmp_path / "old", ["a"], labels=False)
    with pytest.raises(InputError, match="expected at least 2 images, .* found 1"):
        run(tmp_path / "run", words, tiny_checkpoint, f"images:{old}", "train.max_steps=1")
    assert not (tmp_path / "run").exists()


def test_a_base_that_resizes_otherwise_is_refused(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resizes images by 'stretch', the new model by 'keep'"):
        run(tmp_path / "run", words, tiny_checkpoint, "synth", "train.max_steps=1", "model.resize=keep")
    assert not (tmp_path / "run").exists()


def test_a_part_of_the_kept_set_is_held_out_by_the_seed() -> None:
    settings = load_train_settings(None, [], {"arch": "crnn-tiny"})
    part = held_out_part(100, settings)
    assert len(part) == 5 and part == held_out_part(100, settings) and held_out_part(1, settings) == []


@pytest.mark.parametrize("arch", ["parseq-tiny", "dbnet"])
def test_other_tasks_keep_too(arch: str, words: Path, tmp_path: Path) -> None:
    small = ["train.max_steps=2", "page.height=64", "page.width=64", "page.side=64", "train.batch_size=2"]
    data = words if arch == "parseq-tiny" else draw_pages(tmp_path / "pages")
    tree = {"arch": arch, "data": {"train": [str(data)]}}
    train(TrainRequest(load_train_settings(None, [*SETS, *small], tree), tmp_path / "base"), lambda line: None)
    keep = "synth" if arch == "parseq-tiny" else f"images:{data}"
    base = tmp_path / "base" / "last.ckpt"
    run(tmp_path / "run", data, base, keep, *small, "train.keep_share=0.5", arch=arch)
    start, after = (read_checkpoint(path)["state_dict"] for path in (base, tmp_path / "run" / "last.ckpt"))
    assert any(not torch.equal(value, after[name]) for name, value in start.items())


def draw_pages(folder: Path) -> Path:
    folder.mkdir()
    for number in range(4):
        image = np.full((64, 96, 3), 255, np.uint8)
        cv2.putText(image, "cat", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"img_{number}.png"), image)
        (folder / f"gt_img_{number}.txt").write_text("20,20,70,20,70,44,20,44,cat\n", encoding="utf-8")
    return folder
