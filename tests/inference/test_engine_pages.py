"""The engine with a detector: boxes in pixels of each image, one resize, one set of thresholds, named errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch

from ocrctl import Engine
from ocrctl.config.model_card import CARD_KEY
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.pages import score_threshold


@pytest.fixture
def engine(tiny_detector: Path) -> Engine:
    return Engine.load(tiny_detector, device="cpu")


@pytest.fixture
def image(page_folder: Path) -> np.ndarray:
    return cv2.imread(str(page_folder / "img_0.png"), cv2.IMREAD_COLOR_RGB)


BARS = np.array([(20, 20, 100, 48), (20, 72, 100, 100)])


def frames(found) -> np.ndarray:
    quads = found.quads()
    return np.hstack((quads.min(1), quads.max(1)))


def test_boxes_stand_in_the_pixels_of_each_image(engine: Engine, image: np.ndarray) -> None:
    larger = cv2.resize(image, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    empty = np.full((90, 170, 3), 220, np.uint8)
    for batch_size in (1, 3):
        one, none, two, again = engine.detect([image, empty, larger, image], batch_size=batch_size)
        assert len(one) == len(two) == 2 and not len(none)
        np.testing.assert_allclose(frames(one), BARS, atol=4)
        np.testing.assert_allclose(frames(two), 5 * BARS, atol=20)
        np.testing.assert_allclose(again.points, one.points, atol=1e-3)
        assert (one.scores >= engine.card.thresholds["box_threshold"]).all()


def test_outlines_may_be_polygons(engine: Engine, image: np.ndarray) -> None:
    (found,) = engine.detect([image], polygons=True)
    assert len(found) == 2 and all(len(found.polygon(index)) >= 3 for index in range(2))


@pytest.mark.parametrize("polygons", [False, True])
def test_outlines_end_with_the_image(engine: Engine, image: np.ndarray, polygons: bool) -> None:
    """A region that reaches the edge grows into what was added to make sides multiples of 32."""
    image = image[:110].copy()
    image[60:] = (220, 20, 20)
    (found,) = engine.detect([image], polygons)
    assert found.points[:, 1].max() == 110 and found.points[:, 0].max() <= 160


def test_lower_scores_are_there_for_those_who_ask(engine: Engine, image: np.ndarray) -> None:
    page = engine.prepare_page(image)
    (maps,) = engine.maps([page])
    fixed, all_of_them = engine.find(maps, page), engine.find(maps, page, below_threshold=True)
    kept = all_of_them.scores >= score_threshold(engine.card)
    np.testing.assert_array_equal(all_of_them.quads()[kept], fixed.quads())


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 3), (20, 2000)])
def test_any_size_gives_a_result(engine: Engine, size: tuple[int, int]) -> None:
    (found,) = engine.detect([np.full((*size, 3), 128, np.uint8)])
    assert np.isfinite(found.points).all()


def test_tasks_are_not_mixed_up(engine: Engine, tiny_checkpoint: Path, image: np.ndarray) -> None:
    reader = Engine.load(tiny_checkpoint, device="cpu")
    assert engine.detects and not reader.detects
    with pytest.raises(UsageError, match="dbnet finds text on pages; expected a model that reads words"):
        engine.recognize([image])
    with pytest.raises(UsageError, match="crnn-tiny reads words; expected a model that finds text on pages"):
        reader.detect([image])
    with pytest.raises(UsageError, match="expected a model that reads words"):
        engine.prepare(image)


def test_what_is_no_image_is_named(engine: Engine) -> None:
    with pytest.raises(InputError, match="Expected an RGB uint8 image"):
        engine.detect([np.zeros((9, 9), np.uint8)])
    for anything, name in (("a.png", "str"), (None, "NoneType"), ([[1, 2]], "list")):
        with pytest.raises(InputError, match=f"Expected an RGB uint8 image .*, found {name}"):
            engine.detect(cast(Any, [anything]))
    with pytest.raises(UsageError, match="batch_size"):
        engine.detect([], batch_size=0)
    assert engine.detect([]) == []


def test_values_that_are_not_finite_are_a_named_error(engine: Engine, image: np.ndarray) -> None:
    page = engine.prepare_page(image)
    (maps,) = engine.maps([page])
    maps["probability"][3, 5:9] = np.nan
    with pytest.raises(InputError, match=r"best.ckpt: the model's output holds 4 NaN"):
        engine.find(maps, page)


@pytest.mark.parametrize(
    "change", [{"arch": "east"}, {"preprocessing": "stretch"}, {"model": {"backbone": "mobilenetv3"}}]
)
def test_a_card_that_is_not_understood_is_refused(tiny_detector: Path, tmp_path: Path, change: dict) -> None:
    state = torch.load(tiny_detector, weights_only=True)
    state[CARD_KEY] = json.dumps(json.loads(state[CARD_KEY]) | change)
    torch.save(state, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="odd.ckpt"):
        Engine.load(tmp_path / "odd.ckpt", device="cpu")
