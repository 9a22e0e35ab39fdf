"""Labels that formats could lose or change without a word: identifiers and names twice, odd texts, numbers in texts."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.data.formats.spec import open_annotations
from ocrctl.errors import InputError

BOX = [[10, 10], [60, 10], [60, 30], [10, 30]]
LOW = [[10, 50], [60, 50], [60, 70], [10, 70]]
OUT = [[-9, 80], [60, 80], [60, 95], [-9, 95]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        picture = np.random.default_rng(ord(name)).integers(0, 255, (100, 100, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    return tmp_path


def label(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def texts_after_clean(folder: Path, spec: str, code: int = 0) -> list[str]:
    before = sorted(open_annotations(spec).texts)
    assert run(["dataset", "clean", spec, "--clamp"]) == code
    after = open_annotations(spec)
    assert sorted(after.texts) == before
    assert after.points.min() >= 0
    return after.texts


def flat(points: list[list[int]]) -> list[int]:
    return [value for point in points for value in point]


def test_coco_text_with_one_identifier_twice(folder: Path) -> None:
    imgs = {
        key: {"id": 1 if key == "2" else int(key), "file_name": f"{name}.png"}
        for key, name in zip("123", "abc", strict=True)
    }
    anns = {
        key: {"id": 1, "image_id": int(key), "utf8_string": text, "mask": flat(points), "legibility": "legible"}
        for key, text, points in (("1", "one", BOX), ("2", "two", LOW), ("3", "three", OUT))
    }
    path = label(folder, "cocotext.json", {"imgs": imgs, "anns": anns})
    assert texts_after_clean(folder, str(path)) == ["one", "two", "three"]
    assert open_annotations(str(path)).images == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("name", ["words-json", "doctr-det"])
def test_an_image_under_two_spellings_keeps_all_of_its_instances(folder: Path, name: str) -> None:
    if name == "words-json":
        one, two = ({"words": {"1": {"transcription": text, "points": points}}} for text, points in
                    (("one", BOX), ("two", OUT)))  # fmt: skip
        document: dict[str, Any] = {"images": {"./a.png": one, ".\\a.png": two}}
    else:
        document = {"./a.png": {"polygons": {"words": [BOX]}}, ".\\a.png": {"polygons": [OUT, LOW]}}
    path = label(folder, "labels.json", document)
    texts_after_clean(folder, f"{name}:{path}", 1)  # of the set that it read: an image is listed twice


def test_a_key_twice_is_an_error_and_not_the_last_of_its_values(folder: Path) -> None:
    word = json.dumps({"transcription": "one", "points": BOX})
    for text in (
        f'"a.png": {{"words": {{"1": {word}, "1": {word}}}}}',
        '"a.png": {"words": {}}, "a.png": {"words": {}}',
    ):
        path = label(folder, "train.json", f'{{"images": {{{text}}}}}')
        with pytest.raises(InputError, match="occurs twice in one object"):
            open_annotations(f"words-json:{path}")


def test_mmocr_keeps_classes(folder: Path) -> None:
    items = [{"polygon": flat(points), "bbox_label": 3, "ignore": False, "text": "t"} for points in (BOX, OUT)]
    path = label(folder, "mmocr.json", {"metainfo": {}, "data_list": [{"img_path": "a.png", "instances": items}]})
    texts_after_clean(folder, str(path))
    kept = json.loads(path.read_text())["data_list"][0]["instances"]
    assert [item["bbox_label"] for item in kept] == [3, 3]


@pytest.mark.parametrize("text", [None, ["x"], 5])
def test_a_label_that_is_no_text(folder: Path, text: Any) -> None:
    path = label(folder, "a.json", {"shapes": [{"label": text, "points": BOX}], "imagePath": "a.png"})
    with pytest.raises(InputError, match=r"instance 1\): expected .*F002 bad-text"):
        open_annotations(f"labelme:{path}")
    items = [{"annotation.text": text, "annotation.bbox": [1, 2, 30, 40]}]
    path = label(folder, "a.json", {"images": [{"image.file.name": "a.png"}], "annotations": items})
    if text is None:
        assert open_annotations(f"aihub:{path}").ignore.tolist() == [True]
    else:
        with pytest.raises(InputError, match=r"instance 1\): expected .*F002 bad-text"):
            open_annotations(f"aihub:{path}")


def test_funsd_words_may_have_a_key_called_field(folder: Path) -> None:
    words = [
        {"text": "a", "box": [10, 10, 30, 30], "field": "name"},
        {"text": "b", "box": [-9, 40, 30, 60], "field": 7},
    ]
    path = label(folder, "a.json", {"form": [{"id": 0, "words": words[:1]}, {"id": 1, "words": words[1:]}]})
    texts_after_clean(folder, f"funsd:{path}")
    form = json.loads(path.read_text())["form"]
    assert [entry["words"][0]["field"] for entry in form] == ["name", 7]


PRICES = ["1,234,567", "2,500", "12,000,abc", "7,8,9,10,x", "abc"]


def test_quads_of_a_zip_whose_texts_start_with_numbers_stay_quads(folder: Path, tmp_path: Path) -> None:
    quads = [[[x + 20 * i, y + 500] for x, y in BOX] for i in range(len(PRICES))]
    items = [{"transcription": text, "points": quad} for text, quad in zip(PRICES, quads, strict=True)]
    path = label(folder, "Label.txt", f"a.png\t{json.dumps(items)}\n")
    assert run(["dataset", "convert", str(path), str(tmp_path / "zip"), "--format", "cleval-zip", "--labels-only"]) == 0
    data = open_annotations(str(tmp_path / "zip" / "gt.zip"))
    assert data.texts == PRICES and data.points.tolist() == [point for quad in quads for point in quad]


def test_beside_polygons_such_texts_are_said_to_be_lost(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [{"transcription": "1,234,567", "points": [*BOX, [5, 20]]}, {"transcription": "a", "points": BOX}]
    path = label(folder, "Label.txt", f"a.png\t{json.dumps(items)}\n")
    assert run(["dataset", "convert", str(path), str(tmp_path / "zip"), "--format", "cleval-zip", "--labels-only"]) == 0
    said = capsys.readouterr()
    assert "texts that start with a number and a comma may be read as points" in said.out + said.err


def test_long_curves_of_a_zip_are_polygons(tmp_path: Path) -> None:
    top = [[20 * i, 10 + (i - 4) ** 2] for i in range(9)]
    outline = flat([*top, *([x, y + 12] for x, y in reversed(top))])
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("gt_a.txt", ",".join(map(str, outline)) + ",curve\n" + "1,2,9,2,9,5,1,5,quad\n" * 2)
    data = open_annotations(str(tmp_path / "gt.zip"))
    assert data.texts == ["curve", "quad", "quad"] and np.diff(data.offsets).tolist() == [18, 4, 4]


@pytest.mark.parametrize("value", ["nan", "inf", "1e+30", "1e-320"])
def test_total_text_is_told_whatever_its_numbers(folder: Path, value: str) -> None:
    label(folder, "poly_gt_a.txt", f"x: [[{value} 60 60]], y: [[1 1 9]], ornt: [u'm'], transcriptions: [u'a']\n")
    assert open_annotations(str(folder)).format == "totaltext"


def test_a_label_longer_than_the_head_that_is_looked_at(folder: Path) -> None:
    label(folder, "gt.txt", f'a.png, "{"x" * 70_000}"\n')
    assert len(open_annotations(str(folder)).texts[0]) == 70_000


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("words", [False, True])
def test_pixels_that_no_model_takes_are_a_fault_of_their_image(
    folder: Path, kind: type, words: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(folder / "f.tif"), np.zeros((40, 40), kind))
    items = json.dumps([{"transcription": "t", "points": BOX}])
    if words:
        label(folder, "rec_gt.txt", "a.png\tone\nf.tif\ttwo\n")
    else:
        label(folder, "Label.txt", f"a.png\t{items}\nf.tif\t{items}\n")
    assert run(["dataset", "validate", str(folder)]) == 1
    assert "I002" in capsys.readouterr().out
    if words:
        assert run(["lmdb", "build", str(folder), str(folder / "words.lmdb")]) == 0
        assert "f.tif" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "line"), [("rec_gt.txt", "a.png\t{}\n"), ("gt.txt", 'a.png, "{}"\n')])
def test_word_labels_that_are_not_nfc_are_named_and_mended(
    folder: Path, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = label(folder, name, line.format("cafe\u0301"))
    run(["dataset", "validate", str(folder)])
    assert "T005" in capsys.readouterr().out
    assert run(["dataset", "clean", str(folder), "--repair"]) == 0
    assert path.read_text(encoding="utf-8") == line.format("caf\u00e9")


def test_crop_leaves_out_what_no_image_can_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = [[[0, 0], [size, 0], [size, size], [0, size]] for size in (2e4, 6e4, 1e7, 2**31, 1e308)]
    wild = [[[0, 0], [1e999, 0], [9, 9], [0, 9]], [[500, 500], [560, 500], [560, 530], [500, 530]]]
    items = [{"transcription": "t", "points": points} for points in (BOX, OUT, *far, *wild)]
    path = label(folder, "Label.txt", f"a.png\t{json.dumps(items)}\n")
    assert run(["dataset", "crop", str(path), str(folder / "words.lmdb"), "--json"]) == 0
    assert '"words": 2' in capsys.readouterr().out


def test_every_format_of_pages_says_whether_numbers_may_lead() -> None:
    assert [name for name, module in DETECTION_FORMATS.items() if not module.KEEPS.leading_numbers] == ["cleval-zip"]
