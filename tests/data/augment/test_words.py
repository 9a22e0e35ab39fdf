"""Augmentation of real crops: pure in the generator's state, same text, any size, input left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.augment.words import augment_word, augmented_size
from ocrctl.data.synth import SynthWords, SynthWordsConfig


def crop(index: int = 0) -> np.ndarray:
    return SynthWords(SynthWordsConfig.real(strength=0.3)).sample(index)[0]


def test_same_generator_state_same_image() -> None:
    image = crop()
    first = [augment_word(image, np.random.default_rng([7, n]), 1.0) for n in range(20)]
    again = [augment_word(image, np.random.default_rng([7, n]), 1.0) for n in range(20)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({a.tobytes() for a in first}) == 20


def test_input_is_left_alone_and_strength_zero_changes_nothing() -> None:
    image = crop(1)
    before = image.copy()
    rng = np.random.default_rng(0)
    for _ in range(30):
        augment_word(image, rng, 1.0)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(augment_word(image, rng, 0.0), before)


def test_one_draw_is_taken_whatever_happens() -> None:
    a, b = np.random.default_rng(3), np.random.default_rng(3)
    augment_word(crop(2), a, 1.0)
    augment_word(crop(5), b, 0.0)
    assert a.integers(1 << 30) == b.integers(1 << 30)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 700), seed=st.integers(0, 2**32), strength=st.floats(0, 1))
def test_any_size_stays_a_usable_image(height: int, width: int, seed: int, strength: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = augment_word(image, np.random.default_rng(seed), strength)
    assert out.dtype == np.uint8 and out.ndim == 3 and out.shape[2] == 3 and 0 not in out.shape
    assert out.flags.c_contiguous and out.shape[1] <= max(1024, width)


def test_the_word_stays_in_the_image() -> None:
    """A white bar in the middle half of a black crop keeps most of its share of the pixels."""
    image = np.zeros((40, 160, 3), np.uint8)
    image[10:30, 40:120] = 255
    rng = np.random.default_rng(11)
    for _ in range(200):
        out = augment_word(image, rng, 1.0).astype(np.float64).mean(axis=2)
        low, high = np.percentile(out, (2, 98))
        bright = (out > (low + high) / 2).mean()
        assert 0.1 < bright < 0.9 and high - low > 25


@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)]
)
def test_other_images_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        augment_word(wrong, np.random.default_rng(0))
    with pytest.raises(ValueError, match="strength"):
        augment_word(crop(), np.random.default_rng(0), 1.2)


@given(st.integers(1, 200), st.integers(1, 1500), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_size_of_an_augmented_word_is_known_without_it(height: int, width: int, seed: int, strength: float) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    result = augment_word(image, np.random.default_rng(seed), strength)
    assert augmented_size(height, width, np.random.default_rng(seed), strength) == result.shape[:2]
