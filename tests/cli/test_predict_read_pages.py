"""`ocrctl predict` with a detector and a recogniser: every format carries the text, and eval scores it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats import DETECTION_FORMATS, page_format
from ocrctl.data.formats.spec import open_annotations


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pages with two bars, red to the detector and of many shades to the recogniser, and one page without."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(4)
    for number in range(4):
        image = np.full((120, 160, 3), 220, np.uint8)
        for row in range(2 if number < 3 else 0):
            columns = np.repeat(random.integers(0, 2, (1, 10)), 8, axis=1)[..., None]
            image[20 + 52 * row : 48 + 52 * row, 20:100] = np.where(columns, (255, 0, 255), (0, 0, 140))  # blue first
        cv2.imwrite(str(folder / f"img_{number}.png"), image)
    return folder


def predict(*arguments: object) -> int:
    return run(["predict", *map(str, arguments), "--device", "cpu"])


@pytest.fixture
def both(tiny_detector: Path, tiny_checkpoint: Path) -> list[object]:
    return ["-m", tiny_detector, "-m", tiny_checkpoint]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_carry_texts_in_either_order_of_models(
    both: list, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, *both, "--report", tmp_path / "report.json") == 0
    out, err = capsys.readouterr()
    pages = lines(out)
    assert [len(page["boxes"]) for page in pages] == [2, 2, 2, 0]
    boxes = [box for page in pages for box in page["boxes"]]
    assert all(set(box) == {"points", "score", "text", "confidence"} and 0 <= box["confidence"] <= 1 for box in boxes)
    assert len({box["text"] for box in boxes}) > 1
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["boxes"] == 6 and report["words"] == sum(box["text"] != "" for box in boxes) > 0
    assert report["recogniser"].endswith("tiny/best.ckpt") and "6 boxes, " in err and " words, " in err
    assert predict(photos, both[2], both[3], both[0], both[1], "--batch-size", 4, "--jobs", 0) == 0
    again = lines(capsys.readouterr().out)
    assert [[box["text"] for box in page["boxes"]] for page in again] == [
        [box["text"] for box in page["boxes"]] for page in pages
    ]


def test_a_detector_alone_writes_no_texts(tiny_detector: Path, photos: Path, tmp_path: Path) -> None:
    assert predict(photos, "-m", tiny_detector, "-o", tmp_path, "--report", tmp_path / "r.json") == 0
    page = lines((tmp_path / "predictions.jsonl").read_text("utf-8"))[0]
    assert set(page["boxes"][0]) == {"points", "score"}
    report = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert report["boxes"] == 6 and report["words"] is None and report["recogniser"] is None


def test_tsv_has_columns_for_the_text(both: list, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(photos, *both, "--format", "tsv") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["path", "score", "points", "text", "confidence"]
    assert len(rows) == 1 + 6 + 1 and all(len(row) == 5 for row in rows)
    assert all(0 <= float(row[4]) <= 1 for row in rows[1:-1]) and rows[-1][1:] == [""] * 4


@pytest.mark.parametrize("protocol", ["hmean", "cleval"])
@pytest.mark.parametrize("found", [["submission", "submission.zip"], ["txt", "txt", "--scores"]])
def test_results_are_scored_end_to_end_by_eval(
    both: list, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str, found: list[str]
) -> None:
    """Scored against a data set that the same command wrote, so everything is found and everything read."""
    name, place, *scores = found
    for form in ("paddleocr-det", name):
        assert predict(photos, *both, "--format", form, "-o", tmp_path) == 0
    capsys.readouterr()
    given = ["--gt", f"paddleocr-det:{tmp_path / 'paddleocr-det'}", "--pred", str(tmp_path / place), *scores, "--e2e"]
    assert run(["eval", *given, "--protocol", protocol, "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert total["e2e"]["hmean"] == pytest.approx(1.0, abs=0.02 if protocol == "cleval" else 0)


def test_a_submission_is_points_and_text(both: list, photos: Path, tmp_path: Path) -> None:
    assert predict(photos, *both, "--format", "submission", "-o", tmp_path) == 0
    texts = [box["text"] for box in lines((tmp_path / "predictions.jsonl").read_text("utf-8"))[0]["boxes"]]
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert archive.namelist() == [f"res_img_{i}.txt" for i in range(4)]
        fields = [line.split(",", 8) for line in archive.read("res_img_0.txt").decode().splitlines()]
        assert [row[8] for row in fields] == texts and all(value.isdigit() for row in fields for value in row[:8])
        assert archive.read("res_img_3.txt") == b""


@pytest.mark.parametrize("name", sorted(DETECTION_FORMATS))
def test_every_format_of_pages_holds_the_texts(both: list, photos: Path, tmp_path: Path, name: str) -> None:
    assert predict(photos, *both, "--format", name, "-o", tmp_path) == 0
    pages = lines((tmp_path / "predictions.jsonl").read_text("utf-8"))
    data = open_annotations(f"{name}:{tmp_path / name}")
    held = page_format(name).KEEPS.text
    assert data.texts == [box["text"] if held else "" for page in pages for box in page["boxes"]]


def test_overlays_show_the_texts(both: list, photos: Path, tmp_path: Path) -> None:
    assert predict(photos, *both[:2], "--format", "overlay", "-o", tmp_path / "boxes") == 0
    assert predict(photos, *both, "--format", "overlay", "-o", tmp_path / "read") == 0
    texts = [[box["text"] for box in page["boxes"]]
             for page in lines((tmp_path / "read" / "predictions.jsonl").read_text("utf-8"))]  # fmt: skip
    for number in range(4):
        plain, read = (cv2.imread(str(tmp_path / kind / "overlay" / f"img_{number}.png")) for kind in ("boxes", "read"))
        assert read.shape == (240, 160, 3)
        np.testing.assert_array_equal(read[:120], plain)
        dark = (read[120:] < 60).all(2)
        assert [bool(dark[20:48].any()), bool(dark[72:100].any())] == [text != "" for text in texts[number] or ["", ""]]
        assert not dark[:20].any() and not dark[50:70].any()


def test_characters_are_listed_and_drawn_within_their_boxes(
    both: list, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, *both, "--format", "overlay", "-o", tmp_path / "plain") == 0
    assert predict(photos, *both, "--format", "overlay", "-o", tmp_path / "dots", "--characters", "--json") == 0
    count = 0
    for number, page in enumerate(lines(capsys.readouterr().out)):
        plain, dots = (
            cv2.imread(str(tmp_path / kind / "overlay" / f"img_{number}.png")).astype(int) for kind in ("plain", "dots")
        )
        changed = np.abs(plain - dots).sum(2) > 0
        for box in page["boxes"]:
            assert "".join(one["text"] for one in box["characters"]) == box["text"]
            points = np.array(box["points"], np.float32)
            for one in box["characters"]:
                assert cv2.pointPolygonTest(points, (one["x"], one["y"]), False) >= 0
                assert changed[round(one["y"]), round(one["x"])]
                count += 1
        assert changed.any() == any(box["text"] for box in page["boxes"])
    assert count > 3


def test_recogniser_of_onnx_beside_a_checkpoint(
    tiny_detector: Path, tiny_onnx: Path, both: list, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, *both) == 0
    expected = [[box["text"] for box in page["boxes"]] for page in lines(capsys.readouterr().out)]
    assert predict(photos, "-m", tiny_onnx, "-m", tiny_detector) == 0
    out, err = capsys.readouterr()
    assert [[box["text"] for box in page["boxes"]] for page in lines(out)] == expected
    assert "(torch, onnx on cpu)" in err


def test_polygons_and_pages_of_an_lmdb(
    both: list, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import lmdb

    with lmdb.open(str(tmp_path / "pages"), map_size=1 << 24) as store, store.begin(write=True) as write:
        write.put(b"image-%09d" % 1, (photos / "img_0.png").read_bytes())
        write.put(b"label-%09d" % 1, b"x")
        write.put(b"num-samples", b"1")
    assert predict(tmp_path / "pages", *both, "--polygons") == 0
    (page,) = lines(capsys.readouterr().out)
    assert page["path"].endswith("pages/image-000000001") and all("text" in box for box in page["boxes"])
    assert predict(tmp_path / "pages", *both, "--format", "paddleocr-det", "-o", tmp_path / "out") == 2
    assert "requires image files, not an LMDB" in capsys.readouterr().err


def test_unreadable_pages_do_not_shift_the_texts(
    both: list, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes((photos / "img_0.png").read_bytes()[:60])
    given = [photos / "img_0.png", tmp_path / "cut.png", photos / "img_3.png", photos / "img_2.png"]
    assert predict(*given, *both, "--batch-size", 4) == 1
    out, err = capsys.readouterr()
    assert "cut.png" in err
    pages = lines(out)
    for page in pages:
        assert predict(page["path"], *both) == 0
        (alone,) = lines(capsys.readouterr().out)
        assert [box["text"] for box in alone["boxes"]] == [box["text"] for box in page["boxes"]]


def test_models_that_do_not_go_together_are_refused(
    both: list, photos: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector, recogniser = both[:2], both[2:]
    for models, message in (
        ([*recogniser, *recogniser], "each reads words"),
        ([*detector, *detector], "each finds text on pages"),
        ([*detector, *recogniser, *recogniser], "-m was given 3 times"),
    ):
        assert predict(photos, *models) == 2
        out, err = capsys.readouterr()
        assert message in err and out == ""
    assert predict(word_folder, *recogniser, "--polygons") == 2
    assert "--polygons requires a detector" in capsys.readouterr().err
    assert predict(photos, *both, "--format", "rec_gt") == 2
    assert "is for word images" in capsys.readouterr().err
    assert predict(photos, *both, "--format", "txt") == 2
    assert predict(photos, *both, "--decoding", "ar") == 2
    assert "crnn-tiny does not support decoding 'ar'" in capsys.readouterr().err
