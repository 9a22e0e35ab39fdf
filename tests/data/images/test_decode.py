from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.data.images.decode import decode, decode_problem
from ocrctl.data.images.resize_word import resize_word
from ocrctl.errors import InputError

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 60, 3), dtype=np.uint8)


def encode(suffix: str, image: np.ndarray = PICTURE) -> bytes:
    """`image` (RGB) as a file of kind `suffix`."""
    done, data = cv2.imencode(suffix, image[:, :, ::-1])
    assert done
    return bytes(data.tobytes())


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_decode_gives_rgb(suffix: str) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    image = decode(encode(suffix, red), "here")
    assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
    assert image[..., 0].min() > 200 and image[..., 1:].max() < 60
    assert decode_problem(encode(suffix)) == ""


def test_grey_and_alpha_become_rgb() -> None:
    grey = cv2.imencode(".png", PICTURE[:, :, 0])[1].tobytes()
    alpha = cv2.imencode(".png", np.dstack([PICTURE, PICTURE[:, :, :1]]))[1].tobytes()
    assert decode(grey, "").shape == decode(alpha, "").shape == (24, 60, 3)
    assert decode_problem(grey) == decode_problem(alpha) == ""


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@given(share=st.floats(0, 0.999))
def test_a_cut_off_file_is_refused_wherever_it_is_cut(suffix: str, share: float) -> None:
    data = encode(suffix)
    cut = data[: int(len(data) * share)]
    assert decode_problem(cut)
    with pytest.raises(InputError, match=r"gt\.txt:3"):
        decode(cut, "gt.txt:3 (a.png)")


def test_a_tail_of_zeros_is_a_cut_off_jpeg() -> None:
    data = encode(".jpg")
    assert "end marker" in decode_problem(data[: len(data) // 2] + bytes(len(data) // 2))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    assert decode_problem(encode(".jpg") + b"camera's own notes") == ""


def test_the_end_marker_of_a_thumbnail_does_not_count() -> None:
    data = encode(".jpg")
    thumbnail = b"Exif\0\0" + b"\xff\xd8 thumbnail \xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = data[:2] + segment + data[2:]
    assert decode_problem(whole) == ""
    assert "cut off" in decode_problem(whole[:-40])


@given(st.binary(max_size=200))
def test_noise_is_refused_not_raised(data: bytes) -> None:
    assert decode_problem(data)


@given(
    height=st.integers(1, 80), width=st.integers(1, 300), channels=st.sampled_from([1, 3]), source=st.integers(1, 120)
)
def test_resize_gives_the_shape_asked_for(height: int, width: int, channels: int, source: int) -> None:
    image = np.full((source, 2 * source, 3), 77, np.uint8)
    resized = resize_word(image, height, width, channels)
    assert resized.shape == (height, width, channels)
    assert resized.dtype == np.uint8 and resized.flags.c_contiguous
    assert set(np.unique(resized)) == {77}


def test_resize_averages_the_axis_that_shrinks_though_the_other_grows() -> None:
    stripes = np.zeros((8, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_word(stripes, 32, 100, 1).astype(int) - 127).max() <= 1


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_resize_refuses_what_is_no_rgb_image(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB uint8"):
        resize_word(image, 32, 100, 3)
