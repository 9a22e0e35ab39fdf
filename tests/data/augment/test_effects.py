"""The degradations and the warp, one by one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from ocrctl.data.augment import effects
from ocrctl.data.augment.textures import HEIGHT, WIDTH, cut, light_textures, noise_textures, surface_textures
from ocrctl.data.images.warp import View, bend, crop_matrix

EFFECTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blur": lambda image: effects.blur(image, 1.4),
    "slight blur": lambda image: effects.blur(image, 0.5),
    "motion": lambda image: effects.motion_blur(image, 5, 0.3),
    "motion level": lambda image: effects.motion_blur(image, 6, 0.0),
    "motion upright": lambda image: effects.motion_blur(image, 5, 0.5),
    "defocus": lambda image: effects.defocus(image, 1.7),
    "rescale": lambda image: effects.rescale(image, 12, True),
    "rescale jagged": lambda image: effects.rescale(image, 12, False),
    "noise": lambda image: effects.add_noise(image, Random(1), 12.0, True),
    "grey noise": lambda image: effects.add_noise(image, Random(1), 12.0, False),
    "light": lambda image: effects.illuminate(image, Random(1), 0.7),
    "jpeg": lambda image: effects.jpeg(image, 25),
    "tone": lambda image: effects.tone(image, 0.7, 20.0),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_size_and_input_stay_and_something_changes(name: str) -> None:
    image = np.random.default_rng(2).integers(0, 256, (37, 91, 3), dtype=np.uint8)
    before = image.copy()
    out = EFFECTS[name](image)
    assert out.shape == image.shape and out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    assert (out != image).mean() > 0.5
    np.testing.assert_array_equal(out, EFFECTS[name](image))


def test_jpeg_keeps_the_channel_order() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(effects.jpeg(red, 90).mean(axis=(0, 1)), (200, 0, 0), atol=6)


@pytest.mark.parametrize("sigma", [0.9, 1.2, 1.7, 2.5, 3.4])
def test_box_blur_has_the_deviation_asked_for(sigma: float) -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[:, 20] = 255
    row = effects.blur(image, sigma)[20, :, 0].astype(float)
    x = np.arange(41) - 20.0
    assert np.sqrt((row * x * x).sum() / row.sum()) == pytest.approx(sigma, rel=0.25)


def test_noise_has_the_deviation_asked_for() -> None:
    image = np.full((100, 200, 3), 128, np.uint8)
    for coloured in (True, False):
        out = effects.add_noise(image, Random(4), 10.0, coloured).astype(float)
        assert out.std() == pytest.approx(10, rel=0.2) and out.mean() == pytest.approx(128, abs=1.5)


def test_textures_are_cut_to_any_size() -> None:
    assert (
        noise_textures().shape == (2, HEIGHT, WIDTH, 3)
        and surface_textures().ndim == 3
        and light_textures().shape[0] == 4
    )
    for height, width in ((5, 9), (HEIGHT, WIDTH), (HEIGHT + 10, 40), (20, WIDTH + 1)):
        assert cut(noise_textures()[0], Random(0), height, width).shape == (height, width, 3)


def test_frame_holds_the_whole_word_and_fills_the_crop() -> None:
    box = (10.0, 5.0, 110.0, 45.0)
    for view in (View(), View(0.2, 0.3, 0.3, -0.2, 1.2), View(-0.1, -0.2, -0.4, 0.3, 0.8)):
        matrix, width = crop_matrix(box, view, 40, 1000)
        corners = np.array([(10, 5, 1), (110, 5, 1), (110, 45, 1), (10, 45, 1)]) @ matrix.T
        seen = corners[:, :2] / corners[:, 2:]
        np.testing.assert_allclose(seen.min(axis=0), (0, 0), atol=1e-6)
        np.testing.assert_allclose(seen.max(axis=0), (width, 40), atol=1e-6)


def test_frame_pads_are_in_word_heights_and_width_is_bounded() -> None:
    matrix, width = crop_matrix((0.0, 0.0, 100.0, 40.0), View(pads=(0.5, 0.25, 0.5, 0.25)), 60, 1000)
    assert width == 140
    np.testing.assert_allclose(matrix @ (0, 0, 1), (20, 10, 1), atol=1e-9)
    assert crop_matrix((0.0, 0.0, 9000.0, 10.0), View(), 40, 256)[1] == 256
    assert crop_matrix((0.0, 0.0, 1.0, 40.0), View(), 40, 256)[1] == 8


@pytest.mark.parametrize("arc", [0.3, 1.2, -0.3, -1.2])
def test_bend_keeps_the_ink_and_bows_the_right_way(arc: float) -> None:
    bar = np.full((20, 120), 255, np.uint8)
    bent = bend(bar, arc)
    assert bent.shape[0] > 20
    assert (bent > 128).sum() == pytest.approx(bar.size * (1 + abs(arc) * 10 / 120), rel=0.08)
    middle, side = (np.flatnonzero(bent[:, x] > 128)[0] for x in (bent.shape[1] // 2, 8))
    assert (middle < side) == (arc > 0)
