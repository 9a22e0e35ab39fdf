"""Images that state more than they hold: refused from their headers, before a decoder sets memory aside."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.data.images.av1 import stream_sizes
from ocrctl.data.images.decode import decode, probe
from ocrctl.data.images.header import read_header
from ocrctl.data.images.limits import limit_problem, stated_size
from ocrctl.errors import InputError, UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint8)
PNG = b"\x89PNG\r\n\x1a\n"


def encode(suffix: str, *options: int) -> bytes:
    """PICTURE as a file of kind `suffix`."""
    return bytes(cv2.imencode(suffix, PICTURE, options)[1].tobytes())


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """A PNG chunk that states `length` bytes."""
    stated = len(data) if length is None else length
    return struct.pack(">I", stated) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int = 8, colour: int = 2, length: int | None = None) -> bytes:
    """A PNG of a few bytes of pixels."""
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return PNG + start + chunk(b"IDAT", zlib.compress(bytes(1500)), length) + chunk(b"IEND", b"")


def put(data: bytes, place: int, value: bytes) -> bytes:
    """`data` with `value` written over it at `place`."""
    return data[:place] + value + data[place + len(value) :]


def tiff(**changed: int) -> bytes:
    """A TIFF of 10 x 10 RGB pixels whose tags say otherwise."""
    names = {"width": 256, "height": 257, "bits": 258, "samples": 277, "rows": 278, "tile_w": 322, "tile_h": 323}
    tags = {256: 10, 257: 10, 258: 8, 259: 1, 262: 2, 273: 8, 277: 3, 278: 10, 279: 300}
    tags |= {names[name]: value for name, value in changed.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 308) + bytes(300) + struct.pack("<H", len(tags)) + entries + bytes(4)


def saved(kind: str) -> bytes:
    """PICTURE as PIL writes it."""
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, kind)
    return stream.getvalue()


def hostile() -> dict[str, bytes]:
    """Files of at most 120 KB that made a decoder take gigabytes or seconds, or might."""
    jpeg, progressive = encode(".jpg"), encode(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    start = progressive.index(b"\xff\xda")
    webp, bmp, gif, avif = encode(".webp", cv2.IMWRITE_WEBP_QUALITY, 80), encode(".bmp"), saved("GIF"), encode(".avif")
    return {
        "idat.png": png(10, 10, length=0xFFFFFFF0),
        "mono.png": png(30000, 30000, bits=1, colour=0),
        "rgb.png": png(60000, 60000),
        "big.jpg": put(jpeg, jpeg.index(b"\xff\xc0") + 5, struct.pack(">HH", 65500, 65500)),
        "scans.jpg": progressive[:start] + progressive[start:-2] * 20 + b"\xff\xd9",
        "big.webp": put(webp, webp.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", 16383, 16383)),
        "big.bmp": put(bmp, 18, struct.pack("<ii", 60000, -60000)),
        "rle.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1100, 0, 0, 1078, 40, 30000, 30000, 1, 8, 1, 0, 0, 0, 256, 0)
        + bytes(1024) + b"\0\1",
        "big.gif": put(gif, 6, struct.pack("<HH", 65535, 65535)),
        "big.avif": put(avif, avif.index(b"ispe") + 8, struct.pack(">II", 65535, 65535)),
        "big.tif": tiff(width=60000, height=60000),
        "tiles.tif": tiff(tile_w=32000, tile_h=32000),
        "channels.tif": tiff(samples=60000),
        "double.tif": tiff(bits=64),
        "big.ppm": b"P6 #\n60000 60000 255\n" + bytes(100),
        "big.pam": b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(100),
        "big.pfm": b"PF\n30000 30000\n-1.0\n" + bytes(100),
        "big.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n" + bytes(100),
        "big.ras": struct.pack(">8I", 0x59A66A95, 30000, 30000, 24, 100, 1, 0, 0) + bytes(100),
        "big.jp2": b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">IIII", 60000, 60000, 0, 0) + bytes(60),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_what_would_take_too_much_is_named_and_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("handed to the decoder"))
    data = hostile()[name]
    reason, image = probe(data)
    assert image is None and ("limit" in reason or "expected" in reason or "states" in reason)
    with pytest.raises(InputError, match=rf"^gt\.txt:3 \({name}\): the "):
        decode(data, f"gt.txt:3 ({name})")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".avif", ".tif", ".ppm", ".jp2", ".gif", ".pam"])
def test_what_the_header_states_is_what_is_decoded(suffix: str) -> None:
    data = encode(suffix)
    stated = stated_size(data)
    assert stated is not None and stated[1:] == (60, 48) and limit_problem(data) == ""
    assert decode(data, "").shape == (48, 60, 3)


def test_the_limits_are_settings(set_limit: Callable[[str, str], None], word_folder: Path) -> None:
    set_limit("data.max_image_pixels", "2879")
    assert "60 x 48 pixels, the limit is 2,879" in limit_problem(encode(".png"))
    set_limit("data.max_image_pixels", "2880")
    assert limit_problem(encode(".png")) == ""
    set_limit("data.max_image_bytes", "100")
    assert run(["dataset", "validate", str(word_folder), "-q"]) == 1
    set_limit("data.max_image_pixels", "many")
    with pytest.raises(UsageError, match="expected an integer"):
        limit_problem(encode(".png"))


@pytest.mark.parametrize("speed", [9, 10])
def test_an_avif_is_as_large_as_its_stream_says(speed: int, set_limit: Callable[[str, str], None]) -> None:
    """libavif decodes 9000 x 9000 pixels where the file states 100 x 100."""
    image = np.zeros((500, 600, 3), np.uint8)
    data = cv2.imencode(".avif", image, [cv2.IMWRITE_AVIF_SPEED, speed])[1].tobytes()
    assert stream_sizes(data) and set(stream_sizes(data)) == {(600, 500)}
    lies = put(data, data.index(b"ispe") + 8, struct.pack(">II", 10, 10))
    assert stated_size(lies) == ("avif", 600, 500)
    set_limit("data.max_image_pixels", "800000")
    assert "600 x 500 pixels, the limit is 266,666" in limit_problem(lies)
    for cut in range(0, len(data), 7):
        assert set(stream_sizes(data[:cut])) <= {(600, 500)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("flags", [[], ["--header-only"]])
def test_validate_finds_them_within_a_gigabyte(flags: list[str], tmp_path: Path) -> None:
    files = hostile()
    row, packer = bytes(3751), zlib.compressobj(9)  # 30000 x 30000 pixels that are all there, of one bit each
    rows = b"".join(packer.compress(row) for _ in range(30000)) + packer.flush()
    files["whole.png"] = png(30000, 30000, 1, 0)[:33] + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "rec_gt.txt").write_text("".join(f"{name}\tword\n" for name in files))
    script = (
        "import re, sys\nfrom ocrctl.cli.app import run\n"
        "code = run(sys.argv[1:])\n"
        "peak = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]\n"  # ru_maxrss keeps the parent's
        "print(code, peak, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "dataset", "validate", str(tmp_path), "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    code, kilobytes = map(int, done.stderr.split()[-2:])
    assert code == 1 and kilobytes < 1 << 19
    found = {item["code"]: item["count"] for item in json.loads(done.stdout)["codes"]}
    # A chunk that is longer than the file and the scans within it are not told by headers.
    assert found == ({"I002": 2, "I016": 17} if flags else {"I002": 2, "I003": 1, "I016": 18}), found
    assert done.stderr.count("\n") <= 3


@pytest.mark.parametrize("suffix", [".avif", ".tif", ".gif", ".bmp", ".webp", ".jp2", ".png", ".jpg"])
def test_damaged_headers_raise_nothing(suffix: str) -> None:
    dice, data = random.Random(5), encode(suffix)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 2, 8))):
            place = dice.randrange(min(len(damaged), dice.choice((64, 400, 1 << 30))))
            damaged[place] = dice.choice((0, 255, dice.randrange(256), damaged[place] ^ 1 << dice.randrange(8)))
        read_header(bytes(damaged))
        reason, _ = probe(bytes(damaged))
        try:
            decode(bytes(damaged), "here")
        except InputError as error:
            assert reason or error.message
