from __future__ import annotations

import io

import pytest
from PIL import Image

from ocrctl.data.images.header import Header, read_header


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
