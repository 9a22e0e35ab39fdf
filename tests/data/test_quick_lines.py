"""What reads many label lines at once reads them as what takes them one by one, errors and their lines included."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrctl.data.annotation_builder import Builder
from ocrctl.data.annotations import IGNORED, Annotations
from ocrctl.data.formats import _gt_lines, icdar_words
from ocrctl.data.image_header import Header, read_header
from ocrctl.errors import InputError

PART = st.sampled_from(
    ["1", "-2", "3.5", " 4", "5 ", "1e3", "nan", "inf", "٣", "1_0", "", "x", "###", "a b", '"', "\r"]
)
LINE = st.lists(PART, min_size=0, max_size=11).map(",".join) | st.lists(
    st.integers(-9, 4000).map(str), min_size=8, max_size=8
).map(lambda numbers: ",".join(numbers) + ",text, more")


def read(lines: list[str], quick: bool) -> Annotations | str:
    builder = Builder(Path("gt.txt"), "icdar15")
    builder.label_file("gt.txt")
    builder.add(builder.image("before.jpg"), (1, 2, 3, 4, 5, 6), "first", False)
    parse = _gt_lines.parse_quad if quick else lambda line: _gt_lines.parse_quad(line)
    try:
        _gt_lines.add_lines(builder, builder.image("a.jpg"), lines, parse, "gt.txt", "8 numbers")
    except InputError as error:
        return str(error)
    return builder.build("root")


@settings(max_examples=400, deadline=None)
@given(st.lists(LINE, max_size=5))
def test_quads_at_once(lines: list[str]) -> None:
    one, other = read(lines, quick=True), read(lines, quick=False)
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    for column in ("points", "offsets", "image_id", "ignore", "lines"):
        mine, theirs = getattr(one, column), getattr(other, column)
        assert mine.dtype == theirs.dtype and mine.tobytes() == theirs.tobytes(), column
    assert one.texts == other.texts and one.images == other.images


def test_a_wrong_line_among_many_is_named() -> None:
    lines = ["1,2,3,4,5,6,7,8,a"] * 500 + ["1,2,3,4,5,6,7,b"] + [f"1,2,3,4,5,6,7,8,{IGNORED}"]
    assert str(read(lines, quick=True)).startswith("gt.txt:501: expected 8 numbers")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(["a.png", " ", "\u3000", ",", '"', '\\"', "\\", "text", "\r", ', "']), max_size=9))
def test_words_in_quotes(parts: list[str]) -> None:
    line = "".join(parts)
    match = icdar_words._LINE.match(line)
    assert icdar_words._parse(line) == ((match[1], match[2].replace('\\"', '"')) if match else None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_start_of_a_picture_says_what_all_of_it_says_or_nothing(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17), (200, 0, 90)).save(buffer, kind, exif=exif, icc_profile=bytes(range(256)) * 20)
    whole = buffer.getvalue()
    assert read_header(whole) == Header(31, 17, 6)
    for size in (1, 30, 200, 1 << 10, 1 << 12, len(whole)):
        assert read_header(whole[:size]) in (None, Header(31, 17, 6))
