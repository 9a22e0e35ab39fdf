"""Label files that are no label files: encodings, halves, endless lines, loops of links, wild values, hostile names."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.cli.app import run
from ocrctl.core.dataset.write_pages import safe_names
from ocrctl.data.formats import DETECTION_FORMATS, FORMATS
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.lmdb import label_text
from ocrctl.errors import InputError, OcrctlError, UsageError

ITEM = '{"transcription": "a", "points": [[1, 1], [5, 1], [5, 3]]}'
QUAD = "1,2,3,2,3,4,1,4,가나\n"
DOCUMENTS: dict[str, Any] = {
    "mmocr-det": {"metainfo": {"task_name": "textdet"}, "data_list": [
        {"img_path": "a.jpg", "height": 9, "width": 9, "instances": [
            {"polygon": [1, 1, 5, 1, 5, 3], "bbox": [1, 1, 5, 3], "ignore": False, "text": "a"}]}]},
    "mmocr-json": {"data_list": [{"img_path": "a.jpg", "instances": [{"text": "a"}]}]},
    "doctr-det": {"a.jpg": {"img_dimensions": [9, 9], "img_hash": "x", "polygons": [[[1, 1], [5, 1], [5, 3]]]}},
    "doctr": {"a.jpg": "a", "b.jpg": "b"},
    "coco-text": {"imgs": {"1": {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}}, "anns": {
        "2": {"id": 2, "image_id": 1, "utf8_string": "a", "mask": [1, 1, 5, 1, 5, 3], "bbox": [1, 1, 4, 2]}}},
    "words-json": {"images": {"a.jpg": {"img_w": 9, "img_h": 9, "words": {
        "1": {"points": [[1, 1], [5, 1], [5, 3]], "transcription": "a", "illegibility": False}}}}},
    "labelme": {"imagePath": "a.jpg", "imageHeight": 9, "imageWidth": 9, "shapes": [
        {"label": "a", "shape_type": "polygon", "points": [[1, 1], [5, 1], [5, 3]]}]},
    "aihub": {"images": [{"image.file.name": "a.jpg", "image.width": 9, "image.height": 9}], "annotations": [
        {"annotation.text": "a", "annotation.bbox": [1, 1, 4, 2]}]},
    "funsd": {"form": [{"id": 0, "text": "a", "box": [1, 1, 5, 3], "words": [{"text": "a", "box": [1, 1, 5, 3]}]}]},
    "paddleocr-det": [{"transcription": "a", "points": [[1, 1], [5, 1], [5, 3]], "difficult": False}],
    "mmocr-jsonl": {"filename": "a.jpg", "text": "a"},
}  # fmt: skip
WILD = st.sampled_from(
    [None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "\0", "\ud800", "../..", "x" * 300,
     [], [[]], [1, "2"], {}, {"": None}, 2**31, [[1, 2], [3, 4]]]
)  # fmt: skip


def sparse(path: Path, head: str, size: int = 2 << 30) -> Path:
    """`head`, then nothing but NULs: large without taking room."""
    path.write_text(head)
    with open(path, "r+b") as stream:
        stream.truncate(size)
    return path


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("gt_1.txt", QUAD * 5, "gt_1.txt:6: expected a line of at most 64 MiB"),
        ("Label.txt", f"a.jpg\t[{ITEM}]\n" * 3, "Label.txt:4: expected a line of at most 64 MiB"),
        ("rec_gt.txt", "a.jpg\ta\n" * 3, "rec_gt.txt:4: expected a line of at most 64 MiB"),
        ("label.jsonl", '{"filename": "a.jpg", "text": "a"}\n' * 3, "label.jsonl:4: expected a line"),
        ("poly_gt_1.txt", "x: [[1 2 3]], y: [[1 2 1]], ornt: [u'h'], transcriptions: [u'a']\n", "poly_gt_1.txt:2:"),
        ("textdet.json", '{"data_list": [{"img_path": "a.jpg", "instances": [{"polygon":', "holds 2,048 MiB"),
        ("labels.json", '{"a.jpg": "a"', "holds 2,048 MiB, expected at most 1,024 MiB"),
    ],
)
def test_a_line_of_two_gigabytes_is_refused_before_it_is_in_memory(
    tmp_path: Path, name: str, head: str, said: str
) -> None:
    sparse(tmp_path / name, head)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            open_annotations(str(tmp_path))
        assert said in caught.value.message, caught.value.message
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_large_files_of_ordinary_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_text, "LONGEST_LINE", 40)
    monkeypatch.setattr(label_text, "_CHUNK", 7)
    (tmp_path / "rec_gt.txt").write_text("".join(f"{n:03}.jpg\tlabel {n}\n" for n in range(300)))
    assert open_annotations(str(tmp_path)).texts[299] == "label 299"
    (tmp_path / "rec_gt.txt").write_text(f"1.jpg\ta\n2.jpg\tb\n3.jpg\t{'c' * 35}\n4.jpg\td\n")
    with pytest.raises(InputError, match="rec_gt.txt:3: expected a line"):
        open_annotations(str(tmp_path))


def test_zips_that_unpack_to_too_much(tmp_path: Path, set_limit: Callable[[str, str], None]) -> None:
    with zipfile.ZipFile(tmp_path / "gt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"gt_{number}.txt", QUAD * 100)
    assert len(open_annotations(str(tmp_path))) == 900
    set_limit("limits.zip_text_bytes", "12000")
    with pytest.raises(InputError, match=r"gt.zip: unpacks to \d+ bytes, the limit of label texts is 12000"):
        open_annotations(str(tmp_path))
    set_limit("limits.zip_text_bytes", "1000000")
    set_limit("limits.unpack_ratio", "2")
    assert len(open_annotations(str(tmp_path))) == 900  # below limits.unpack_free
    set_limit("limits.unpack_free", "2000")
    with pytest.raises(InputError, match=r"gt.zip: \d+ bytes would unpack to \d+, more than 2 times as much"):
        open_annotations(str(tmp_path))
    set_limit("limits.unpack_free", "two")
    with pytest.raises(UsageError, match="OCRCTL_LIMITS__UNPACK_FREE: expected an integer"):
        open_annotations(str(tmp_path))


def test_a_zip_that_is_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gt.zip").symlink_to("/dev/zero")  # whose end zipfile looks for
    with pytest.raises(InputError, match="gt.zip"):
        open_annotations(f"cleval-zip:{tmp_path}")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_zips_are_named(tmp_path: Path, method: int) -> None:
    path = tmp_path / "gt.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("gt_0.txt", QUAD * 100)
    data, refused = path.read_bytes(), 0
    end = data.index(b"PK\x01\x02")
    for position in range(30, end):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            open_annotations(f"cleval-zip:{tmp_path}")
        except InputError as error:
            refused += 1
            assert "gt.zip" in error.message, error.message
    assert refused > 5


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-be", "latin-1"])
def test_encodings_that_are_not_utf8(tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (QUAD * 3 if encoding != "latin-1" else "1,2,3,2,3,4,1,4,été\n" * 3) + "1,2,3,2,3,4,1,4,b\n"
    (tmp_path / "gt_1.txt").write_bytes(text.encode(encoding))
    assert run(["dataset", "validate", f"icdar15:{tmp_path}"]) == 3
    said = capsys.readouterr().err
    assert "gt_1.txt:1" in said
    assert {"cp949": "CP949", "utf-16": "UTF-16"}.get(encoding, "") in said


@pytest.mark.parametrize("name", [*DOCUMENTS])
@settings(max_examples=40, deadline=None)
@given(draw=st.data())
def test_damaged_documents_end_as_input_errors(
    tmp_path_factory: pytest.TempPathFactory, name: str, draw: st.DataObject
) -> None:
    """A value exchanged for a wild one, a key gone, or the file cut anywhere: read, or an error that names the file."""
    document = json.loads(json.dumps(DOCUMENTS[name]))
    places = list(walk(document))
    for _ in range(draw.draw(st.integers(0, 2))):
        holder, key = draw.draw(st.sampled_from(places))
        if draw.draw(st.booleans()):
            holder[key] = draw.draw(WILD)
        elif isinstance(holder, dict):
            holder.pop(key, None)
    content = json.dumps(document).encode()
    if name == "paddleocr-det":
        content = b"a.jpg\t" + content + b"\n"
    content = content[: draw.draw(st.just(len(content)) | st.integers(0, len(content)))]
    folder = tmp_path_factory.mktemp("damaged") / "set" / "labels"  # images are looked for beside it
    folder.mkdir(parents=True)
    label = folder / {"labelme": "a.json", "aihub": "a.json", "funsd": "a.json"}.get(name, "labels.txt")
    label.write_bytes(content)
    try:
        data = open_annotations(f"{name}:{label}")
    except OcrctlError as error:
        assert str(label) in error.message
    else:
        assert all(isinstance(text, str) for text in data.texts) and all(isinstance(i, str) for i in data.images)
        if name in DETECTION_FORMATS:
            assert sum(len(rendered.content) for rendered in DETECTION_FORMATS[name].render(data)) > 0


def walk(value: Any) -> Any:
    """Every (container, key) within a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from walk(inner)


@pytest.mark.parametrize("name", [*FORMATS, *DETECTION_FORMATS])
@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_noise_is_never_a_crash(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise") / "set"  # alone: images are looked for in the folders beside it
    folder.mkdir()
    path = folder / {"cleval-zip": "a.zip", "lmdb": "data.mdb"}.get(name, "a.txt")
    path.write_bytes(content)
    for spec in (f"{name}:{path}", str(path.parent)):
        try:
            open_annotations(spec)
        except OcrctlError:
            pass


def test_json_that_no_parser_should_follow(tmp_path: Path) -> None:
    for content, said in (("[" * 200_000, "nested"), ("1" * 10_000, "digits"), ("", "JSON")):
        (tmp_path / "train.json").write_text(content)
        with pytest.raises(InputError, match=said):
            open_annotations(f"words-json:{tmp_path / 'train.json'}")
    (tmp_path / "label.jsonl").write_text('{"filename": "a.jpg", "text": "a"}\n' * 3 + "[" * 200_000 + "\n")
    with pytest.raises(InputError, match=r"label.jsonl:4"):
        open_annotations(f"mmocr-jsonl:{tmp_path}")


@pytest.mark.parametrize("command", [["validate"], ["stats"], ["convert", "OUT", "--format", "doctr-det"]])
def test_loops_of_links(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "here").symlink_to(".", target_is_directory=True)
    (folder / "up").symlink_to("..", target_is_directory=True)
    (folder / "a.txt").symlink_to("b.txt")
    (folder / "b.txt").symlink_to("a.txt")
    (folder / "a.jpg").symlink_to("a.jpg")
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in command[1:]]
    assert run(["dataset", command[0], str(folder), *arguments]) == 3
    assert "found no" in capsys.readouterr().err
    (folder / "gt_a.txt").write_text(QUAD)
    assert (
        run(["dataset", command[0], str(folder), *arguments]) == {"validate": 1, "stats": 0, "convert": 0}[command[0]]
    )
    said = "".join(capsys.readouterr())
    assert command[0] == "stats" or "gt_a.txt" in said
    assert run(["dataset", command[0], str(folder / "a.txt"), *arguments]) == 3


def test_hostile_names_stay_below_the_new_folder(tmp_path: Path) -> None:
    hostile = ["../../../escape.jpg", "/etc/passwd.jpg", "a/../../b.jpg", "..\\..\\c.jpg", "tab\there\nand there.jpg",
               "images/../..", "", "C:/d.jpg", "~/e.jpg", "a/../../b.jpg", "con.jpg\r"]  # fmt: skip
    for stems in (False, True):
        names = safe_names(hostile, unique_stems=stems)
        assert len(set(names)) == len(names)
        for name in names:
            assert (tmp_path / name).resolve().is_relative_to(tmp_path.resolve()) and name not in ("", ".")
            assert name.isprintable()


@pytest.mark.parametrize("target", [*DETECTION_FORMATS])
def test_nothing_is_written_outside_whatever_the_names(tmp_path: Path, target: str) -> None:
    names = ["../../escape.jpg", "/tmp/absolute.jpg", "tab\there.jpg", "line\nbreak.jpg", "x/../../../y.jpg"]
    entries = [
        {"img_path": name, "height": 9, "width": 9, "instances": [
            {"polygon": [1, 1, 5, 1, 5, 3, 1, 3], "bbox_label": 0, "ignore": False, "text": f"w{number}"}]}
        for number, name in enumerate(names)
    ]  # fmt: skip
    source = tmp_path / "deep" / "er" / "set"
    source.mkdir(parents=True)
    (source / "textdet.json").write_text(json.dumps({"data_list": entries}))
    before = set(tmp_path.rglob("*"))
    out = tmp_path / "deep" / "out"
    assert run(["dataset", "convert", str(source), str(out), "--format", target]) == 0
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(out)} == before
    back = open_annotations(str(out))
    assert len(back.images) == 5 and len(back) == 5
    root = Path(back.root)
    assert all((root / image).resolve().is_relative_to(out.resolve()) for image in back.images)


def test_zip_entries_cannot_lead_out_of_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("../../gt_a.txt", QUAD)
        archive.writestr("/gt_b.txt", QUAD)
    assert run(["dataset", "convert", str(tmp_path), str(tmp_path / "out"), "--format", "cleval-zip"]) == 0
    with zipfile.ZipFile(tmp_path / "out" / "gt.zip") as archive:
        assert archive.namelist() == ["gt_a.txt", "gt_b.txt"]


@pytest.mark.parametrize("target", [*DETECTION_FORMATS])
def test_what_only_json_can_say_converts_to_something_that_reads(tmp_path: Path, target: str) -> None:
    polygons = [[1, float("nan"), 5, 1, 5, 3], [1e308, 1, -1e308, 1, 5, 3], [], [1, 1], [1, 1, 5, 1, 5, 3, 2, 9, 1, 5]]
    items = [{"polygon": polygon, "bbox": [1, 1, 5, 3], "text": "half \ud800"} for polygon in polygons]
    items[2]["mask"] = [1, 2]
    entry = {"img_path": f"{'ä' * 300}.jpg", "instances": items}
    (tmp_path / "textdet.json").write_text(json.dumps({"data_list": [entry, {"img_path": "b.jpg", "instances": []}]}))
    assert run(["dataset", "convert", str(tmp_path), str(tmp_path / "out"), "--format", target]) == 0
    back = open_annotations(f"{target}:{tmp_path / 'out'}")
    assert len(back) == 5 and (target == "doctr-det" or set(back.texts) == {"half �"})
