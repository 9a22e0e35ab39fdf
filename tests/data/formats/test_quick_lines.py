"""What reads many label lines at once reads them as what takes them one by one, errors and their lines included."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import _gt_lines, _quad_lines, icdar_words, paddleocr_det
from ocrctl.data.formats._cache import cached, cached_lookups
from ocrctl.data.formats._quad_lines import parse_quads
from ocrctl.data.formats._text import majority
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.lmdb.label_text import read_label_text
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate import text_rules
from ocrctl.data.validate.text_rules import PLACEHOLDERS, text_problems
from ocrctl.errors import InputError

PART = st.sampled_from(
    ["1", "-2", "3.5", " 4", "5 ", "1e3", "nan", "inf", "٣", "1_0", "", "x", "###", "a b", '"', "\r", "-", "é"]
)
NUMBER = st.integers(-9, 4000).map(str) | st.sampled_from(["-0", "007", "12345678", "123456789", "1/2", "1:2", "99"])
LINE = st.lists(PART, min_size=0, max_size=11).map(",".join) | st.lists(NUMBER, min_size=8, max_size=8).map(
    lambda numbers: ",".join(numbers) + ",text, é more"
)

COLUMNS = ("points", "offsets", "image_id", "ignore", "lines")


def read(files: list[list[str]], quick: bool) -> Annotations | str:
    builder = Builder(Path("gt.txt"), "icdar15")
    builder.label_file("gt.txt")
    builder.add(builder.image("before.jpg"), (1, 2, 3, 4, 5, 6), "first", False)
    names = [f"gt_{number}.txt" for number in range(len(files))]
    images = [builder.image(name) for name in names]
    try:
        if quick:
            texts = map("\n".join, files)
            whole = [_gt_lines.LabelFile(*file) for file in zip(images, texts, strict=True)]
            _gt_lines.add_files(builder, whole, _gt_lines.parse_quad, "8 numbers")
        else:
            for image, lines in zip(images, files, strict=True):
                _gt_lines.add_lines(builder, image, lines, _gt_lines.parse_quad, "8 numbers")
        return builder.build("root")
    except InputError as error:
        return str(error)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(LINE, max_size=5), max_size=3))
def test_quads_at_once(files: list[list[str]]) -> None:
    one, other = read(files, quick=True), read(files, quick=False)
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    for column in COLUMNS:
        mine, theirs = getattr(one, column), getattr(other, column)
        assert mine.dtype == theirs.dtype and mine.tobytes() == theirs.tobytes(), column
    assert one.texts == other.texts and one.images == other.images


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(NUMBER, min_size=8, max_size=8), min_size=1, max_size=4))
def test_whole_numbers_are_read_at_once_and_others_as_float_reads_them(rows: list[list[str]]) -> None:
    lines = ["\n".join(",".join(row) + ",a,b" for row in rows)]
    found, quick = parse_quads(lines), _quad_lines._whole(lines)
    plain = all(number.lstrip("-").isdecimal() and len(number) <= 8 for row in rows for number in row)
    assert (quick is not None) == plain
    try:
        wanted = [[float(number) for number in row] for row in rows]
    except ValueError:
        assert found is None
        return
    assert found is not None and found.points.tolist() == wanted
    assert found.texts == ["a,b"] * len(rows) and found.counts == [len(rows)]


def test_numbers_in_a_text_are_points_only_where_they_lie_beside_its_box(tmp_path: Path) -> None:
    lines = ["20,60,60,58,100,60,100,80,60,82,20,80,WORLD", "20,60,100,60,100,80,20,80,12, 14, JALAN BESAR",
             "700,60,900,60,900,80,700,80,53,55,57 & 59", "20,60,100,60,100,80,20,80,1,000,000"]  # fmt: skip
    (tmp_path / "gt_a.txt").write_text("\n".join(lines))
    findings = Findings()
    text_rules.check_texts(findings, open_annotations(f"icdar15:{tmp_path}"))
    assert findings.hits["T010"].indices.tolist() == [0, 1] and "'60,82,20,80,'" in findings.hits["T010"].message(0)


POINTS = st.lists(
    st.lists(st.integers(-5, 900) | st.floats(allow_nan=False) | st.sampled_from(["7", None, True]), max_size=3)
    | st.sampled_from([3, "ab", {"x": 1, "y": 2}]),
    max_size=5,
)
ITEM = st.fixed_dictionaries(
    {
        "transcription": st.sampled_from(["a", "###", "*", "", "é", 5]),
        "points": st.just([[1, 2], [3, 4], [5, 6]]) | POINTS,
    },
    optional={"difficult": st.booleans(), "key_cls": st.just("total")},
) | st.sampled_from([[], 3, "ab", {"points": [[1, 2]]}])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(ITEM, max_size=4), min_size=1, max_size=3))
def test_plain_instances_of_paddleocr_are_read_as_others(pages: list[list]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Label.txt"
        lines = [f"{number}.jpg\t{json.dumps(items)}\n" for number, items in enumerate(pages)]
        file.write_text("".join(lines), encoding="utf-8")
        found = []
        for quick in (paddleocr_det._add_plain, lambda *anything: False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(paddleocr_det, "_add_plain", quick)
                try:
                    found.append(paddleocr_det.read(file))
                except InputError as error:
                    found.append(str(error))
    one, other = found
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    for column in COLUMNS:
        assert getattr(one, column).tobytes() == getattr(other, column).tobytes(), column
    assert (one.texts, one.images, one.extras) == (other.texts, other.images, other.extras)


def test_a_wrong_line_among_many_is_named() -> None:
    lines = ["1,2,3,4,5,6,7,8,a"] * 500 + ["1,2,3,4,5,6,7,b"] + [f"1,2,3,4,5,6,7,8,{IGNORED}"]
    data = read([["1,2,3,4,5,6,7,8,a"], lines], quick=True)
    assert isinstance(data, Annotations) and list(data.malformed) == [502] and data.lines[502] == 501
    assert data.malformed[502].note == "expected 8 numbers, found '1,2,3,4,5,6,7,b'"


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(["a.png", " ", "\u3000", ",", '"', '\\"', "\\", "text", "\r", ', "']), max_size=9))
def test_words_in_quotes(parts: list[str]) -> None:
    line = "".join(parts)
    match = icdar_words._LINE.match(line)
    assert icdar_words._parse(line) == ((match[1], match[2].replace('\\"', '"')) if match else None)


@pytest.mark.parametrize("size", [0, 5, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.posix
def test_a_label_file_of_any_length_or_a_pipe_is_read_whole(size: int, tmp_path: Path) -> None:
    text = "x" * (size - 1) + "\n" if size else ""
    (tmp_path / "plain").write_text(text)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(text))
    writer.start()
    assert read_label_text(tmp_path / "plain") == read_label_text(tmp_path / "pipe") == text
    writer.join(10)


def test_a_file_that_is_no_text_is_named_before_lines_that_are_not_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "gt_1.txt").write_text("1,2,3\n")
    (tmp_path / "gt_2.txt").write_bytes(b"1,2,3,4,5,6,7,8,\xff\n")
    with pytest.raises(InputError, match="gt_2.txt:1: expected UTF-8"):
        open_annotations(f"icdar15:{tmp_path}")
    (tmp_path / "gt_2.txt").unlink()
    with pytest.raises(InputError, match=r"gt_1.txt:1 \(1\.\w+, instance 1\): expected 8 numbers"):
        open_annotations(f"icdar15:{tmp_path}", malformed=True)  # no line is of the format: it is another one


def test_what_is_looked_at_once_is_looked_at_again_later() -> None:
    asked: list[int] = []

    def look(place: int) -> int:
        asked.append(place)
        return -place

    for _ in range(2):
        with cached_lookups(), cached_lookups():
            assert [cached(look, place, 2) for place in (1, 1, 2, 3, 3, 1)] == [-1, -1, -2, -3, -3, -1]
        assert asked == [1, 2, 3, 3]
        asked.clear()
    assert cached(look, 1) == cached(look, 1) == -1 and asked == [1, 1]


@given(st.lists(st.sampled_from([True, False, None]), max_size=12))
def test_mostly_is_a_plain_count(fits: list[bool | None]) -> None:
    counted = [fit for fit in fits if fit is not None]
    assert majority(list(enumerate(fits)), lambda item: item[1]) == (2 * sum(counted) > len(counted))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([*"aZ \n\x07é", "1,", "25,x", *PLACEHOLDERS]), max_size=4).map("".join)),
    st.booleans(),
)
def test_texts_looked_at_together_are_those_looked_at_alone(texts: list[str], lines: bool) -> None:
    odd = set(text_rules.suspects(texts, lines))
    assert odd >= {index for index, text in enumerate(texts) if text_problems(text, lines)}


@pytest.mark.parametrize(
    ("text", "found"),
    [("60,82,20,80,WORLD", "60,82,20,80,"), ("1.5,-2,###", "1.5,-2,"), ("1,000,000", ""), ("10,5 kg", ""),
     ("1,234,567.80", ""), ("3,4", ""), ("a,b,c", ""), ("12,34,", "")],
)  # fmt: skip
def test_points_that_were_read_as_text(text: str, found: str) -> None:
    problems = dict(text_problems(text, line=True))
    assert problems.get("points-in-text", "''") == repr(found) and "points-in-text" not in dict(text_problems(text))
