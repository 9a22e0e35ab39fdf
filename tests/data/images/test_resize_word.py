"""Words resized with their aspect ratio, padded to batches, and divided into batches by width."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.data.images.resize_word import pad_words, plan_batches, resize_kept, resize_word
from ocrctl.errors import InputError

KEPT = KeptAspect(min_width=8, max_width=640, multiple=4)


def test_an_image_may_be_scaled_linearly_as_a_model_was_trained() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 301, 3), dtype=np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = resize_kept(image, 32, KeptAspect(8, 640, linear=True), 1)
    np.testing.assert_array_equal(found[:, :, 0], cv2.resize(grey, (96, 32), interpolation=cv2.INTER_LINEAR))
    assert not np.array_equal(found, resize_kept(image, 32, KEPT, 1))  # averaged over area


@given(height=st.integers(1, 60), width=st.integers(1, 3000), channels=st.sampled_from([1, 3]))
def test_the_aspect_ratio_is_kept_within_the_limits(height: int, width: int, channels: int) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    resized = resize_kept(image, 32, KEPT, channels)
    assert resized.shape == (32, min(640, max(8, KEPT.width_of(height, width, 32))), channels)
    assert set(np.unique(resized)) == {77}
    if 8 < resized.shape[1] < 640:
        assert abs(resized.shape[1] - width * 32 / height) <= 0.5


@pytest.mark.parametrize(("size", "width"), [((32, 1), 8), ((900, 1), 8), ((40, 20_000), 640), ((1, 1), 32)])
def test_images_of_any_size_have_a_width(size: tuple[int, int], width: int) -> None:
    assert resize_kept(np.zeros((*size, 3), np.uint8), 32, KEPT, 1).shape == (32, width, 1)


def test_a_wide_image_is_compressed_not_cut() -> None:
    image = np.zeros((20, 20_000, 3), np.uint8)
    image[:, -5000:] = 200
    resized = resize_kept(image, 32, KEPT, 1)
    assert (
        resized[0, 0, 0] == 0 and resized[0, -1, 0] == 200 and np.mean(resized == 200) == pytest.approx(0.25, abs=0.01)
    )


def test_a_least_width_widens_but_not_beyond_the_maximum() -> None:
    image = np.zeros((32, 20, 3), np.uint8)
    assert resize_kept(image, 32, KEPT, 1, min_width=52).shape[1] == 52
    assert resize_kept(image, 32, KEPT, 1, min_width=9999).shape[1] == 640
    assert resize_kept(image, 32, KEPT, 1, min_width=12).shape[1] == 20


def test_an_image_of_the_input_size_is_the_same_either_way() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 100, 3), dtype=np.uint8)
    assert np.array_equal(resize_kept(image, 32, KEPT, 3), resize_word(image, 32, 100, 3))
    with pytest.raises(InputError, match="RGB uint8"):
        resize_kept(image[..., 0], 32, KEPT, 3)


def test_a_batch_is_padded_on_the_right() -> None:
    kept = KeptAspect(min_width=8, max_width=640, multiple=8, margin=3, pad_to=16)
    batch, widths = pad_words([np.full((32, width, 1), 9, np.uint8) for width in (10, 30)], kept)
    assert batch.shape == (2, 32, 40, 1) and widths.tolist() == [10, 30]
    assert batch[0, :, :10].min() == 9 and not batch[0, :, 10:].any()
    assert pad_words([np.zeros((32, 10, 1), np.uint8)], kept)[0].shape == (1, 32, 16, 1)


@given(widths=st.lists(st.integers(8, 640), max_size=80), pixels=st.integers(1, 4000))
def test_batches_hold_every_image_once_within_the_budget(widths: list[int], pixels: int) -> None:
    plan = plan_batches(widths, KEPT, pixels)
    assert sorted(index for batch in plan for index in batch) == list(range(len(widths)))
    for batch in plan:
        widest = max(widths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * KEPT.batch_width(widest) <= pixels
    assert plan == plan_batches(widths, KEPT, pixels)
