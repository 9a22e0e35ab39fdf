"""One malformed word among sound ones: a finding with its place, kept until it is removed, refused by what trains."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.errors import InputError

NAN = float("nan")
BOX = [[10, 10], [60, 10], [60, 30], [10, 30]]
LOW = [[10, 50], [60, 50], [60, 70], [10, 70]]
FLAT = [10, 10, 60, 10, 60, 30, 10, 30]


def paddle(item: str, value: Any) -> dict[str, Any]:
    return {"transcription": "bad", "points": BOX} | {item: value}


# Of each format: name of the label file, what makes its content of two sound words and bad ones between, the sound
# words, the bad ones, and the codes of these.
ITEM = {"transcription": "one", "points": BOX}
BAD = [
    (paddle("points", None), "F001"), (paddle("points", [["a", "b"]] * 4), "F001"),
    (paddle("points", [*BOX[:1], [3]]), "F001"), (paddle("points", [[BOX]]), "F001"),
    (paddle("transcription", 7), "F002"), (paddle("transcription", ["a"]), "F002"),
    ({"points": BOX}, "F002"), ({"transcription": "bad"}, "F001"), (None, "F003"), ("text", "F003"), ([], "F003"),
    (paddle("points", 10**400), "F001"), (paddle("points", [[NAN, 1], [2, 1], [2, 2]]), "P002"),
    (paddle("points", [[5, 5]]), "P001"),
]  # fmt: skip


def like(text: str, points: str, item: Any) -> Any:
    """A bad PaddleOCR word under other names."""
    names = {"transcription": text, "points": points}
    return {names[key]: value for key, value in item.items()} if isinstance(item, dict) else item


def document(name: str, bad: list[Any]) -> tuple[str, str]:
    """Label file and content with the words "one", "two" and the bad ones between, on a.png; b.png is sound."""

    def named(text: str, points: str, **more: Any) -> list[Any]:
        sound = [{text: word, points: place} | more for word, place in (("one", BOX), ("two", LOW))]
        return [sound[0], *(like(text, points, item) for item in bad), sound[1]]

    other = named("transcription", "points")[-1]
    if name == "paddleocr-det":
        return "Label.txt", f"a.png\t{json.dumps(named('transcription', 'points'))}\nb.png\t{json.dumps([other])}\n"
    if name == "words-json":
        table = {f"k{number}": word for number, word in enumerate(named("transcription", "points", tags=[]))}
        return "train.json", json.dumps({"images": {"a.png": {"words": table}, "b.png": {"words": {"1": other}}}})
    if name == "mmocr-det":
        lists = [named("text", "polygon", ignore=False), named("text", "polygon", ignore=False)[:1]]
        for word in (word for words in lists for word in words if isinstance(word, dict)):
            if isinstance(word.get("polygon"), list) and word["polygon"] and isinstance(word["polygon"][0], list):
                word["polygon"] = [value for point in word["polygon"] for value in point]
        return "textdet.json", json.dumps({"data_list": [
            {"img_path": f"{image}.png", "instances": words}
            for image, words in zip("ab", lists, strict=True)]})  # fmt: skip
    if name == "coco-text":
        anns = {str(number): {"id": number, "image_id": 1} | word if isinstance(word, dict) else word
                for number, word in enumerate(named("utf8_string", "mask"))}  # fmt: skip
        anns["99"] = {"id": 99, "image_id": 2, "utf8_string": "two", "mask": FLAT}
        imgs = {str(number): {"id": number, "file_name": f"{image}.png"} for number, image in ((1, "a"), (2, "b"))}
        return "cocotext.v2.json", json.dumps({"imgs": imgs, "anns": anns})
    if name == "labelme":
        return "a.json", json.dumps({"imagePath": "a.png", "shapes": named("label", "points", shape_type="polygon")})
    if name == "aihub":
        items = named("annotation.text", "annotation.bbox")
        return "a.json", json.dumps({"images": [{"image.file.name": "a.png"}], "annotations": items})
    if name == "funsd":
        items = named("text", "box")
        for item in items:
            if isinstance(item, dict) and item.get("box") in (BOX, LOW):
                item["box"] = [10, item["box"][0][1], 60, item["box"][2][1]]
        return "a.json", json.dumps({"form": [{"id": 0, "text": "f", "words": items}, *(i for i in bad if i is None)]})
    assert name == "doctr-det"
    polygons = [
        word["points"] if isinstance(word, dict) and "points" in word else word for word in named("t", "points")
    ]
    return "labels.json", json.dumps({"a.png": {"polygons": polygons}, "b.png": {"polygons": [BOX]}})


def prepare(folder: Path, name: str, content: str) -> Path:
    for image in "ab":
        cv2.imwrite(str(folder / f"{image}.png"), np.full((100, 100, 3), 90 if image == "a" else 200, np.uint8))
    (folder / name).write_text(content)
    return folder / name


def found(folder: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> dict[str, list[dict[str, Any]]]:
    capsys.readouterr()
    assert run(["dataset", "validate", str(folder), "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    return {entry["code"]: entry["locations"] for entry in report["codes"] if entry["severity"] == "error"}


FORMATS = ["paddleocr-det", "words-json", "mmocr-det", "coco-text", "labelme", "aihub", "funsd", "doctr-det"]
NOT_SAID = {  # by format: bad words that it reads otherwise
    "doctr-det": {4, 5, 6, 7, 9, 10}, "mmocr-det": {3, 6}, "coco-text": {2, 3, 6, 7}, "aihub": {2, 3, 12, 13},
    "funsd": {3, 12, 13},
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_malformed_words_are_found_kept_removed_and_given_back(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [pair for number, pair in enumerate(BAD) if number not in NOT_SAID.get(name, ())]
    file = prepare(tmp_path, *document(name, [item for item, _ in chosen]))
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"\[F00\d bad-\w+\]") as caught:
        open_annotations(str(tmp_path))
    assert "--remove-bad" in (caught.value.hint or "") and str(file) in caught.value.message
    codes = found(tmp_path, capsys)
    wanted = [code if name != "doctr-det" or code[0] == "P" else "F001" for _, code in chosen]
    if name == "funsd":
        wanted.append("F003")
    counts = {code: len(places) for code, places in codes.items()}
    assert counts == {code: wanted.count(code) for code in wanted}, codes
    assert all(str(file) in place["where"] and "expected" in place["message"] for code, places in codes.items()
               if code[0] == "F" for place in places)  # fmt: skip
    assert run(["dataset", "clean", str(tmp_path), "--repair"]) == 1  # errors remain, and what they accuse
    assert {code: len(places) for code, places in found(tmp_path, capsys).items()} == counts
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad"]) == 0, capsys.readouterr()
    data = open_annotations(str(tmp_path))
    assert [data.texts[i] for i in range(len(data)) if data.image_id[i] == 0] == (
        ["", ""] if name == "doctr-det" else ["one", "two"]
    )
    assert np.array_equal(data.polygon(0), BOX) and np.array_equal(data.polygon(1), LOW)
    assert found(tmp_path, capsys, 0) == {}
    assert run(["dataset", "undo", str(tmp_path)]) == 0 and file.read_bytes() == before


@pytest.mark.parametrize("format_name", ["icdar15", "icdar13", "totaltext", "cleval-zip"])
def test_malformed_lines(tmp_path: Path, format_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    quad = format_name in ("icdar15", "cleval-zip")
    if format_name == "totaltext":
        one, two = (
            f"x: [[10 60 60 10]], y: [[{y} {y} {y + 20} {y + 20}]], ornt: [u'h'], transcriptions: [u'{text}']"
            for y, text in ((10, "one"), (50, "two"))
        )
        bad = ["x: [[1 2 3]], y: [[1 2]], ornt: [u'h'], transcriptions: [u'a']", "nothing of the kind"]
    else:
        one, two = ("10,10,60,10,60,30,10,30,one", "10,50,60,50,60,70,10,70,two") if quad else (
            '10, 10, 60, 30, "one"', '10, 50, 60, 70, "two"')  # fmt: skip
        bad = ["10,x,60,10,60,30,10,30,three" if quad else '10, x, 60, 30, "three"', "nothing of the kind"]
    lines = "\n".join([one, *bad, two, "", two.replace("10", "70").replace("two", "three").replace("60", "90"), ""])
    name = {"totaltext": "poly_gt_a.txt", "cleval-zip": "gt.zip"}.get(format_name, "gt_a.txt")
    file = prepare(tmp_path, name, lines)
    if format_name == "cleval-zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("gt_a.txt", lines)
            archive.writestr("gt_b.txt", one)
    else:
        (tmp_path / name.replace("_a", "_b")).write_text(one + "\n")
    before = file.read_bytes()
    codes = found(tmp_path, capsys)
    assert list(codes) == ["F003"] and [place["line"] for place in codes["F003"]] == [2, 3]
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad"]) == 0
    assert open_annotations(str(tmp_path)).texts == ["one", "two", "three", "one"]
    if format_name != "cleval-zip":
        assert file.read_text().startswith(f"{one}\n{two}\n")
    assert run(["dataset", "undo", str(tmp_path)]) == 0 and file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "left", "codes"),
    [
        ("rec_gt.txt", 'a.png\tone\nb.png two\n["a.png", 3]\tx\nb.png\ttwo\n./a.png\tone\n',
         "a.png\tone\nb.png\ttwo\n./a.png\tone\n", {"F003": [2, 3]}),
        ("gt.txt", 'a.png, "one"\nb.png\nb.png, "two"\n', 'a.png, "one"\nb.png, "two"\n', {"F003": [2]}),
        ("label.jsonl", '{"filename": "a.png", "text": "one"}\n{"filename": "b.png"}\n'
         '{"filename": "b.png", "text": "two"}\n',
         '{"filename": "a.png", "text": "one"}\n{"filename": "b.png", "text": "two"}\n', {"F003": [2]}),
        ("textrecog.json", json.dumps({"data_list": [
            {"img_path": "a.png", "instances": [{"text": "one"}]}, {"img_path": "b.png", "instances": [{"text": 5}]},
            None]}),
         {"data_list": [{"img_path": "a.png", "instances": [{"text": "one"}]}]}, {"F002": [0], "F003": [0]}),
        ("labels.json", json.dumps({"../a.png": "one", "../b.png": None}), {"../a.png": "one"}, {"F002": [0]}),
    ],
)  # fmt: skip
def test_malformed_word_images(
    tmp_path: Path, name: str, content: str, left: Any, codes: dict[str, list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = prepare(tmp_path, name, content)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"\[F00\d bad-\w+\]"):
        open_source(str(tmp_path))
    places = found(tmp_path, capsys)
    assert {code: [place["line"] for place in listed] for code, listed in places.items()} == codes
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad"]) == 0
    assert (file.read_text() if isinstance(left, str) else json.loads(file.read_text())) == left
    assert run(["dataset", "undo", str(tmp_path)]) == 0 and file.read_text() == content


def test_a_malformed_entry_of_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = f"a.png\t{json.dumps([ITEM])}\n"
    file = prepare(
        tmp_path, "Label.txt", f'{sound}b.png\t[{{"transcription": "cut", "poi\n{sound.replace("a.p", "b.p")}'
    )
    places = found(tmp_path, capsys)
    assert [place["line"] for place in places["F003"]] == [2]
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad"]) == 0
    assert file.read_text() == sound + sound.replace("a.p", "b.p")


def test_training_refuses_them_by_their_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path, *document("paddleocr-det", [paddle("points", None)]))
    arguments = ["-d", str(tmp_path), "-o", str(tmp_path / "run"), "--set", "train.max_steps=1"]
    assert run(["train", "dbnet", *arguments]) == 3
    said = capsys.readouterr().err
    assert "F001" in said and "Label.txt:1 (a.png, instance 2)" in said and "--remove-bad" in said


@pytest.mark.parametrize("content", ["not json", "[1, 2]", '{"images": []}', '{"images": 3}'])
def test_what_is_no_document_stays_an_input_error(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = prepare(tmp_path, "train.json", content)
    assert run(["dataset", "validate", f"words-json:{file}"]) == 3
    assert "train.json" in capsys.readouterr().err
