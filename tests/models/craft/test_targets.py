"""CRAFT targets: Gaussians against OpenCV's warp, splitting of words, links, and odd input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrctl.models.craft.characters import links, split, widths
from ocrctl.models.craft.targets import craft_targets, gaussians


def box(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def targets(*polygons: np.ndarray, texts: list[str], height: int = 160, width: int = 320, **more: object) -> dict:
    offsets = np.cumsum([0, *(len(polygon) for polygon in polygons)])
    points = np.concatenate([np.zeros((0, 2)), *polygons])
    ignore = np.zeros(len(polygons), bool)
    return craft_targets(points, offsets, ignore, height, width, texts=texts, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "quad",
    [
        [[20, 20], [60, 18], [64, 55], [18, 60]],
        [[40, 10], [70, 40], [40, 70], [10, 40]],
        [[30, 30], [50, 34], [48, 40], [31, 38]],
    ],
)
def test_a_gaussian_is_warped_as_opencv_warps_it(quad: list[list[float]]) -> None:
    found = gaussians(np.array([quad], float), 90, 90)
    corners = np.array(quad, np.float32)
    corners = corners.mean(0) + (corners - corners.mean(0)) * np.float32(1.5)
    side = np.linspace(-1, 1, 801)
    flat = np.exp(-np.add.outer(side**2, side**2) / (2 * 0.4**2)).astype(np.float32)
    square = np.array([[0, 0], [800, 0], [800, 800], [0, 800]], np.float32)
    warped = cv2.warpPerspective(flat, cv2.getPerspectiveTransform(square, corners), (90, 90))
    near = warped > 0.06
    assert np.abs(found - warped)[near].max() < 0.01
    assert found.max() > 0.97 and found[~near].max() < 0.07


def test_the_highest_of_several_counts() -> None:
    one, two = box(10, 10, 30, 30), box(30, 12, 30, 30)
    apart = [gaussians(quad[None], 60, 80) for quad in (one, two)]
    assert np.array_equal(gaussians(np.stack([one, two]), 60, 80), np.maximum(*apart))


def test_words_are_split_by_the_widths_of_their_characters() -> None:
    quads = split(box(0, 0, 120, 20), "mia")
    assert np.allclose(np.diff(quads[:, 0, 0]), [60, 20]) and quads[-1, 1].tolist() == [120, 0]
    assert len(split(box(0, 0, 100, 20), "a b")) == 2 and len(split(box(0, 0, 100, 20), " ")) == 0
    assert widths("한글").tolist() == [1.8, 1.8] and len(split(box(0, 0, 100, 20), "e\u0301")) == 1
    down = split(box(0, 0, 20, 100), "ab")  # runs down: the top of its letters is on the right
    assert down[0].tolist() == [[20, 0], [20, 50], [0, 50], [0, 0]]
    along = np.linspace(0, np.pi, 9)
    arc = np.stack([-np.cos(along), -np.sin(along)], 1)
    curve = np.concatenate([arc * 60, (arc * 40)[::-1]]) + 70
    middles = split(curve, "aaaaa").mean(1) - 70
    assert np.allclose(np.hypot(*middles.T), 50, atol=4) and middles[0, 0] < 0 < middles[-1, 0]
    assert len(split(np.array([[0, 0], [50, 0], [60, 10], [30, 25], [0, 20]], float), "word")) == 4


def test_links_stand_between_the_characters_of_a_word() -> None:
    characters = np.stack([box(0, 0, 12, 12), box(12, 0, 12, 12), box(60, 0, 12, 12)])
    found = links(characters, np.array([0, 2, 3]))
    assert found.tolist() == [[[6, 2], [18, 2], [18, 10], [6, 10]]]
    assert len(links(characters, np.array([0, 0, 3, 3]))) == 2 and len(links(characters[:0], np.array([0]))) == 0


def test_a_word_by_its_text_by_its_characters_and_by_neither() -> None:
    word = box(40, 40, 120, 30)
    found = targets(word, texts=["noun"])
    assert [(name, found[name].dtype.name, found[name].shape) for name in found] == [
        ("region", "float32", (80, 160)), ("affinity", "float32", (80, 160)), ("mask", "uint8", (80, 160))]  # fmt: skip
    assert found["region"][27, 27] > 0.95 and found["affinity"][27, 35] > 0.95 and found["mask"].all()
    characters = np.stack([box(40, 40, 60, 30), box(100, 40, 60, 30)])
    known = targets(word, texts=["noun"], characters=characters, character_offsets=np.array([0, 2]))
    assert known["region"][27, 35] > 0.95 and known["region"][27, 50] < 0.5
    unknown = targets(word, texts=[""])
    assert not unknown["region"].any() and unknown["mask"][27, 50] == 0 and unknown["mask"][5, 5] == 1


def test_odd_images() -> None:
    nothing = targets(texts=[])
    assert not nothing["region"].any() and not nothing["affinity"].any() and nothing["mask"].all()
    assert targets(box(-20, -20, 41, 41), texts=["a"], height=1, width=1)["region"][0, 0] > 0.9
    strip = targets(box(0, 0, 20000, 200), texts=["a"], height=200, width=20000)
    assert strip["region"].shape == (100, 10000) and strip["region"][50, 5000] > 0.99
    x, y = np.meshgrid(np.arange(60) * 20.0, np.arange(50) * 12.0)
    boxes = [box(a, b, 16, 8) for a, b in zip(x.ravel(), y.ravel(), strict=True)]
    many = targets(*boxes, texts=["abc"] * 3000, height=600, width=1200)
    assert (many["region"] > 0.5).sum() > 3000 and np.isfinite(many["region"]).all()
    flat = targets(np.array([[0, 0], [50, 0], [90, 0], [20, 0]]), box(9, 9, 0.01, 30), texts=["a", "b"])
    assert not flat["region"].any()
    bow_tie = targets(np.array([[20, 20], [80, 60], [80, 20], [20, 60]]), texts=["a"])
    assert np.isfinite(bow_tie["region"]).all()
    with pytest.raises(ValueError, match="1 coordinates of characters are not finite"):
        characters = box(0, 0, 5.0, 5)[None]
        characters[0, 2, 1] = np.nan
        targets(box(0, 0, 9, 9), texts=["a"], characters=characters, character_offsets=np.array([0, 1]))
