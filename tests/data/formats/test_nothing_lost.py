"""The same image in two formats or qualities is found; no label, line or image goes without a word."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.validate.run import run_rules
from ocrctl.errors import InputError


def page(seed: int) -> np.ndarray:
    """(240, 320, 3) BGR: coarse coloured patches, their brightness not that of their blue."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(patches, (320, 240), interpolation=cv2.INTER_CUBIC)


def label(name: str, *items: tuple[int, str]) -> str:
    outlines = [{"transcription": text, "points": [[x, 50], [x + 60, 50], [x + 60, 70], [x, 70]]} for x, text in items]
    return f"{name}\t{json.dumps(outlines)}\n"


def pages(folder: Path, suffix: str, *flags: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(6):
        cv2.imwrite(str(folder / f"{folder.name}{number}{suffix}"), page(number), flags)
    names = [f"{folder.name}{number}{suffix}" for number in range(6)]
    with open(folder / "Label.txt", "a", encoding="utf-8") as stream:
        stream.writelines(label(name, (10, "word")) for name in names)
    return folder


@pytest.mark.parametrize(("suffix", "quality"), [(".png", 3), (".jpg", 70)])
def test_another_format_or_quality(
    suffix: str, quality: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_PNG_COMPRESSION
    first, second = pages(tmp_path / "a", ".jpg"), pages(tmp_path / "b", suffix, flag, quality)
    assert run(["dataset", "validate", str(first), "--against", str(second), "--json"]) == 1
    codes = json.loads(capsys.readouterr().out)["codes"]
    assert {code["name"]: code["count"] for code in codes} == {"in-both-sets": 6}
    both = tmp_path / "both"
    both.mkdir()
    lines = ""
    for folder in (first, second):
        for picture in folder.glob(f"{folder.name}*"):
            picture.rename(both / picture.name)
        lines += (folder / "Label.txt").read_text()
    (both / "Label.txt").write_text(lines)
    findings, _ = run_rules(open_annotations(str(both)))
    assert findings.of("same-picture").tolist() == list(range(6, 12))
    assert run(["dataset", "split", str(both), str(tmp_path / "out"), "--part", "t=0.5", "--part", "v=0.5", "-q"]) == 0
    parts = [{Path(name).name[1] for name in open_annotations(str(tmp_path / "out" / part)).images} for part in "tv"]
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 6


def test_an_image_listed_again_gives_its_labels_to_the_first(tmp_path: Path) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), page(number))
    file = tmp_path / "Label.txt"
    file.write_text(
        label("0.png", (10, "a"), (90, "both")) + label("1.png", (10, "c")) + label("0.png", (170, "b"), (90, "both"))
    )
    before = file.read_bytes()
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad", "-q"]) == 0
    data = open_annotations(str(tmp_path))
    assert data.images == ["0.png", "1.png"]
    assert [(int(i), text) for i, text in zip(data.image_id, data.texts, strict=True)] == [
        (0, "a"), (0, "both"), (0, "b"), (1, "c"),
    ]  # fmt: skip
    assert run(["dataset", "clean", str(tmp_path), "--remove-bad", "-q"]) == 0
    assert run(["dataset", "undo", str(tmp_path), "-q"]) == 0 and file.read_bytes() == before


def test_forms_of_one_template_are_different_images(tmp_path: Path) -> None:
    for number in range(12):
        form = np.full((600, 440, 3), 250, np.uint8)
        for row in range(12):
            cv2.rectangle(form, (40, 30 + 45 * row), (400, 60 + 45 * row), (120, 120, 120), 2)
        cv2.putText(form, f"No. {number * 7919}", (60, 52), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
        cv2.imwrite(str(tmp_path / f"{number}.png"), form)
    again = cv2.imread(str(tmp_path / "3.png"))
    assert again is not None
    cv2.imwrite(str(tmp_path / "12.jpg"), again, [cv2.IMWRITE_JPEG_QUALITY, 60])
    names = [*(f"{number}.png" for number in range(12)), "12.jpg"]
    (tmp_path / "Label.txt").write_text("".join(label(name, (10, "word")) for name in names))
    findings, _ = run_rules(open_annotations(str(tmp_path)))
    assert findings.of("same-picture").tolist() == [12] and "3.png" in findings.hits["I010"].message(0)
    parts = ["--part", "t=0.5", "--part", "v=0.5"]
    assert run(["dataset", "split", str(tmp_path), str(tmp_path / "out"), *parts, "-q"]) == 0
    assert (
        run(["dataset", "validate", str(tmp_path / "out" / "t"), "--against", str(tmp_path / "out" / "v"), "-q"]) == 0
    )


def test_a_sliver_is_told_from_a_tiny_label_whatever_is_listed_twice(tmp_path: Path) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), page(number))

    def outline(text: str, x: float, y: float, wide: float, high: float) -> dict[str, object]:
        return {"transcription": text, "points": [[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]]}

    first, second = [outline("a", 9, 9, 40, 20)], [outline("b", 9, 90, 40, 20), outline("c", 9, 150, 40, 20)]
    other = [outline("tiny, out", 310, 10, 40, 2), outline("sliver", 319, 100, 60, 30), outline("d", 50, 50, 40, 20)]
    rows = [("0.png", first), ("1.png", other), ("0.png", second)]
    (tmp_path / "Label.txt").write_text("".join(f"{name}\t{json.dumps(items)}\n" for name, items in rows))
    assert run(["dataset", "clean", str(tmp_path), "--clamp", "--repair", "--remove-bad", "-q"]) == 0
    assert open_annotations(str(tmp_path)).texts == ["a", "b", "c", "tiny, out", "d"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("mark", "last"), [("", True), ("\ufeff", False)])
def test_lines_that_no_rule_accuses_stay_byte_for_byte(mark: str, end: str, last: bool, tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), page(number))
    good = '[{ "points": [[10.0,50],[70,50],[70,70],[10,70]],  "transcription":"caf\\u00e9", "difficult": false}]'
    bad = good.replace("[70,50]", "[600,50]")
    lines = [f"{number}.png\t{bad if number == 1 else good}" for number in range(4)]
    file = tmp_path / "Label.txt"
    file.write_bytes((mark + end.join(lines) + (end if last else "")).encode())
    before = file.read_bytes().split(b"\n")
    assert run(["dataset", "clean", str(tmp_path), "--clamp", "-q"]) == 0
    after = file.read_bytes().split(b"\n")
    assert len(after) == len(before) and [i for i in range(len(after)) if after[i] != before[i]] == [1]
    assert json.loads(after[1].partition(b"\t")[2]) == [
        {"transcription": "café", "points": [[10, 50], [320, 50], [70, 70], [10, 70]], "difficult": False}
    ]
    assert after[1].endswith(b"\r") == (end == "\r\n")
    assert run(["dataset", "undo", str(tmp_path), "-q"]) == 0 and file.read_bytes().split(b"\n") == before


def test_what_cannot_be_read_is_named_and_lost_tabs_are_no_words(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), page(0))
    file = tmp_path / "Label.txt"
    file.write_text(label("0.png", (10, "a")) * 2, encoding="utf-16")
    with pytest.raises(InputError, match=r"Label\.txt:1: expected UTF-8") as caught:
        open_annotations(str(tmp_path))
    assert "UTF-16" in str(caught.value.hint)
    file.write_text(label("0.png", (10, "a")).replace("\t", " ") * 2)
    for spec in (tmp_path, file):
        with pytest.raises(InputError, match="found no annotations"):
            open_annotations(str(spec))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("gt_{}.txt", "10,50,70,50,70,70,10,70,word\n"),
        ("poly_gt_{}.txt", "x: [[10 70 70 10]], y: [[50 50 70 70]], ornt: [u'h'], transcriptions: [u'word']\n"),
    ],
)
def test_images_whose_label_file_is_gone_are_counted(name: str, line: str, tmp_path: Path) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), page(number))
        if number not in (2, 10):
            (tmp_path / name.format(f"img_{number}")).write_text(line)
    data = open_annotations(str(tmp_path))
    assert len(data.images) == 10
    assert data.notes == [f"2 images in {tmp_path} without a label file, skipped (img_2.png ...)"]
    assert not open_annotations(str(tmp_path / name.format("img_3"))).notes
