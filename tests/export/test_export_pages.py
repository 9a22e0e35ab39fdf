"""Exported detectors: pages of any size and number, the same maps and boxes, refused when they are not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.settings import ModelSettings
from ocrctl.export.parity_pages import compare_pages, probe_pages
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec

CPU = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def report(tiny_detector: Path, page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The detector exported and compared on its pages: what `export --json` says."""
    out = tmp_path_factory.mktemp("bundle")
    from ocrctl.cli.console import to_plain
    from ocrctl.core.export.run import ExportOptions, export

    return to_plain(export(ExportOptions([str(tiny_detector)], out, f"icdar15:{page_folder}")))


@pytest.fixture
def exported(report: dict) -> Path:
    return Path(report["models"][0]["path"])


def test_probes_and_pages_are_compared_before_the_file_appears(report: dict, page_folder: Path) -> None:
    (model,) = report["models"]
    assert [(check["what"], check["samples"]) for check in model["checks"]] == [
        ("batch of 1, 64x96", 1), ("batch of 3, 160x64", 3), (str(page_folder), 4),
    ]  # fmt: skip
    assert all(check["max_abs_diff"] < 1e-3 and not check["differing"] for check in model["checks"])
    assert all(check["of"] == "boxes" for check in model["checks"]) and not model["failures"]


def test_batch_and_sides_are_free_and_the_card_is_inside(exported: Path, tiny_detector: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=CPU)
    (images,), (maps,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape[1]) == ("images", "tensor(uint8)", 3)
    assert (maps.name, maps.type) == ("probability", "tensor(float)")  # DB's thresholds are of training alone
    assert all(isinstance(side, str) for side in (images.shape[0], *images.shape[2:]))
    card = ModelCard.from_json(session.get_modelmeta().custom_metadata_map["ocrctl"])
    assert card == Engine.load(tiny_detector, device="cpu").card
    for size in ((1, 32, 32), (2, 64, 320), (5, 160, 96)):
        batch = np.zeros((size[0], 3, *size[1:]), np.uint8)
        assert session.run(None, {"images": batch})[0].shape == size


def test_both_backends_find_the_same(exported: Path, tiny_detector: Path, page_folder: Path) -> None:
    ours, theirs = Engine.load(tiny_detector, device="cpu"), Engine.load(exported, device="cpu")
    assert (theirs.backend, theirs.detects) == ("onnx", True)
    images = [cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in sorted(page_folder.glob("*.png"))]
    images.append(np.ascontiguousarray(images[0][:, :90]))
    for one, other in zip(ours.detect(images), theirs.detect(images, batch_size=3), strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_predict_and_eval_read_it(exported: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(page_folder), "-m", str(exported.parent), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert [len(json.loads(line)["boxes"]) for line in out.splitlines()] == [2, 2, 2, 0] and "onnx on cpu" in err
    assert run(["eval", str(exported), "-d", str(page_folder), "--fail-under", "hmean=1", "--device", "cpu"]) == 0


def test_what_differs_is_counted(exported: Path, tiny_detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Engine.load(tiny_detector, device="cpu"), Engine.load(exported, device="cpu")
    pages = probe_pages(2, (64, 96))
    for page in pages:
        page.image[8:40, 16:80] = (220, 20, 20)
    names = ["a", "b"]
    assert not compare_pages(ours, theirs, "same", [(names, pages)]).differing
    real = theirs.maps

    def moved(given: list) -> list:
        maps = real(given)
        maps[0]["probability"] = np.roll(maps[0]["probability"], 8, axis=1)
        maps[1]["probability"] = np.full_like(maps[1]["probability"], np.nan)
        return maps

    monkeypatch.setattr(theirs, "maps", moved)
    parity = compare_pages(ours, theirs, "other", [(names, pages)])
    assert parity.max_abs_diff == float("inf") and [row.where for row in parity.differing] == names
    assert "moved by up to 8.0 cells" in parity.differing[0].onnx and "not finite" in parity.differing[1].onnx


def test_words_do_not_verify_a_detector(
    tiny_detector: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(tiny_detector), "-o", str(tmp_path), "--verify", str(word_folder)]) == 2
    assert "expected pages for a detector" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert run(["export", str(tiny_detector), "-o", str(tmp_path), "--verify", "synth:pages"]) == 2
    assert run(["export", str(tiny_detector), "-o", str(tmp_path), "--tolerance", "map=1"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "backbone"),
    [("dbnetpp", "efficientnet-lite0"), ("pan", "resnet18"), ("craft", "auto"), ("ppocr-det-tiny", "auto")],
)
def test_every_detector_is_exported(
    arch: str, backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = detection_card(get_spec(arch), ModelSettings(backbone=backbone), height=96, width=128, side=128)
    torch.manual_seed(1)
    state = {f"model.{name}": value for name, value in build_model(card).state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, tmp_path / f"{arch}.ckpt")
    assert run(["export", str(tmp_path / f"{arch}.ckpt"), "-o", str(tmp_path)]) == 0
    assert "3 of 3 pages with equal boxes" in capsys.readouterr().out
    (found,) = Engine.load(tmp_path / f"{arch}.onnx", device="cpu").detect([np.zeros((70, 90, 3), np.uint8)])
    assert np.isfinite(found.points).all()
