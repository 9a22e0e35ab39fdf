from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

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
