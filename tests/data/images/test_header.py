from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from ocrctl.data.images.header import Header, jpeg_header, read_header


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_sizes_and_orientation(kind: str, orientation: int) -> None:
    for options in ({}, {"lossless": True}) if kind == "WEBP" else ({},):
        buffer = io.BytesIO()
        exif = Image.Exif()
        if orientation > 1:
            exif[0x0112] = orientation
        image = Image.new("RGB", (301, 47), (1, 200, 30))
        image.save(buffer, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}), **options)
        turned = orientation if kind in ("JPEG", "PNG", "WEBP") else 1
        assert read_header(buffer.getvalue()) == Header(301, 47, turned)
        assert Header(301, 47, 6).displayed == (47, 301)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\x89PNG\r\n\x1a\n", b"RIFF"]
)
def test_what_is_none(data: bytes) -> None:
    assert read_header(data) is None


def test_a_jpeg_is_read_alike_after_one_that_starts_as_it_does() -> None:
    def encoded(size: tuple[int, int], **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, (1, 200, 30)).save(buffer, "JPEG", **options)
        return buffer.getvalue()

    turned = Image.Exif()
    turned[0x0112] = 6
    for options in ({}, {"progressive": True}, {"exif": turned}, {"quality": 20}) * 2:
        for size in ((301, 47), (65_500, 1), (1, 2)):
            expected = "progressive" in options, Header(*size, 6 if "exif" in options else 1)
            assert jpeg_header(encoded(size, **options)) == expected
    data = encoded((7, 9))
    size = jpeg_header(data) and data.index(b"\xff\xc0") + 5
    assert size and jpeg_header(data[:size] + bytes(4) + data[size + 4 :]) is None
    with pytest.raises(struct.error):
        jpeg_header(data[: size + 3])
