"""Pages and their polygons move as one: any size, any turn, cut words, mosaics, and the resize of evaluation."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.augment.pages import PageAugment, PageView, degrade_page, reduction, sample_view, warp_page
from ocrctl.data.images.resize_page import page_scale, resize_page
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import UsageError

NO_QUADS = np.zeros((0, 4, 2))


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def words(*polygons: np.ndarray, ignore: list[bool] | None = None) -> PageWords:
    names = [f"w{i}" for i in range(len(polygons))]
    return PageWords.of(polygons, ignore or [False] * len(polygons), names, [NO_QUADS] * len(polygons))


def filled(polygons: PageWords, height: int, width: int) -> np.ndarray:
    """What the polygons cover, to a sixteenth of a pixel."""
    mask = np.zeros((height, width), np.uint8)
    for i in range(len(polygons)):
        # fillPoly counts from the middle of a pixel
        cv2.fillPoly(mask, [np.round((polygons.polygon(i) - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return mask > 0


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


PAGE = words(
    box(100, 60, 260, 110), box(300, 200, 330, 340), np.array([[420.0, 90], [520, 60], [540, 120], [430, 150]])
)


def page_picture() -> np.ndarray:
    return np.repeat((filled(PAGE, 400, 600) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_polygons_lie_on_what_they_lay_on(strength: float) -> None:
    picture, settings_ = page_picture(), PageAugment(strength=strength, flip=0.3, rotate=25)
    shown = 0
    for seed in range(40):
        view = sample_view((400, 600), PAGE, (320, 480), settings_, Random(seed))
        seen = PAGE.moved(view.matrix).within(320, 480)
        bright = warp_page(picture, view, (400, 600))[:, :, 0] > 127
        shown += len(seen)
        assert overlap(bright, filled(seen, 320, 480)) > 0.93 or not len(seen)
    assert shown > 60


def test_a_reduced_decoding_lands_on_the_same_place() -> None:
    picture = page_picture()
    view = PageView(np.diag((0.25, 0.25, 1.0)), 0.25, 128, 160)
    full = warp_page(picture, view, (400, 600)).astype(int)
    half = warp_page(cv2.resize(picture, (300, 200), interpolation=cv2.INTER_AREA), view, (400, 600)).astype(int)
    assert np.abs(full - half).mean() < 1.0
    assert [reduction(scale) for scale in (2.0, 1.0, 0.56, 0.5, 0.26, 0.1)] == [1, 1, 1, 2, 4, 8]


def test_windows_keep_words_whole_and_show_some() -> None:
    grid = words(*(box(x, y, x + 60, y + 20) for y in range(10, 590, 60) for x in range(10, 590, 90)))
    cut = kept = 0
    for seed in range(60):
        view = sample_view((600, 600), grid, (256, 256), PageAugment(zoom=(0.9, 2.2)), Random(seed))
        seen = grid.moved(view.matrix).within(256, 256)
        cut += sum(not text for text in seen.texts)
        kept += sum(bool(text) for text in seen.texts)
        assert any(seen.texts)
    assert kept > 8 * cut  # a window placed anywhere cuts a third of such a grid


def test_cut_words_are_clipped_then_unknown_then_ignored_then_gone() -> None:
    page = words(*(box(x, 10, x + 100, 30) for x in (-2.0, -30.0, -70.0, -100.0, 20.0)))
    seen = page.within(50, 200)
    assert seen.texts == ["w0", "", "", "w4"]
    assert seen.ignore.tolist() == [False, False, True, False]
    np.testing.assert_allclose(seen.boxes()[:, 0], [0, 0, 0, 20])
    np.testing.assert_allclose(seen.boxes()[:, 2], [98, 70, 30, 120])
    np.testing.assert_allclose(seen.polygon(0)[0], [0, 10])  # still begins at its top left, clockwise
    np.testing.assert_allclose(seen.polygon(0)[1], [98, 10])


def test_a_bow_that_leaves_and_returns_stays_its_largest_part() -> None:
    bow = np.array([[10.0, 40], [50, -30], [120, 40], [100, 40], [50, -10], [30, 40]])
    seen = words(bow).within(50, 200)
    assert len(seen) == 1 and seen.boxes()[0, 1] == 0
    crossed = np.array([[-10.0, 0], [20, 30], [20, 0], [-10, 30]])  # a bow tie is cut as what it covers
    assert len(words(crossed).within(50, 200)) == 1


def test_characters_stay_while_any_of_them_is_seen() -> None:
    quads = np.stack([box(x, 10, x + 10, 30) for x in (-22.0, -12.5, -2.0, 8.0)])
    page = PageWords.of([box(-22, 10, 18, 30)], [False], ["abcd"], [quads])
    seen = page.within(50, 50)
    np.testing.assert_allclose(seen.characters[:, 0, 0], [-2, 8])  # the second one ends where the image begins
    assert seen.character_offsets.tolist() == [0, 2] and seen.texts == [""]


def test_the_same_state_draws_the_same_and_ignored_words_need_not_show() -> None:
    one, two = (sample_view((400, 600), PAGE, (320, 320), PageAugment(), Random(5)) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, two.matrix)
    sample_view((400, 600), words(box(0, 0, 5, 5), ignore=[True]), (320, 320), PageAugment(), Random(1))
    empty = PageWords.of([], [], [], [])
    view = sample_view((400, 600), empty, (320, 320), PageAugment(), Random(1))
    assert len(empty.moved(view.matrix).within(320, 320)) == 0


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 3000), width=st.integers(1, 3000), seed=st.integers(0, 2**32), strength=st.floats(0, 1),
    window=st.sampled_from([(32, 32), (320, 64), (224, 640)]),
)  # fmt: skip
def test_any_page_gives_the_window(
    height: int, width: int, seed: int, strength: float, window: tuple[int, int]
) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    page = words(box(0, 0, width, height), box(width / 3, height / 3, width / 2, height / 2))
    settings_ = PageAugment(strength=strength)
    view = sample_view((height, width), page, window, settings_, Random(seed))
    seen = page.moved(view.matrix).within(*window)
    out = degrade_page(warp_page(image, view, (height, width)), seen, settings_, Random(seed))
    assert out.shape == (*window, 3) and out.dtype == np.uint8
    assert np.isfinite(seen.points).all() and (seen.points >= -1e-6).all()
    assert (seen.points <= (window[1] + 1e-6, window[0] + 1e-6)).all()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="flip"):
        PageAugment(flip=1.2)
    with pytest.raises(UsageError, match="zoom"):
        PageAugment(zoom=(2.0, 1.0))


@pytest.mark.parametrize(
    ("height", "width", "side", "mode", "shape", "scale"),
    [
        (720, 1280, 960, "long", (544, 960), 0.75),
        (720, 1280, 736, "short", (736, 1312), 736 / 720),
        (720, 1280, 1280, "limit", (736, 1280), 1.0),
        (720, 1280, 640, "limit", (384, 640), 0.5),
        (1, 1, 64, "long", (64, 64), 64.0),
        (200, 20000, 960, "long", (32, 960), 0.048),
        (200, 20000, 736, "short", (96, 8192), 0.4096),
        (20000, 1, 640, "long", (640, 32), 0.032),
    ],
)
def test_the_resize_of_evaluation(
    height: int, width: int, side: int, mode: str, shape: tuple[int, int], scale: float
) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    out, (x, y) = resize_page(image, side, mode)  # type: ignore[arg-type]
    assert out.shape == (*shape, 3)
    assert page_scale(height, width, side, mode) == pytest.approx(scale)  # type: ignore[arg-type]
    used = out[: round(height * y), : round(width * x)]
    assert (used == 90).all() and int((out > 0).sum()) == used.size
    assert x == pytest.approx(scale, abs=1 / width) and y == pytest.approx(scale, abs=1 / height)


def test_the_resize_refuses_other_images_and_modes() -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        resize_page(np.zeros((4, 4), np.uint8), 32)
    with pytest.raises(ValueError, match="mode"):
        page_scale(4, 4, 32, "both")  # type: ignore[arg-type]
