"""Headers of images that are read many at once say what each alone says, wrong ones included."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin, TiffTags

from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.images.header import Header, HeaderReader, read_header
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.image_scan import scan_images


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_start_of_an_image_says_what_all_of_it_says_or_nothing(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17), (200, 0, 90)).save(buffer, kind, exif=exif, icc_profile=bytes(range(256)) * 20)
    whole = buffer.getvalue()
    assert read_header(whole) == Header(31, 17, 6)
    for size in (1, 30, 200, 1 << 10, 1 << 12, len(whole)):
        assert read_header(whole[:size]) in (None, Header(31, 17, 6))


SIDE = st.integers(1, 300)


def jpeg(width: int, height: int, *, quality: int = 75, turned: bool = False) -> bytes:
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 8
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 300), st.integers(1, 300), st.sampled_from([50, 75]), st.booleans(), st.integers(0, 700)
        ),
        max_size=6,
    )
)
def test_many_headers_are_read_as_each_alone(pictures: list[tuple[int, int, int, bool, int]]) -> None:
    reader = HeaderReader()
    for width, height, quality, turned, cut in pictures:
        data = jpeg(width, height, quality=quality, turned=turned)
        assert reader.read(data) == read_header(data) == Header(width, height, 8 if turned else 1)
        assert reader.read(data[:cut]) == read_header(data[:cut])
        starts = [data, data[:cut], data, b"", data]
        for few in (starts, starts[::2], starts[3:4], []):
            assert reader.read_all(few).tolist() == [list(read_header(start) or (0, 0, 0)) for start in few]
        place = data.index(struct.pack(">BHBHH", 0xC0, 17, 8, height, width)) + 4
        blank = data[:place] + bytes(4) + data[place + 4 :]
        assert reader.read_all([data, blank])[1].tolist() == [0, 0, 0]


def test_headers_of_an_lmdb_are_read_in_one_go_and_what_is_wrong_is_said_of_each(tmp_path: Path) -> None:
    path, count = tmp_path / "words.lmdb", 150
    with lmdb.open(str(path), map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"%d" % count)
        for number in range(1, count + 1):
            transaction.put(b"label-%09d" % number, b"word%d" % number)
            picture = {77: b"", 78: b"no picture", 79: jpeg(9, 7)[:30]}.get(
                number, jpeg(number, 7, turned=number == 80)
            )
            if number != 76:
                transaction.put(b"image-%09d" % number, picture)
    data = open_annotations(str(path))
    findings = Findings()
    scan = scan_images(data, findings, decode=False)
    said = {hits.code.name: [i + 1 for i in hits.indices.tolist()] for hits in findings.sorted()}
    assert said == {"missing": [76], "empty-file": [77], "unreadable": [78, 79]}
    wrong = [76, 77, 78, 79]
    assert scan.sizes.tolist() == [[0, 0] if n in wrong else [7, n] if n == 80 else [n, 7] for n in range(1, count + 1)]


def test_headers_of_a_damaged_lmdb_page_are_named_and_the_others_read(tmp_path: Path) -> None:
    path, count, page = tmp_path / "words.lmdb", 300, 4096
    with lmdb.open(str(path), map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"%d" % count)
        for number in range(1, count + 1):
            transaction.put(b"label-%09d" % number, b"word%d" % number)
            transaction.put(b"image-%09d" % number, jpeg(60, 50))
    data = bytearray((path / "data.mdb").read_bytes())
    for start in range(2 * page, len(data), page):
        if data[start + 10] & 2 and b"image-000000150" in data[start : start + page]:  # a leaf
            data[start + 10] = 4  # says it is an overflow page
    (path / "data.mdb").write_bytes(data)
    findings = Findings()
    scan = scan_images(open_annotations(str(path)), findings, decode=False)
    (hits,) = findings.sorted()
    bad = hits.indices.tolist()
    assert hits.code.name == "unreadable" and 149 in bad and len(bad) < 10
    assert (scan.sizes[[i for i in range(count) if i not in bad]] == (60, 50)).all()


@pytest.mark.parametrize("width", [0, 1 << 31, (1 << 32) - 1])
def test_a_size_that_no_image_has_is_no_header(width: int) -> None:
    buffer = io.BytesIO()
    Image.new("L", (3, 5)).save(buffer, "PNG")
    whole = buffer.getvalue()
    assert read_header(whole) == Header(3, 5)
    assert read_header(whole[:16] + width.to_bytes(4, "big") + whole[20:]) is None


@pytest.mark.parametrize("kind", [TiffTags.SHORT, TiffTags.FLOAT])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_header_of_a_tiff_says_what_its_decoder_shows(kind: int, orientation: int) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = orientation if kind == TiffTags.SHORT else float(orientation)
    tags.tagtype[0x0112] = kind
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17)).save(buffer, "TIFF", tiffinfo=tags)
    header, shown = read_header(buffer.getvalue()), decode(buffer.getvalue(), "a.tif")
    assert header is not None and header.displayed == (shown.shape[1], shown.shape[0])
    assert header[:2] == (31, 17) and type(header.orientation) is int
