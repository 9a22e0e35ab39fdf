from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.core.dataset.split import assign, group_keys, listed_images
from ocrctl.core.dataset.write_pages import safe_names
from ocrctl.data.annotations.builder import Builder
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.data.images.rectify import crop
from ocrctl.errors import InputError


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Six pages with upright quads, one ignored."""
    folder = tmp_path / "pages"
    (folder / "img").mkdir(parents=True)
    lines = []
    for number in range(6):
        image = np.full((80, 160, 3), 40 * number, np.uint8)
        image[10:30, 20:100] = (200, 100, 10 * number)
        image[62:, 25 * number : 25 * number + 25] = 128 if number < 3 else 0  # no two look alike
        cv2.imwrite(str(folder / "img" / f"p{number}.png"), image)
        items = [
            {"transcription": "wort" + str(number), "points": [[20, 10], [100, 10], [100, 30], [20, 30]]},
            {"transcription": "###", "points": [[20, 40], [100, 40], [100, 60], [20, 60]]},
        ]
        lines.append(f"img/p{number}.png\t{json.dumps(items)}\n")
    (folder / "Label.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("name", DETECTION_FORMATS)
def test_every_format_and_back(pages: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    assert run(["dataset", "convert", str(pages), str(out), "--format", name]) == 0
    first = open_annotations(str(pages))
    middle = open_annotations(str(out))
    assert middle.format == name and middle.image_bytes(3) == first.image_bytes(3)
    assert run(["dataset", "convert", str(out), str(back), "--format", "paddleocr-det", "--json"]) == 0
    last = open_annotations(str(back))
    assert np.array_equal(last.points, first.points) and last.image_bytes(5) == first.image_bytes(5)
    keeps = DETECTION_FORMATS[name].KEEPS
    if keeps.text:
        assert [t for t, off in zip(last.texts, last.ignore, strict=True) if not off] == [f"wort{n}" for n in range(6)]
        assert np.array_equal(last.ignore, first.ignore)
    else:
        said = capsys.readouterr()
        assert "texts are not kept (6)" in said.out and "ignored instances become ordinary ones (6)" in said.out


def test_what_is_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"transcription": "a\nb", "points": [[20, 10], [60, 5], [100, 10], [90, 30], [20, 30]], "key_cls": "x"},
             {"transcription": "old", "points": [[1, 1], [9, 1], [9, 5], [1, 5]], "difficult": True}]  # fmt: skip
    (tmp_path / "Label.txt").write_text(f"../../etc/p.png\t{json.dumps(items)}\n")
    assert run(["dataset", "convert", str(tmp_path), str(tmp_path / "out"), "--format", "icdar15"]) == 0
    said = capsys.readouterr().out
    for what in ("line breaks", "texts of ignored", "rotated box (1)", "'key_cls' is not kept (1)", "not copied"):
        assert what in said
    assert (tmp_path / "out" / "gt" / "gt_p.txt").read_text().splitlines()[1] == "1,1,9,1,9,5,1,5,###"
    assert run(["dataset", "convert", str(tmp_path), str(tmp_path / "out"), "--format", "icdar15"]) == 2
    assert run(["dataset", "convert", str(tmp_path), str(tmp_path / "new"), "--format", "icdar16"]) == 2
    assert "Did you mean 'icdar1" in capsys.readouterr().err


def test_names_stay_inside_and_apart() -> None:
    names = ["../../a.jpg", "/etc/a.jpg", "images/b.png", "x/b.png", "C:\\b.png"]
    assert safe_names(names, unique_stems=False) == ["a.jpg", "etc/a.jpg", "b.png", "x/b.png", "C_/b.png"]
    assert safe_names(["a/p.jpg", "b/p.jpg", "p.png"], unique_stems=True) == ["p.jpg", "p_2.jpg", "p_3.png"]


def test_split_keeps_groups_together_and_shares(pages: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    arguments = ["--part", "a=0.5", "--part", "b=0.5", "--group", r"p(\d)"]
    assert run(["dataset", "split", str(pages), str(out), *arguments]) == 0
    a, b = (open_annotations(str(out / name)) for name in "ab")
    assert len(a.images) == len(b.images) == 3 and not set(a.images) & set(b.images)
    assert run(["dataset", "split", str(pages), str(tmp_path / "x"), "--group", "q"]) == 2
    builder = Builder(Path("made"), "made")
    builder.label_file("made")
    for number in range(300):
        image = builder.image(f"doc{number // 3}_page{number % 3}.png")
        for word in range(number % 4):
            builder.add(image, (), "x" * (1 + 4 * word), False)
    data = builder.build("")
    keys = group_keys(data.images, r"doc\d+")
    part = assign(data, keys, [0.8, 0.2], 3)
    by_group = {key: {int(p) for k, p in zip(keys, part, strict=True) if k == key} for key in keys}
    assert all(len(parts) == 1 for parts in by_group.values())
    assert abs(np.mean(part == 0) - 0.8) < 0.05
    long = np.array([len(text) > 8 for text in data.texts])
    assert abs(np.mean(part[data.image_id[long]] == 0) - 0.8) < 0.06
    assert np.array_equal(part, assign(data, keys, [0.8, 0.2], 3))


def test_split_by_a_fixed_list(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "held.txt"
    names.write_text("\ufeff# two pages\r\np4.png\r\n\r\n  img/p1.png \n", encoding="utf-8")
    split = ["dataset", "split", str(pages), str(tmp_path / "parts"), "--list", str(names)]
    assert run([*split, "--group", "p"]) == 2
    assert run([*split, "--part", "a=1", "--part", "b=1", "--part", "c=1"]) == 2
    assert run(split) == 0
    train, held = (open_annotations(str(tmp_path / "parts" / part)) for part in ("train", "val"))
    assert held.images == ["images/img/p1.png", "images/img/p4.png"] and held.texts[0] == "wort1"
    assert [Path(image).stem for image in train.images] == ["p0", "p2", "p3", "p5"]
    assert held.image_bytes(1) == (pages / "img" / "p4.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p1.png\nq.png\n", "held.txt:2: q.png matches no images"),
        ("p1.png\nimg/p1.png\n", "held.txt:2: img/p1.png is listed twice"),
        ("# none\n", "lists no image"),
        ("".join(f"p{number}.png\n" for number in range(6)), "lists every image"),
    ],
)
def test_lists_that_do_not_fit(
    pages: Path, tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "held.txt").write_text(text)
    out = tmp_path / "parts"
    assert run(["dataset", "split", str(pages), str(out), "--list", str(tmp_path / "held.txt")]) == 3
    assert said in capsys.readouterr().err and not out.exists()


def test_a_name_of_two_images(tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("p.png\n")
    with pytest.raises(InputError, match="p.png matches 2 images"):
        listed_images(["a/p.png", "b/p.png", "c/q.png"], tmp_path / "held.txt")
    (tmp_path / "held.txt").write_text("b/p.png\n")
    assert listed_images(["a/p.png", "b/p.png"], tmp_path / "held.txt").tolist() == [False, True]


def test_stats_of_pages(pages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "stats", str(pages), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["labels"]["samples"] == 6 and report["pages"]["ignored"] == 6
    assert report["pages"]["widths"]["median"] == 160 and report["pages"]["text_heights"]["largest"] == 20
    assert sum(report["pages"]["aspects"]["counts"]) == 12 and report["pages"]["points"] == {"4": 12}
    assert run(["dataset", "stats", str(pages)]) == 0
    assert "text height" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lmdb", "paddleocr-rec"])
def test_crop_writes_words(pages: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "words"
    assert run(["dataset", "crop", str(pages), str(out), "--format", name]) == 0
    source = open_source(str(out))
    assert list(source.labels) == [f"wort{number}" for number in range(6)]
    image = cv2.imdecode(np.frombuffer(source.image_bytes(2), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None and image.shape == (20, 80, 3) and (image == (200, 100, 20)).all()
    assert run(["dataset", "crop", str(out), str(tmp_path / "again")]) == 2


def test_crops_of_outlines_that_run_the_other_way_are_not_mirrored() -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    cv2.putText(image, "Fern", (12, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2)
    corners = np.array([[8, 8], [112, 8], [112, 52], [8, 52.0]])
    straight = crop(image, corners)
    assert straight is not None
    for mirrored in (corners[[0, 3, 2, 1]], corners[[1, 0, 3, 2]], corners[::-1]):
        assert np.array_equal(crop(image, mirrored), straight)
    curve = np.array([[8, 8], [60, 8], [112, 8], [112, 52], [60, 52], [8, 52.0]])
    unrolled = crop(image, curve)
    assert unrolled is not None
    for mirrored in (curve[::-1], curve[[2, 1, 0, 5, 4, 3]]):
        assert np.array_equal(crop(image, mirrored), unrolled)


def test_crops_are_straight() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    cv2.line(image, (20, 80), (180, 20), (255, 255, 255), 24)
    along = np.array([160, -60]) / np.hypot(160, 60)
    down = np.array([-along[1], along[0]]) * 8
    start, end = np.array([30, 76.25]), np.array([170, 23.75])
    flat = crop(image, np.array([start - down, end - down, end + down, start + down]))
    assert flat is not None and flat.shape[0] == 16 and abs(flat.shape[1] - 150) <= 1 and flat.min() > 200
    x = np.linspace(20, 180, 7)
    y = 60 - 30 * np.sin((x - 20) / 160 * np.pi)
    cv2.polylines(image := np.zeros_like(image), [np.column_stack((x, y)).astype(np.int32)], False, (255,) * 3, 16)
    curve = np.concatenate((np.column_stack((x, y - 5)), np.column_stack((x, y + 5))[::-1]))
    unrolled = crop(image, curve)
    assert unrolled is not None and unrolled.shape[0] == 10 and unrolled[:, 5:-5].mean() > 240
    assert crop(image, np.array([[0, 0], [0.2, 0], [0.2, 9], [0, 9.0]])) is None
    tall = crop(image, np.array([[10, 10], [20, 10], [20, 60], [10, 60.0]]), characters=5)
    assert tall is not None and tall.shape[:2] == (10, 50)
