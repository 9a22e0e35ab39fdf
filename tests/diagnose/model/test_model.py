"""`diagnose model` on models with one fault each: the row that should name it does, and a sound model passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.config.plugins import use_plugins
from ocrctl.core.diagnose.model import ModelRequest, diagnose_model, open_subject
from ocrctl.core.train import recognition
from ocrctl.core.train.run import load_train_settings
from ocrctl.core.train.task import BatchFit
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.validate.run import Target, run_rules
from ocrctl.diagnose.checks import Check, ok
from ocrctl.diagnose.model.export import check_export
from ocrctl.diagnose.model.finite import check_finite
from ocrctl.diagnose.model.gradients import Reached, check_gradients, reach
from ocrctl.diagnose.model.grid import page_grid, word_grid
from ocrctl.diagnose.model.invariance import check_invariance
from ocrctl.diagnose.model.learning import check_learning
from ocrctl.diagnose.model.masks import check_masks
from ocrctl.diagnose.model.run import EXAMINED
from ocrctl.diagnose.model.subject import Subject
from ocrctl.models.registry import get_spec

WORDS = ["a", "b7", "no", "24", "Ex", "zo", "OP", "ca", "st", "h1"]
FAULTY = Path(__file__).with_name("faulty.py")
SETS = ["data.augment=0", "train.threads=1", "data.workers=0", "train.device=cpu"]


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    with use_plugins([FAULTY]):
        yield


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten short words, which a small model overfits in a few steps; the first has one character."""
    folder = tmp_path_factory.mktemp("short")
    for word in WORDS:
        image = np.full((40, 96, 3), 20, np.uint8)
        cv2.putText(image, word, (6, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (240, 240, 240), 2, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{word}.png"), image)
    (folder / "rec_gt.txt").write_text("".join(f"{word}.png\t{word}\n" for word in WORDS))
    return folder


@pytest.fixture
def opened(words: Path, monkeypatch: pytest.MonkeyPatch) -> partial[Subject]:
    """Opens a model by its name and further settings; the batch to overfit has two words."""
    monkeypatch.setattr(recognition, "PREFLIGHT_WORDS", 2)
    return partial(open_model, words)


def open_model(folder: Path, arch: str, *sets: str) -> Subject:
    settings = load_train_settings(None, [*SETS, *sets], {"data": {"train": [str(folder)]}})
    return open_subject(ModelRequest(arch, settings, 60))[0]


def named(rows: list[Check]) -> dict[str, Check]:
    assert all(row.meaning and row.fix for row in rows if row.status in ("warn", "fail"))
    assert {row.name for row in rows} <= EXAMINED.keys()
    return {row.name: row for row in rows}


def test_a_sound_model_passes(words: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "PREFLIGHT_WORDS", 2)
    # Tracing a loop takes longer than all else; `test_an_export_is_compared` traces a smaller model.
    monkeypatch.setattr("ocrctl.diagnose.model.run.check_export", lambda subject, model: ok("export", "not traced"))
    sets = [word for one in [*SETS, "train.lr=1e-2"] for word in ("--set", one)]
    assert run(["diagnose", "model", "ar", "-d", str(words), "--plugin", str(FAULTY), *sets, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    status = {row["name"]: row["status"] for row in found["checks"]}
    assert set(status) == set(EXAMINED)
    assert {name for name, value in status.items() if value != "ok"} <= {"offsets", "loss 16-mixed"}
    assert all(row["examined"] and row["detail"] for row in found["checks"])


def test_a_sound_ctc_model_passes(opened: partial[Subject]) -> None:
    subject = opened("ctc")
    rows = [*subject.grid, *check_masks(subject), *check_invariance(subject), *check_finite(subject)]
    rows += check_gradients(subject, reach(subject))
    assert {row.status for row in named(rows).values()} <= {"ok", "skipped"}
    assert {row.name for row in rows if row.status == "skipped"} <= {
        "masks", "padding", "causality", "offsets", "loss 16-mixed"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "row", "detail"),
    [
        ("ctc-inplace", "in-place", "encoder.layers.1"),
        ("ctc-inplace", "in-place", "add_"),
        ("ar-mask", "masks", "float32 with values up to 1"),
        ("ar-mixed", "masks", "bool and float32"),
        ("ar-empty", "masks", "masks every key"),
    ],
)
def test_masks_and_in_place_operations(arch: str, row: str, detail: str, opened: partial[Subject]) -> None:
    found = named(check_masks(opened(arch)))[row]
    assert found.status == "fail" and detail in found.detail


@pytest.mark.parametrize(("arch", "row"), [("ar-future", "causality"), ("ctc-batch", "batch")])
def test_outputs_that_depend_on_what_they_should_not(arch: str, row: str, opened: partial[Subject]) -> None:
    assert named(check_invariance(opened(arch)))[row].status == "fail"


def test_padding_that_a_float_mask_does_not_mask(opened: partial[Subject]) -> None:
    found = named(check_invariance(opened("ar-mask")))["padding"]
    assert found.status == "fail" and "[PAD]" in found.detail


@pytest.mark.parametrize(
    ("arch", "row", "text"),
    [("ctc-frozen", "gradient", "encoder.side.weight"), ("ctc-offsets", "offsets", "encoder.offset.weight")],
)
def test_a_frozen_branch_and_dead_offsets(arch: str, row: str, text: str, opened: partial[Subject]) -> None:
    subject = opened(arch)
    found = named(check_gradients(subject, reach(subject)))[row]
    assert found.status == "fail" and text in found.detail
    assert ("frozen branch" if row == "gradient" else "dead offsets") in found.meaning


def test_what_train_freeze_names_is_no_frozen_branch(opened: partial[Subject]) -> None:
    subject = opened("ctc", "train.freeze=encoder.join")
    found = named(check_gradients(subject, reach(subject)))["gradient"]
    assert found.status == "ok" and "2 frozen by train.freeze" in found.detail


def test_a_saturated_step_function(opened: partial[Subject]) -> None:
    assert named(check_finite(opened("ctc")))["saturation"].status == "ok"
    found = named(check_finite(opened("ctc-step")))["saturation"]
    assert found.status == "fail" and "states x" in found.detail and "sigmoid" in found.fix


def test_values_beyond_the_range_of_float16_fail_in_that_precision_alone(opened: partial[Subject]) -> None:
    found = named(check_finite(opened("ctc-large")))
    assert found["loss 32-true"].status == found["loss bf16-mixed"].status == "ok"
    half = found["loss 16-mixed"]
    assert half.status == "skipped" or (half.status == "fail" and "train.precision=32-true" in half.fix)


def test_a_batch_whose_loss_is_not_finite_names_its_sample(opened: partial[Subject]) -> None:
    found = named(check_finite(opened("ctc-nan", "data.val_fraction=0.1")))
    bad = found["batches"]
    assert bad.status == "fail" and "rec_gt.txt:1 (a.png)" in bad.detail  # its label is one character


def test_a_coarse_grid_is_named_though_no_sample_remains(opened: partial[Subject], words: Path) -> None:
    assert opened("ctc").grid[0].status == "ok"
    settings = load_train_settings(None, SETS, {"data": {"train": [str(words)]}})
    found = named(list(diagnose_model(ModelRequest("ctc-coarse", settings, 1)).checks))
    assert found["data"].status == found["grid"].status == "fail"
    assert "9 need more steps" in found["grid"].detail and "coarse grid" in found["grid"].meaning


def test_labels_that_training_leaves_out_are_a_warning() -> None:
    spec = get_spec("ctc-coarse")  # one output step
    assert word_grid(spec, ["a"] * 8 + ["ab"]).status == "fail"
    found = word_grid(spec, ["a"] * 8 + ["ab"], skips=True)
    assert found.status == "warn" and "1 need more steps" in found.detail and "bad_labels=skip" in found.meaning
    assert word_grid(spec, ["a", "ab"], skips=True).status == "fail"  # half of the words


@pytest.mark.parametrize(
    ("arch", "row", "meaning"),
    [
        ("ctc-blank", "overfit", "all blank"),
        ("ctc-constant", "overfit", "one text for every image"),
        ("ar-end", "overfit", "BOS->EOS collapse"),
        ("ar-loop", "train/eval", "inference loop"),
        ("ar-eval", "train/eval", "better while it trains"),
    ],
)
def test_symptoms(arch: str, row: str, meaning: str, opened: partial[Subject]) -> None:
    subject = opened(arch, "train.lr=0" if arch == "ctc-blank" else "train.lr=1e-2")
    rows, _ = check_learning(subject, Reached(), 40, lambda done, total: None)
    found = named(rows)[row]
    assert found.status == "fail" and meaning in found.meaning


def test_a_learning_rate_that_is_too_low_is_named_with_one_that_works(opened: partial[Subject]) -> None:
    rows, _ = check_learning(opened("ar", "train.lr=1e-3"), Reached(), 20, lambda done, total: None)
    found = named(rows)["overfit"]
    assert found.status == "fail" and "too low" in found.meaning and found.fix == "--set train.lr=0.01"


@pytest.mark.parametrize(("arch", "status"), [("ctc", "ok"), ("ctc-export", "fail")])
def test_an_export_is_compared(arch: str, status: str, opened: partial[Subject]) -> None:
    subject = opened(arch)
    found = check_export(subject, subject.build())
    assert found.status == status and "differ by" in found.detail


TOY_DETECTOR = Path(__file__).parents[3] / "docs" / "examples" / "toy_det.py"


def test_a_detector_is_checked_on_pages_with_text(page_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["page.height=96", "page.width=128", "page.augment=0", "train.lr=1e-2", *SETS[1:]]
    command = ["diagnose", "model", "toy-det", "--plugin", str(TOY_DETECTOR), "-d", f"icdar15:{page_folder}"]
    run([*command, *(word for one in sets for word in ("--set", one)), "--steps", "40", "--json"])
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)["checks"]}
    wrong = {name for name, row in found.items() if row["status"] not in ("ok", "skipped")}
    assert wrong <= {"overfit", "grid", "loss 16-mixed"} and "6 words" in found["grid"]["detail"]
    assert found["batch"]["status"] == found["batches"]["status"] == found["export"]["status"] == "ok"


def test_words_smaller_than_the_cells_of_a_detector_are_a_coarse_grid(page_folder: Path) -> None:
    with use_plugins([TOY_DETECTOR]):
        spec = get_spec("toy-det")
    assert spec.detector is not None
    data = open_annotations(f"icdar15:{page_folder}")
    for stride, status in ((4, "ok"), (64, "fail")):
        coarse = replace(spec, detector=replace(spec.detector, finest_stride=stride))
        findings, _ = run_rules(data, Target(coarse, None, (128, 160)), decode=False, pairs=False)
        found = page_grid(coarse, findings, 6, (128, 160))
        assert found.status == status and ("coarse grid" in found.meaning) == (status == "fail")


def test_a_detector_that_computes_some_maps_in_training_alone_is_compared_by_what_it_finds(page_folder: Path) -> None:
    sets = ["page.height=64", "page.width=64", "page.augment=0", *SETS[1:]]
    settings = load_train_settings(None, sets, {"data": {"train": [f"icdar15:{page_folder}"]}})
    subject, _ = open_subject(ModelRequest("ppocr-det-tiny", settings, 2))
    rows, _ = check_learning(subject, Reached(), 2, lambda done, total: None)
    gap = named(rows)["train/eval"]
    assert gap.status == "ok" and gap.detail.endswith("in training mode, where alone threshold is computed")


@pytest.mark.parametrize(("boxed", "status"), [(0.7, "warn"), (0.2, "fail")])
def test_maps_that_are_learned_but_not_decoded_exactly(boxed: float, status: str, page_folder: Path) -> None:
    """Boxes that match few of the words point to find_polygons, not to words of a few cells."""
    sets = ["page.height=96", "page.width=128", "page.augment=0", "train.lr=1e-2", *SETS[1:]]
    settings = load_train_settings(None, sets, {"data": {"train": [f"icdar15:{page_folder}"]}})
    with use_plugins([TOY_DETECTOR]):
        subject, _ = open_subject(ModelRequest("toy-det", settings, 60))
        inexact = BatchFit(False, "hmean 0.70", "7 of 10 words found by 9 boxes", ("5 boxes", "4 boxes"), boxed)
        subject = replace(subject, score=lambda model, batch: inexact)
        found = named(check_learning(subject, Reached(), 60, lambda done, total: None)[0])["overfit"]
    assert found.status == status, found
    assert ("the maps are learned" in found.meaning) == (status == "warn")
