"""Maps made on the device from packed polygons against those of a worker, on input of every odd kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.datasets.collate_polygons import collate_outlines
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.targets import db, pan
from ocrctl.data.targets.distance import Outlines, outlines, signed_distances
from ocrctl.data.targets.of_words import OUTLINES, TARGETS
from ocrctl.training.batches import one_row, to_device
from ocrctl.training.targets import sheet
from ocrctl.training.targets.of_outlines import MAPS

HEIGHT, WIDTH = 64, 96
FURTHEST = 700  # pixels beyond the picture that a wild polygon may reach
FAMILIES = sorted(TARGETS)
NONE = np.zeros((0, 4, 2))


@st.composite
def word(draw: Callable[..., Any]) -> tuple[np.ndarray, bool, str]:
    """A polygon of 3 to 9 points, tiny to giant, whole numbers or not, anywhere; whether ignored; its text."""
    reach = draw(st.sampled_from([1, 4, 15, 15, 40, 40, 400]))
    middle = np.array([draw(st.integers(-30, WIDTH + 30)), draw(st.integers(-30, HEIGHT + 30))])
    numbers = st.integers(-reach, reach) if draw(st.booleans()) else st.floats(-reach, reach, width=32)
    if draw(st.booleans()):
        half = np.array([reach, draw(st.integers(1, reach))]) / 2
        points = middle + half * ((-1, -1), (1, -1), (1, 1), (-1, 1))
        points = points + np.array(draw(st.lists(st.tuples(*[st.floats(-2, 2, width=32)] * 2), min_size=4, max_size=4)))
    else:
        points = middle + np.array(draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=9)), float)
    return points, draw(st.integers(0, 4)) == 0, draw(st.sampled_from(["", "a", "wide"]))


pages = st.lists(st.lists(word(), max_size=8), min_size=1, max_size=3)


def page(words: Sequence[tuple[np.ndarray, bool, str]]) -> PageWords:
    points, ignore, texts = ([one[part] for one in words] for part in range(3))
    return PageWords.of(points, ignore, texts, [NONE] * len(words))


def batch(family: str, words: Sequence[PageWords], height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    images = [np.zeros((height, width, 3), np.uint8)] * len(words)
    sent = [OUTLINES[family](each, height, width) for each in words]
    return to_tensors(collate_outlines(images, sent, range(len(words))))["outlines"]


def both(family: str, words: Sequence[PageWords], height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Of each page the worker's maps and the device's, which have the same names, types and sizes."""
    made = MAPS[family](batch(family, words, height, width), height, width)
    for row, each in enumerate(words):
        wanted = TARGETS[family](each, height, width)
        found = {name: value[row].numpy() for name, value in made.items()}
        assert list(found) == list(wanted)
        for name, like in wanted.items():
            assert (found[name].dtype, found[name].shape) == (like.dtype, like.shape)
        yield each, wanted, found


def drawn(shapes: Outlines, chosen: np.ndarray, size: Any) -> np.ndarray:
    """0 over the polygons, filled on a canvas which none of them leaves."""
    canvas = np.ones((size[0] + 2 * FURTHEST, size[1] + 2 * FURTHEST), np.uint8)
    for index in chosen:
        cv2.fillPoly(canvas, [(np.rint(shapes.polygon(index)) + FURTHEST).astype(np.int32)], 0)
    return canvas[FURTHEST:-FURTHEST, FURTHEST:-FURTHEST]


def unsure(shapes: Outlines, kept: np.ndarray, levels: Callable[[int, np.ndarray], list[float]], size: Any) -> Any:
    """Pixels whose signed distance to some polygon is within rounding of a level, and those around a polygon that
    leaves the picture where OpenCV, which tells a worker the inside of all but convex quads, is wrong for it."""
    near = np.zeros(size, bool)
    reach = np.maximum(shapes.shrink_distance(0.4), 1) + 1
    for index, rows, columns, field in signed_distances(shapes, kept, reach, np.ones(len(shapes)), *size):
        for level in levels(index, field):
            near[rows, columns] |= np.abs(field - level) < 0.01
        if not shapes.convex[index]:
            inside = drawn(shapes, np.array([index]), size)[rows, columns] == 0
            wrong = (inside != (field >= 0)) & (np.abs(field) > 1e-3)
            assert not wrong.any() or (shapes.low[index] < 0).any() or (shapes.high[index] > size[::-1]).any()
            near[rows, columns] |= wrong.any()
    return near


def same_mask(
    shapes: Outlines, chosen: np.ndarray, wanted: np.ndarray, found: np.ndarray, over: Any = (False, False)
) -> None:
    """over: where a mask is 1 all the same, (of the worker's, of the device's)."""
    assert np.array_equal(found, drawn(shapes, chosen, wanted.shape) | over[1])
    low, high = np.rint(shapes.low[chosen]), np.rint(shapes.high[chosen])
    if (low >= 0).all() and (high < wanted.shape[::-1]).all():
        same = np.equal(*over)
        assert np.array_equal(found | ~same, wanted | ~same)


@settings(max_examples=40, deadline=None)
@given(pages)
def test_db_agrees_with_the_worker(words: list[Any]) -> None:
    for each, wanted, found in both("db", [page(one) for one in words]):
        shapes = outlines(each.points, each.offsets)
        skipped = each.ignore | (shapes.lower_sides() < db.SMALLEST)
        reach = shapes.shrink_distance(db.SHRINK_RATIO)
        near = unsure(
            shapes, np.flatnonzero(~skipped), lambda i, _, r=reach: [r[i], -r[i], r[i] - 0.5], wanted["shrink"].shape
        )
        assert np.abs(found["border"] - wanted["border"]).max() < 2e-3
        for name in ("shrink", "border_mask"):
            assert np.array_equal(found[name][~near], wanted[name][~near]), name
        same_mask(shapes, np.flatnonzero(skipped), wanted["shrink_mask"], found["shrink_mask"])


@settings(max_examples=40, deadline=None)
@given(pages)
def test_pan_agrees_with_the_worker(words: list[Any]) -> None:
    for each, wanted, found in both("pan", [page(one) for one in words]):
        shapes = outlines(each.points / pan.STRIDE, each.offsets)
        skipped = each.ignore | (shapes.lower_sides() * pan.STRIDE < pan.SMALLEST)
        away = shapes.shrink_distance(pan.SHRINK_RATIO)
        size = wanted["mask"].shape
        kept = np.flatnonzero(~skipped)
        near = unsure(shapes, kept, lambda i, f, a=away: [0, -0.5, a[i] - 0.5, f.max()], size)
        assert np.array_equal(found["instance"][~near], wanted["instance"][~near])
        near = cv2.dilate(near.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # whom a cell touches counts
        assert np.array_equal(found["kernel"][~near], wanted["kernel"][~near])
        texts = wanted["instance"] > 0, found["instance"] > 0
        same_mask(shapes, np.flatnonzero(skipped), wanted["mask"], found["mask"], texts)


@settings(max_examples=40, deadline=None)
@given(pages)
def test_craft_agrees_with_the_worker(words: list[Any]) -> None:
    edge = np.exp(-0.5 / 0.4**2) + 1e-3  # at most so high is a Gaussian where it ends
    for each, wanted, found in both("craft", [page(one) for one in words]):
        for name in ("region", "affinity"):
            high = np.maximum(found[name], wanted[name]) > edge
            assert np.abs(found[name] - wanted[name])[high].max(initial=0) < 1e-2, name
        shapes = outlines(each.points / 2, each.offsets)
        chosen = [i for i in range(len(each)) if each.ignore[i] or not each.texts[i]]
        shown = drawn(shapes, np.array(chosen, int), wanted["mask"].shape)
        if len(each) and (shapes.low >= 0).all() and (shapes.high < wanted["mask"].shape[::-1]).all():
            assert np.array_equal(found["mask"], wanted["mask"])
        assert set(np.unique(shown - found["mask"])) <= {0, 1}  # words without room for a character are not judged


@pytest.mark.parametrize("family", FAMILIES)
def test_upright_words_inside_are_equal_and_parts_make_no_difference(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    words = []
    for _ in range(3):
        corners = generator.uniform((5, 5), (WIDTH * 4 - 70, HEIGHT * 4 - 40), (30, 2))
        size = generator.uniform((20, 8), (60, 30), (30, 2))
        boxes = corners[:, None] + size[:, None] * ((0, 0), (1, 0), (1, 1), (0, 1))
        words.append(page([(box, n % 7 == 0, "word") for n, box in enumerate(boxes)]))
    words.append(page([]))
    results = []
    for most in (1 << 16, 1 << 9):
        monkeypatch.setattr(sheet, "PIXELS_CPU", most)
        results.append(list(both(family, words, 4 * HEIGHT, 4 * WIDTH)))
    for (_, wanted, found), (_, _, again) in zip(*results, strict=True):
        for name in wanted:
            assert np.abs(found[name] - wanted[name].astype(float)).max() < 1e-4, name
            assert np.array_equal(found[name], again[name])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("texts", [0, 1, 40])
def test_maps_wait_for_nothing_and_precision_is_not_the_steps(family: str, texts: int, no_host_sync: Any) -> None:
    generator = np.random.default_rng(texts)
    points = [generator.uniform(0, HEIGHT, (4 + n % 3, 2)) for n in range(texts)]
    sent = batch(family, [page([(each, n % 4 == 0, "word") for n, each in enumerate(points)])])
    with no_host_sync(), torch.autocast("cpu", torch.bfloat16):
        maps = MAPS[family](sent, HEIGHT, WIDTH)
    assert all(value.dtype != torch.bfloat16 for value in maps.values())
    assert all(torch.equal(value, maps[name]) for name, value in MAPS[family](sent, HEIGHT, WIDTH).items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_of_a_batch_alone_has_the_same_maps(family: str) -> None:
    """Quarantine takes samples out of a batch; their padding goes along."""
    square = np.array([[5.0, 5], [50, 8], [48, 30], [5, 28]])
    curve = np.array([[5.0, 40], [30, 34], [60, 40], [60, 56], [30, 50], [5, 56]])
    sent = batch(family, [page([(square, False, "ab"), (curve, False, "abc")]), page([(square + 9, True, "")])])
    whole = MAPS[family](sent, HEIGHT, WIDTH)
    for row in range(2):
        alone = MAPS[family](one_row(sent, row), HEIGHT, WIDTH)
        assert all(torch.equal(value[row : row + 1], alone[name]) for name, value in whole.items())


def test_thousands_of_tiny_texts_and_one_giant() -> None:
    x, y = np.meshgrid(np.arange(60) * 10.0, np.arange(50) * 10.0)
    tiny = np.add(np.stack([x, y], -1).reshape(-1, 1, 2), [[0, 0], [8, 0], [8, 5], [0, 5]])
    giant = np.array([[0.0, 0], [608, 0], [608, 512], [0, 512]])
    words = [page([(quad, False, "") for quad in tiny]), page([(giant, False, "giant")])]
    for family in FAMILIES:
        for _, wanted, found in both(family, words, 512, 608):
            assert all(np.abs(found[name] - value.astype(float)).max() < 1e-3 for name, value in wanted.items()), family


def test_what_would_break_the_device_is_refused_before() -> None:
    images = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)]
    sent = OUTLINES["craft"](page([(np.array([[5.0, 5], [50, 8], [48, 30], [5, 28]]), False, "ab")]), HEIGHT, WIDTH)
    sent["region"]["tiles"][0, 0] = 9
    with pytest.raises(ValueError, match="draw 7: region/tiles name polygons 0 to 9 of 2"):
        collate_outlines(images, [sent], [7])
    sent["region"]["tiles"][0, 0] = 0
    sent["region"]["inverse"][1, 3] = np.nan
    with pytest.raises(ValueError, match="draw 7: region/inverse holds 1 numbers that are not finite"):
        collate_outlines(images, [sent], [7])
    with pytest.raises(ValueError, match="draw 8: expected the arrays"):
        collate_outlines(images * 2, [OUTLINES["db"](page([]), HEIGHT, WIDTH), sent], [7, 8])
    with pytest.raises(ValueError, match="multiples of 32"):
        collate_outlines([np.zeros((30, 64, 3), np.uint8)], [sent], [7])


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_what_a_cpu_gives_without_waiting(family: str) -> None:
    generator = np.random.default_rng(1)
    middles = generator.uniform(0, 640, (60, 1, 2))
    points = [middle + generator.uniform(-30, 30, (4 + n % 3, 2)) for n, middle in enumerate(middles)]
    words = [page([(each, n % 5 == 0, "word") for n, each in enumerate(points)]), page([])]
    sent = batch(family, words, 640, 640)
    there = to_device(sent, torch.device("cuda"))
    MAPS[family](there, 640, 640)  # sets kernels up
    torch.cuda.set_sync_debug_mode("error")
    try:
        maps = MAPS[family](there, 640, 640)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, value in MAPS[family](sent, 640, 640).items():
        apart = (maps[name].cpu().double() - value.double()).abs()
        assert maps[name].dtype == value.dtype and float((apart > 1e-3).double().mean()) < 1e-4, name
