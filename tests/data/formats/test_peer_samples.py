"""Files of every format as other toolkits and data sets document them, written by hand from those descriptions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrctl.core.dataset.write_pages import write_pages
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.errors import InputError


@dataclass(frozen=True)
class Sample:
    """Files below a folder, and what reading it gives. `kept`: keys that come back from writing the same format."""

    files: dict[str, Any]
    format: str
    images: list[str]
    texts: list[str]
    ignored: list[bool]
    points: list[list[float]]
    sizes: list[tuple[int, int]] = field(default_factory=list)
    kept: tuple[str, ...] = ()


BOX = [2, 3, 10, 3, 10, 8, 2, 8]
TILTED = [288, 138, 417, 140, 416, 161, 290, 157]

MMOCR_DET = Sample(
    {"textdet_test.json": {
        "metainfo": {"category": [{"id": 0, "name": "text"}], "dataset_type": "TextDetDataset", "task_name": "textdet"},
        "data_list": [{"height": 720, "img_path": "textdet_imgs/test/img_10.jpg", "seg_map": "test/gt_img_10.txt",
                       "width": 1280, "instances": [
                           {"bbox": [2.0, 3.0, 10.0, 8.0], "bbox_label": 0, "ignore": True, "polygon": BOX},
                           {"bbox": [288.0, 138.0, 417.0, 161.0], "bbox_label": 0, "ignore": False,
                            "polygon": TILTED}]}]}},
    "mmocr-det", ["textdet_imgs/test/img_10.jpg"], ["", ""], [True, False], [BOX, TILTED], [(1280, 720)],
    ("seg_map", "TextDetDataset"),
)  # fmt: skip
MMOCR_SPOTTER = Sample(
    {"instances.json": {
        "metainfo": {"dataset_type": "TextSpotterDataset", "task_name": "textspotter"},
        "data_list": [{"img_path": "test_img.jpg", "height": 604, "width": 640, "instances": [
            {"bbox": [0, 0, 10, 20], "bbox_label": 1, "mask": [0, 0, 0, 10, 10, 20, 20, 0], "text": "123"},
            {"bbox": [2, 3, 10, 8], "bbox_label": 2, "text": "mmocr", "extra_anns": "456"}]}]}},
    "mmocr-det", ["test_img.jpg"], ["123", "mmocr"], [False, False], [[0, 0, 0, 10, 10, 20, 20, 0], BOX], [(640, 604)],
    ("extra_anns",),
)  # fmt: skip
DOCTR_DET = Sample(
    {"labels.json": {
        "sample_img_01.png": {"img_dimensions": [900, 600], "img_hash": "a1b2",
                              "polygons": [[[2, 3], [10, 3], [10, 8], [2, 8]]]},
        "sample_img_02.png": {"img_dimensions": [90, 60], "img_hash": "c3d4", "polygons": {
            "total": [[[288, 138], [417, 140], [416, 161], [290, 157]]],
            "date": [[[2, 3], [10, 3], [10, 8], [2, 8]]]}}}},
    "doctr-det", ["sample_img_01.png", "sample_img_02.png"], ["", "", ""], [False] * 3, [BOX, TILTED, BOX],
    [(600, 900), (60, 90)], ("img_hash", "total", "date"),
)  # fmt: skip
AIHUB = Sample(
    {"labels/a/5350093.json": {
        "images": [{"image.make.code": "5350093", "image.make.year": "2004", "image.category": "인.허가",
                    "image.width": 2480, "image.height": 3508, "image.file.name": "5350093.jpg",
                    "image.create.time": "2021-10-12"}],
        "annotations": [{"id": 0, "annotation.type": "rectangle", "annotation.text": "합계", "annotation.ttype": "t1",
                         "annotation.bbox": ["2", "3", "8", "5"]},
                        {"id": 1, "annotation.type": "rectangle", "annotation.text": "xxx",
                         "annotation.bbox": [2, 3, 8, 5]}]},
     "images/a/5350093.jpg": b"x"},
    "aihub", ["5350093.jpg"], ["합계", "xxx"], [False, True], [BOX, BOX], [(2480, 3508)],
    ("image.make.code", "annotation.ttype"),
)  # fmt: skip
AIHUB_PLAIN = Sample(
    {"0AB1.json": {
        "info": {"name": "Text in the wild", "date_created": "2019-10-14"},
        "images": [{"id": 1, "file_name": "0AB1.jpg", "width": 4032, "height": 3024}],
        "annotations": [{"id": 1, "bbox": [2, 3, 8, 5], "text": "서울"},
                        {"id": 2, "bbox": [288, 138, 417, 140, 416, 161, 290, 157], "text": "약국"}]}},
    "aihub", ["0AB1.jpg"], ["서울", "약국"], [False, False], [BOX, TILTED], [(4032, 3024)], ("date_created",),
)  # fmt: skip
PADDLE = Sample(
    {"Label.txt": "ch4_test_images/img_61.jpg\t" + json.dumps([
        {"transcription": "MASA", "points": [[2, 3], [10, 3], [10, 8], [2, 8]]},
        {"transcription": "###", "points": [[288, 138], [417, 140], [416, 161], [290, 157]]}]) + "\n"},
    "paddleocr-det", ["ch4_test_images/img_61.jpg"], ["MASA", "###"], [False, True], [BOX, TILTED],
)  # fmt: skip
PADDLE_KIE = Sample(
    {"train.txt": "zh_train_0.jpg\t" + json.dumps([
        {"transcription": "汇丰晋信", "label": "other", "points": [[2, 3], [10, 3], [10, 8], [2, 8]], "id": 1,
         "linking": []}], ensure_ascii=False) + "\n"},
    "paddleocr-det", ["zh_train_0.jpg"], ["汇丰晋信"], [False], [BOX], [], ("linking", "other"),
)  # fmt: skip
COCO_TEXT = Sample(
    {"cocotext.v2.json": {
        "cats": {}, "info": {"version": "2.0"},
        "anns": {"45346": {"mask": TILTED, "class": "machine printed", "bbox": [288, 138, 129, 23], "image_id": 217925,
                           "id": 45346, "language": "english", "area": 2967, "utf8_string": "New",
                           "legibility": "legible"},
                 "45347": {"mask": BOX, "class": "handwritten", "bbox": [2, 3, 8, 5], "image_id": 217925, "id": 45347,
                           "language": "na", "area": 40, "utf8_string": "", "legibility": "illegible"}},
        "imgs": {"217925": {"id": 217925, "set": "train", "width": 640, "height": 480,
                            "file_name": "COCO_train2014_000000217925.jpg"}},
        "imgToAnns": {"217925": [45346, 45347]}}},
    "coco-text", ["COCO_train2014_000000217925.jpg"], ["New", ""], [False, True], [TILTED, BOX], [(640, 480)],
    ("machine printed", "45346", "cats"),
)  # fmt: skip
COCO_TEXT_1 = Sample(
    {"COCO_Text.json": {
        "imgToAnns": {"36": [1]},
        "imgs": {"36": {"id": 36, "set": "val", "width": 64, "height": 48, "file_name": "a.jpg"}},
        "anns": {"1": {"polygon": BOX, "bbox": [2.0, 3.0, 8.0, 5.0], "image_id": 36, "id": 1, "language": "english",
                       "class": "others", "legibility": "illegible", "area": 40.0}}}},
    "coco-text", ["a.jpg"], [""], [True], [BOX], [(64, 48)], ("polygon", "others"),
)  # fmt: skip
TEXTOCR = Sample(
    {"TextOCR_0.1_val.json": {
        "info": {"version": "0.1"},
        "imgs": {"a4ea732c": {"id": "a4ea732c", "width": 840, "height": 1024, "set": "val",
                                      "file_name": "train/a4ea732c.jpg"},
                 "b1": {"id": "b1", "width": 8, "height": 10, "set": "val", "filename": "train/b1.jpg"}},
        "anns": {"a4ea732c_1": {"id": "a4ea732c_1", "image_id": "a4ea732c", "utf8_string": "Performance",
                                        "bbox": [288.0, 138.0, 129.0, 23.0], "points": TILTED, "area": 2967.0},
                 "a4ea732c_2": {"id": "a4ea732c_2", "image_id": "a4ea732c", "utf8_string": ".",
                                        "bbox": [2, 3, 8, 5], "points": BOX, "area": 40}},
        "imgToAnns": {"a4ea732c": ["a4ea732c_1", "a4ea732c_2"]}}},
    "coco-text", ["train/a4ea732c.jpg", "train/b1.jpg"], ["Performance", "."], [False, True], [TILTED, BOX],
    [(840, 1024), (8, 10)], ("a4ea732c_2",),
)  # fmt: skip
LABELME = Sample(
    {"imgs/0001.jpg": b"x", "ann/0001.json": {
        "version": "5.5.0", "flags": {"dark": False}, "shapes": [
            {"label": "JOINT", "points": [[288.0, 138.0], [417.0, 140.0], [416.0, 161.0], [290.0, 157.0]],
             "group_id": None, "description": "sign", "shape_type": "polygon", "flags": {}, "mask": None},
            {"label": "###", "points": [[10.0, 8.0], [2.0, 3.0]], "group_id": 3, "shape_type": "rectangle"}],
        "imagePath": "..\\imgs\\0001.jpg", "imageData": None, "imageHeight": 1492, "imageWidth": 2040}},
    "labelme", ["../imgs/0001.jpg"], ["JOINT", "###"], [False, True], [TILTED, BOX], [(2040, 1492)],
    ("description", "dark"),
)  # fmt: skip
LABELME_3 = Sample(
    {"old.json": {"fillColor": [255, 0, 0, 128], "lineColor": [0, 255, 0, 128], "imagePath": "old.png",
                  "imageData": "aGk=", "shapes": [
                      {"label": "a", "line_color": None, "fill_color": None, "points": [[2, 3], [10, 3], [10, 8]]}]}},
    "labelme", ["old.png"], ["a"], [False], [[2, 3, 10, 3, 10, 8]], [(0, 0)], ("lineColor", "line_color", "aGk="),
)  # fmt: skip
FUNSD = Sample(
    {"images/0000971160.png": b"x", "annotations/0000971160.json": {"form": [
        {"id": 0, "text": "Registration No.", "box": [2, 3, 30, 8], "label": "question", "linking": [[0, 1]],
         "words": [{"text": "Registration", "box": [2, 3, 10, 8]}, {"text": "", "box": [2, 3, 10, 8]}]},
        {"id": 1, "text": "533", "box": [2, 3, 10, 8], "linking": [[0, 1]], "label": "answer",
         "words": [{"box": [2, 3, 10, 8], "text": "533"}]}]}},
    "funsd", ["0000971160.png"], ["Registration", "", "533"], [False, True, False], [BOX, BOX, BOX], [],
    ("Registration No.", "linking", "answer"),
)  # fmt: skip
RECEIPTS = Sample(
    {"ufo/train.json": {"images": {"extractor.zh.in_house.appen_000001.jpg": {
        "paragraphs": {}, "chars": {}, "img_w": 1280, "img_h": 1707, "num_patches": None, "tags": [], "relations": {},
        "annotation_log": {"worker": "", "timestamp": "2024-05-30", "tool_version": "", "source": None},
        "license_tag": {"usability": True, "public": False, "commercial": True, "type": None, "holder": "Upstage"},
        "words": {"0001": {"transcription": "合計", "points": [[2.0, 3.0], [10.0, 3.0], [10.0, 8.0], [2.0, 8.0]]},
                  "0002": {"transcription": "", "points": [[288, 138], [417, 140], [416, 161], [290, 157]],
                           "orientation": "Horizontal", "language": ["ja"], "illegibility": True}}}}}},
    "words-json", ["extractor.zh.in_house.appen_000001.jpg"], ["合計", ""], [False, True], [BOX, TILTED],
    [(1280, 1707)], ("license_tag", "orientation"),
)  # fmt: skip
SAMPLES = {name: value for name, value in globals().items() if isinstance(value, Sample)}


def put(folder: Path, files: dict[str, Any]) -> Path:
    """Write texts, bytes, and everything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize("name", SAMPLES)
def test_pages(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    put(tmp_path, sample.files)
    labels = next(path for path in sample.files if path.endswith((".json", ".txt")))
    data = open_annotations(str((tmp_path / labels).parent))
    assert data.format == sample.format and data.images == sample.images
    assert data.texts == sample.texts and data.ignore.tolist() == sample.ignored
    assert [data.polygon(i).ravel().tolist() for i in range(len(data))] == sample.points
    assert data.sizes.tolist() == [list(size) for size in sample.sizes or [(0, 0)] * len(data.images)]
    if any(content == b"x" for content in sample.files.values()):
        assert data.image_bytes(0) == b"x"
    out = write_pages(data, sample.format, tmp_path / "out", "dataset convert").out
    back = open_annotations(str(out))
    assert back.format == sample.format and back.texts == data.texts and np.array_equal(back.points, data.points)
    assert np.array_equal(back.ignore, data.ignore) and back.extras == data.extras
    assert back.image_extras == data.image_extras and back.document == data.document
    written = "".join(path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".txt"))
    assert all(key in written for key in sample.kept)


@pytest.mark.parametrize(
    ("name", "content", "format_name", "labels"),
    [
        ("textrecog_train.json", {"metainfo": {"dataset_type": "TextRecogDataset", "task_name": "textrecog"},
          "data_list": [{"img_path": "textrecog_imgs/train/word_1.png", "instances": [{"text": "mmocr"}]},
                        {"img_path": "word_2.png", "height": 31, "width": 80, "instances": [{"text": "1 2"}]}]},
         "mmocr-json", ["mmocr", "1 2"]),
        ("old_label.jsonl",
         '{"filename": "img1.jpg", "text": "OpenMMLab"}\n{"filename": "img2.jpg", "text": "MMOCR"}\n', "mmocr-jsonl",
         ["OpenMMLab", "MMOCR"]),
        ("old_label.txt", "img1.jpg OpenMMLab\nimg2.jpg MMOCR\n", "space-tags", ["OpenMMLab", "MMOCR"]),
        ("labels.json", {"img_1.jpg": "I", "img_2.jpg": "am", "img_3.jpg": "a", "img_4.jpg": "Jedi", "img_5.jpg": "!"},
         "doctr", ["I", "am", "a", "Jedi", "!"]),
        ("rec_gt_train.txt", 'train_data/rec/train/word_001.jpg\t简单可依赖\n["11.jpg", "12.jpg"]\t用科技\n',
         "paddleocr-rec", ["简单可依赖", "用科技", "用科技"]),
        ("gt.txt", '\ufeffword_1.png, "Genaxis Theatre"\r\nword_2.png, "[06]"\r\n', "icdar-words",
         ["Genaxis Theatre", "[06]"]),
    ],
)  # fmt: skip
def test_words(tmp_path: Path, name: str, content: Any, format_name: str, labels: list[str]) -> None:
    put(tmp_path, {name: content})
    assert list(open_source(str(tmp_path)).labels) == labels == list(open_source(f"{format_name}:{tmp_path}").labels)


def test_aihub_files_of_many_images_are_refused_not_cut(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 9, "height": 9} for n in range(3)]
    put(
        tmp_path,
        {"textinthewild_data_info.json": {"images": images, "annotations": [{"bbox": [1, 2, 3, 4], "text": "a"}]}},
    )
    with pytest.raises(InputError, match="holds 3 images, expected one file per image"):
        open_annotations(str(tmp_path))


def test_a_set_of_the_same_layout_is_not_taken_for_the_images(tmp_path: Path) -> None:
    line = "1,2,3,2,3,4,1,4,a\n"
    put(tmp_path, {"labels/2/gt_img_1.txt": line, "test/2/img_1.jpg": b"x", "test/2/gt_img_1.txt": line})
    with pytest.raises(InputError, match="missing"):
        open_annotations(str(tmp_path / "labels" / "2")).image_bytes(0)
    put(tmp_path, {"images/2/img_1.jpg": b"y"})
    assert open_annotations(str(tmp_path / "labels" / "2")).image_bytes(0) == b"y"
