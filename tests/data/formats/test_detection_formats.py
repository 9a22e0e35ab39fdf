from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.errors import InputError, UsageError

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\n\r\ufeff"), min_size=1, max_size=8)
COORDINATE = st.integers(0, 4000) | st.floats(-50, 4000, allow_nan=False).map(lambda value: round(value, 3))


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@st.composite
def pages(draw: st.DrawFn, shape: str, mark: str | None, texts: bool) -> Annotations:
    builder = Builder(Path("made"), "made")
    builder.label_file("made")
    for number in range(draw(st.integers(1, 3))):
        size = (draw(st.integers(1, 5000)), draw(st.integers(1, 5000)))
        image = builder.image(f"images/img_{number}.jpg", size=size)
        for _ in range(draw(st.integers(1 if number == 0 else 0, 3))):
            if shape == "box":
                (x1, x2), (y1, y2) = (sorted(draw(st.tuples(st.integers(0, 999), st.integers(0, 999)))) for _ in "xy")
                flat: list[float] = [x1, y1, x2, y1, x2, y2, x1, y2]
            else:
                count = 4 if shape == "quad" else draw(st.integers(3, 9))
                flat = draw(st.lists(COORDINATE, min_size=2 * count, max_size=2 * count))
            ignore = mark is not None and draw(st.booleans())
            text = (
                draw(TEXT.filter(lambda value: value not in (IGNORED, "#", "*", ".", "xxx") and "," not in value))
                if texts
                else ""
            )
            builder.add(image, flat, str(mark) if ignore else text.strip() if shape == "box" else text, ignore)
    return builder.build("root")


def write(data: Annotations, name: str, folder: Path) -> None:
    for rendered in DETECTION_FORMATS[name].render(data):
        put(folder, rendered.name, rendered.content)


@pytest.mark.parametrize("name", DETECTION_FORMATS)
@settings(max_examples=12, deadline=None)
@given(draw=st.data())
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, name: str, draw: st.DataObject) -> None:
    keeps = DETECTION_FORMATS[name].KEEPS
    mark = None if keeps.ignore == "none" else keeps.marks[0] if keeps.marks else IGNORED
    mark = IGNORED if mark == "#" else mark
    data = draw.draw(pages(keeps.shape, mark, keeps.text))
    if not keeps.no_text:
        data = data.subset(np.array([bool(text) for text in data.texts]) | data.ignore, np.ones(len(data.images), bool))
    out = tmp_path_factory.mktemp("pages")
    write(data, name, out)
    back = open_annotations(f"{name}:{out}")
    if any(data.texts) or keeps.shape == "polygon":
        assert open_annotations(str(out)).format == name
    assert [Path(image).stem for image in back.images] == [Path(image).stem for image in data.images]
    assert np.array_equal(back.offsets, data.offsets) and np.array_equal(back.points, data.points)
    assert np.array_equal(back.image_id, data.image_id) and np.array_equal(back.ignore, data.ignore)
    assert [str(t) for t in back.texts] == data.texts
    if keeps.sizes:
        assert np.array_equal(back.sizes, data.sizes)
    again = out / "again"
    write(back, name, again)
    third = open_annotations(f"{name}:{again}")
    assert np.array_equal(third.points, data.points) and third.texts == data.texts and third.extras == back.extras


SAMPLES = {
    "icdar13": ("gt_img_1.txt", '38, 43, 920, 215, "Tiredness"\r\n158 128 411 181 "Foot, "path""\n'),
    "icdar15": ("gt_img_1.txt", "\ufeff377,117,463,117,465,130,378,130,Genaxis, Theatre\r\n1,2,3,2,3,4,1,4,###\r\n"),
    "totaltext": (
        "poly_gt_img1.txt",
        "x: [[115 503 494 115]], y: [[322 346\n 426 404]], ornt: [u'm'], transcriptions: [u\"nau'GHTY\"]\n"
        "x: [[1 2 3]], y: [[1 2 1]], ornt: [u'#'], transcriptions: [u'#']\n",
    ),
    "paddleocr-det": (
        "Label.txt",
        'p/img_1.jpg\t[{"transcription": "JOINT", "points": [[310, 104], [416, 141], [418, 216], [312, 179]]},'
        ' {"transcription": "x", "points": [[1, 1], [2, 1], [2, 2]], "difficult": true, "key_cls": "None"}]\n',
    ),
    "mmocr-det": (
        "textdet_train.json",
        json.dumps({"metainfo": {"dataset_type": "TextDetDataset", "task_name": "textdet"}, "data_list": [
            {"img_path": "test_img.jpg", "height": 640, "width": 640, "instances": [
                {"polygon": [0, 0, 0, 10, 10, 20, 20, 0], "bbox": [0, 0, 10, 20], "bbox_label": 0, "ignore": False},
                {"bbox": [0, 0, 10, 20], "bbox_label": 0, "ignore": True}]}]}),
    ),
    "doctr-det": (
        "labels.json",
        json.dumps({"sample_img_01.png": {"img_dimensions": [900, 600], "img_hash": "theimagedumpmyhash",
                    "polygons": [[[1, 2], [3, 2], [3, 4], [1, 4]], [[5, 6], [7, 6], [7, 8], [5, 8]]]}}),
    ),
    "coco-text": (
        "cocotext.v2.json",
        json.dumps({"cats": {}, "anns": {
            "45346": {"mask": [468.9, 286.7, 468.9, 295.2, 493.9, 295.8, 493, 287.2], "class": "machine printed",
                      "bbox": [468.9, 286.7, 24.9, 9.1], "image_id": 217925, "id": 45346, "language": "english",
                      "area": 206.06, "utf8_string": "New", "legibility": "legible"},
            "7": {"mask": [1, 1, 2, 1, 2, 2], "bbox": [1, 1, 1, 1], "image_id": 217925, "id": 7, "utf8_string": "",
                  "legibility": "illegible"}},
            "imgs": {"217925": {"id": 217925, "set": "train", "width": 640, "height": 480, "file_name": "a.jpg"}},
            "imgToAnns": {"217925": [45346, 7]}, "info": {}}),
    ),
    "words-json": (
        "train.json",
        json.dumps({"images": {"a.jpg": {"img_w": 9, "img_h": 8, "words": {
            "0001": {"points": [[1, 1], [5, 1], [5, 3], [1, 3]], "transcription": "합계", "language": ["ko"]},
            "0002": {"points": [[1, 4], [5, 4], [5, 6], [1, 6]], "transcription": None}}}}}),
    ),
    "labelme": (
        "img_1.json",
        json.dumps({"version": "5.5.0", "flags": {}, "shapes": [
            {"label": "JOINT", "points": [[1, 1], [5, 1], [3, 3]], "group_id": None, "shape_type": "polygon"},
            {"label": "###", "points": [[5, 6], [1, 2]], "shape_type": "rectangle"}],
            "imagePath": "img_1.jpg", "imageData": None, "imageHeight": 7, "imageWidth": 9}),
    ),
    "aihub": (
        "0001.json",
        json.dumps({"images": [{"image.file.name": "0001.jpg", "image.width": 2480, "image.height": 3508}],
                    "annotations": [{"id": 1, "annotation.type": "rectangle", "annotation.text": "합계",
                                     "annotation.bbox": [1, 2, 30, 40]},
                                    {"id": 2, "annotation.text": "xxx", "annotation.bbox": [1, 2, 3, 4]}]}),
    ),
    "funsd": (
        "0001.json",
        json.dumps({"form": [{"box": [84, 109, 136, 119], "text": "COMPOUND 1", "label": "question",
                    "linking": [[0, 37]], "id": 0, "words": [{"box": [84, 109, 120, 119], "text": "COMPOUND"},
                                       {"box": [121, 109, 136, 119], "text": ""}]}], "source": {"page": 3}}),
    ),
}  # fmt: skip
READS = {
    "icdar13": (["Tiredness", 'Foot, "path"'], [False, False], [4, 4]),
    "icdar15": (["Genaxis, Theatre", "###"], [False, True], [4, 4]),
    "totaltext": (["nau'GHTY", "###"], [False, True], [4, 3]),
    "paddleocr-det": (["JOINT", "x"], [False, True], [4, 3]),
    "mmocr-det": (["", ""], [False, True], [4, 4]),
    "doctr-det": (["", ""], [False, False], [4, 4]),
    "coco-text": (["New", ""], [False, True], [4, 3]),
    "words-json": (["합계", "###"], [False, True], [4, 4]),
    "labelme": (["JOINT", "###"], [False, True], [3, 4]),
    "aihub": (["합계", "xxx"], [False, True], [4, 4]),
    "funsd": (["COMPOUND", ""], [False, True], [4, 4]),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_documented_samples(tmp_path: Path, name: str) -> None:
    put(tmp_path, *SAMPLES[name])
    data = open_annotations(str(tmp_path))
    assert data.format == name
    assert (data.texts, data.ignore.tolist(), np.diff(data.offsets).tolist()) == READS[name]
    again = tmp_path / "again"
    write(data, name, again)
    if name == "funsd":
        (file,) = again.rglob("*.json")
        assert json.loads(file.read_text())["source"] == {"page": 3}
    back = open_annotations(f"{name}:{again}")
    assert back.extras == data.extras and back.image_extras == data.image_extras and back.document == data.document
    with pytest.raises((UsageError, InputError)):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("line", "count", "kind"),
    [('38, 43, 920, 215, "kills"', 4, "box"), ("1,2,3,2,3,4,1,4,a,b", 4, "quad"), ("1,2,3,4,5,6,7,8,9,9,W", 5, "poly")],
)
def test_zips_tell_boxes_quads_and_polygons(tmp_path: Path, line: str, count: int, kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("gt_img_1.txt", "\ufeff" + line + "\r\n" + line + "\r\n")
    data = open_annotations(str(tmp_path))
    assert data.format == "cleval-zip" and np.diff(data.offsets).tolist() == [count, count]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gt_1.txt", "1,2,3,2,3,4,1,4,a\n1,2,3,2,3,4,1,4,b\n1,2,3,x\n", ["gt_1.txt:3", "8 numbers", "'1,2,3,x'"]),
        ("Label.txt", 'a.jpg\t[{"transcription": "a", "points": [[1, 2]]}]\na.jpg\t[{"transcr\na.jpg\t[]\n',
         ["Label.txt:2", "IMAGE<TAB>"]),
        ("Label.txt", 'a.jpg\t[{"transcription": "a", "points": [[1, 2], [3]]}]\n', ["Label.txt:1", "instance 1"]),
        ("Label.txt", 'a.jpg\t[{"transcription": "a", "points": [[1, 2], ["3", 4]]}]\n', ["Label.txt:1", "instance 1"]),
        ("poly_gt_1.txt", "x: [[1 2 3]], y: [[1 2 1]], ornt: [u'h'], transcriptions: [u'a']\nx: [[1\n",
         ["poly_gt_1.txt:2"]),
        ("textdet.json", '{"data_list": [{"img_path": "a.jpg", "instances": [{"polygon": [1, 2, 3]}]}]}',
         ["data_list[0]"]),
        ("train.json", '{"images": {"a.jpg": {"words": {"7": {"points": [[1, 2]]}}}}}', ["word 7"]),
        ("train.json", '{"images": {"a.jpg":\n {"words": {"7": {"points": [[1, 2]', ["train.json:2", "JSON"]),
        ("gt_1.txt", b"1,2,3,2,3,4,1,4,a\n1,2,3,2,3,4,1,4,\xff\n", ["gt_1.txt:2", "0xff"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, said: list[str]
) -> None:
    put(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        open_annotations(str(tmp_path))
    assert all(word in caught.value.message for word in said), caught.value.message


def test_a_pporclabel_folder_works_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    item = '{"transcription": "a", "points": [[1, 1], [5, 1], [5, 3]], "difficult": false}'
    put(folder, "Label.txt", f"p/a.jpg\t[{item}]\np/b.jpg\t[{item}]\n")
    put(folder, "rec_gt.txt", "crop_img/a_0.jpg\ta\n")
    put(folder, "fileState.txt", "C:\\x\\p\\a.jpg\t1\n")
    put(folder, "a.jpg", b"x")
    data = open_annotations(str(folder))
    assert Path(data.root) == tmp_path and data.unchecked == [1]
    assert any("derived" in note for note in data.notes) and any(str(tmp_path) in note for note in data.notes)
    assert data.image_bytes(0) == b"x"
    with pytest.raises(InputError, match=r"Label\.txt:2 \(p/b\.jpg\): the image .* is missing"):
        data.image_bytes(1)


def test_several_sets_are_ambiguous_until_one_is_named(tmp_path: Path) -> None:
    put(tmp_path, *SAMPLES["paddleocr-det"])
    put(tmp_path, *SAMPLES["words-json"])
    with pytest.raises(UsageError) as caught:
        open_annotations(str(tmp_path))
    assert "paddleocr-det:" in str(caught.value.hint) and "words-json:" in str(caught.value.hint)
    assert open_annotations(f"words-json:{tmp_path}").texts == ["합계", "###"]


def test_subset_and_places(tmp_path: Path) -> None:
    data = open_annotations(str(put(tmp_path, *SAMPLES["paddleocr-det"])))
    assert data.where(1).endswith("Label.txt:1 (p/img_1.jpg, instance 2)")
    kept = data.subset(np.array([False, True]), np.array([True]))
    assert (
        kept.texts == ["x"]
        and kept.points.tolist() == [[1, 1], [2, 1], [2, 2]]
        and kept.extras == {0: {"key_cls": "None"}}
    )
