from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from ocrctl.config.limits import limit
from ocrctl.data.images.decode import decode_problem
from ocrctl.data.images.libjpeg_warnings import DecoderWarnings

JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8))[1].tobytes()


def test_damage_in_the_middle_of_a_jpeg_is_found_and_named(capfd: pytest.CaptureFixture[str]) -> None:
    middle = len(JPEG) // 2
    damaged = JPEG[:middle] + bytes(300) + JPEG[middle + 300 :]
    assert decode_problem(damaged) == ""  # opencv paints over it
    capfd.readouterr()
    with DecoderWarnings() as decoder:
        assert decoder.check(JPEG) == ""
        assert "damaged" in decoder.check(damaged) and "Corrupt JPEG data" in decoder.check(damaged)
        assert decoder.check(JPEG) == ""
        assert "cut off" in decoder.check(damaged[:-9])
        assert decoder.check(JPEG) == ""
    assert capfd.readouterr().err == ""


def test_other_words_on_stderr_are_no_damage(capfd: pytest.CaptureFixture[str]) -> None:
    with DecoderWarnings() as decoder:
        os.write(2, b"libpng warning: iCCP: known incorrect sRGB profile\n")
        assert decoder.check(JPEG) == ""
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_images_checked_together_have_the_problems_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEGs that start alike skip the parsing of their headers; what is found must not depend on it."""
    rng = np.random.default_rng(1)
    middle = len(JPEG) // 2
    images = [JPEG] * 40
    for number, (height, width) in enumerate([(40, 91), (3, 5), (900, 1200)]):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        images.insert(7 * number, cv2.imencode(".jpg", picture)[1].tobytes())
        images.insert(3 * number, cv2.imencode(".png", picture)[1].tobytes())
        progressive = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
        images.insert(11 * number, progressive)
    start = JPEG[: JPEG.index(b"\xff\xc0") + 5]  # the size follows
    images[5:5] = [b"", JPEG[:-9], start, start + b"\0", start + bytes(4) + b"\xff\xd9", JPEG[:middle] + b"\xff\xd9"]
    images[33:33] = [
        JPEG[:middle] + bytes(300) + JPEG[middle + 300 :],
        start + bytes([255] * 4) + JPEG[len(start) + 4 :],
    ]
    monkeypatch.setenv("OCRCTL_DATA__MAX_IMAGE_PIXELS", "1000000")
    limit.cache_clear()
    try:
        with DecoderWarnings() as decoder:
            alone = list(map(decoder.check, images))
            assert decoder.check_all(images) == alone and decoder.check_all([]) == []
    finally:
        monkeypatch.undo()
        limit.cache_clear()
    problems = [problem for problem in alone if problem]
    assert len(problems) == 11 and sum("the limit is 1,000,000" in problem for problem in problems) == 4
