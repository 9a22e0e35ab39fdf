"""`ocrctl eval --gt --pred`: result files of several kinds, what they share, and what is wrong with them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run

WORDS = {
    "img_1": [(0, 0, 40, 10, "word"), (50, 0, 80, 10, "two"), (0, 50, 90, 80, "###")],
    "img_2": [(10, 10, 60, 30, "split")],
    "img_3": [],
}


def quad(left: int, top: int, right: int, bottom: int) -> str:
    return f"{left},{top},{right},{top},{right},{bottom},{left},{bottom}"


def folder(place: Path, prefix: str, pictures: dict[str, list[str]]) -> Path:
    place.mkdir()
    for name, lines in pictures.items():
        (place / f"{prefix}{name}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return place


def archive(place: Path, prefix: str, pictures: dict[str, list[str]]) -> Path:
    with zipfile.ZipFile(place, "w") as packed:
        for name, lines in pictures.items():
            packed.writestr(f"{prefix}{name}.txt", "\r\n".join(lines))
    return place


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    lines = {name: [f"{quad(*word[:4])},{word[4]}" for word in words] for name, words in WORDS.items()}
    return folder(tmp_path / "truth", "gt_", lines)


FOUND = {
    "img_1": [(1, 0, 40, 10, "word", 0.9), (300, 0, 340, 10, "no", 0.4), (10, 50, 90, 80, "any", 0.8)],
    "img_2": [(10, 10, 60, 30, "split", 0.5)],
}


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any], str]:
    code = run(["eval", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


KINDS = {
    "folder of quads": lambda path: folder(path, "res_", _lines(lambda b: quad(*b[:4]))),
    "zip of quads": lambda path: archive(path.with_suffix(".zip"), "res_", _lines(lambda b: quad(*b[:4]))),
    "zip with texts": lambda path: archive(path.with_suffix(".zip"), "", _lines(lambda b: f"{quad(*b[:4])},{b[4]}")),
    "zip of boxes": lambda path: archive(path.with_suffix(".zip"), "res_", _lines(lambda b: ",".join(map(str, b[:4])))),
    "folder of polygons": lambda path: folder(
        path, "res_", _lines(lambda b: quad(*b[:4]).replace(f",{b[2]},{b[1]},", f",{b[2] - 9},{b[1]},{b[2]},{b[1]},"))
    ),
    "PaddleOCR": lambda path: _paddle(path),
}


def _lines(write: Any) -> dict[str, list[str]]:
    return {name: [write(box) for box in boxes] for name, boxes in FOUND.items()}


def _paddle(path: Path) -> Path:
    path.mkdir()
    lines = []
    for name, boxes in FOUND.items():
        items = [
            {"transcription": b[4], "points": [[b[0], b[1]], [b[2], b[1]], [b[2], b[3]], [b[0], b[3]]], "score": b[5]}
            for b in boxes
        ]
        lines.append(f"pictures/{name}.png\t{json.dumps(items)}\n")
    (path / "Label.txt").write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_result_counts_the_same(
    kind: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data, err = evaluate(capsys, "--gt", truth, "--pred", KINDS[kind](tmp_path / "found"))
    assert code == 0, err
    total = data["total"]
    assert (total["truths"], total["detections"], total["matched"]) == (3, 3, 2)
    assert (total["missed"], total["false"], total["merged"], total["left_out"]) == (1, 1, 0, 1)
    assert total["recall"] == total["precision"] == total["hmean"] == pytest.approx(2 / 3)
    assert [row["image"] for row in data["by_image"]] == ["img_1.jpg", "img_2.jpg", "img_3.jpg"]
    assert [row["picture"] for row in data["by_picture"]] == ["img_1.jpg", "img_2.jpg", "img_3.jpg"]  # name of 0.1.0
    assert data["by_image"][2]["hmean"] == 1  # nothing there, nothing found
    assert sum(row["truths"] for row in data["by_size"]) == 3
    assert data["without_prediction"] == ["img_3.jpg"] and data["without_truth"] == []
    assert "1 not in" in err and "img_3.jpg" in err


def test_cleval(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = KINDS["zip with texts"](tmp_path / "found")
    code, data, _ = evaluate(capsys, "--gt", truth, "--pred", found, "--protocol", "cleval", "--e2e")
    assert code == 0
    det, e2e = data["total"]["det"], data["total"]["e2e"]
    assert (det["num_char_gt"], det["num_char_det"], det["num_char_tp_recall"], det["num_char_fp"]) == (12, 10, 9, 1)
    assert (e2e["num_char_gt"], e2e["num_char_det"], e2e["num_char_tp_recall"], e2e["num_char_fp"]) == (12, 11, 9, 2)
    assert det["recall"] == 0.75 and det["precision"] == 0.9
    code, data, _ = evaluate(capsys, "--gt", truth, "--pred", truth, "--protocol", "cleval")
    assert data["total"]["e2e"] is None and data["total"]["det"]["hmean"] == 1


def test_hmean_of_reading(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = {"img_1": [f"{quad(0, 0, 40, 10)},WORD", f"{quad(50, 0, 80, 10)},too"], "img_2": []}
    found = folder(tmp_path / "found", "res_", lines)
    report = tmp_path / "report.html"
    arguments = ("--gt", truth, "--pred", found, "--e2e", "--fail-under", "e2e.hmean=0.5", "--report", report)
    code, data, err = evaluate(capsys, *arguments)
    assert code == 1 and "e2e.hmean is 0.4000" in err and "end to end" in report.read_text(encoding="utf-8")
    assert data["total"]["matched"] == 2 and data["total"]["e2e"]["matched"] == 1
    assert data["by_image"][0]["e2e"]["precision"] == 0.5
    assert sum(row["e2e"]["matched"] for row in data["by_size"]) == 1
    assert run(["eval", "--gt", str(truth), "--pred", str(found), "--e2e"]) == 0
    assert "hmean\te2e\t3\t33.33\t50.00\t40.00" in capsys.readouterr().out


def test_scores_and_thresholds(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = {name: [f"{quad(*b[:4])},{b[5]},{b[4]}" for b in boxes] for name, boxes in FOUND.items()}
    found = archive(tmp_path / "found.zip", "res_", lines)
    base = ("--gt", truth, "--pred", found, "--scores")
    code, data, _ = evaluate(capsys, *base, "--find-threshold")
    assert code == 0 and data["total"]["detections"] == 3 and data["threshold"] is None  # still all of them
    best = data["threshold_search"][0]
    assert best["threshold"] == 0.45 and best["precision"] == 1 and best["recall"] == pytest.approx(2 / 3)
    code, data, _ = evaluate(capsys, *base, "--threshold", "0.45")
    assert data["total"]["detections"] == 2 and data["total"]["precision"] == 1
    code, data, _ = evaluate(capsys, *base, "--threshold", "0.6", "--protocol", "cleval", "--e2e")
    assert data["total"]["det"]["num_char_fp"] == 0 and data["total"]["e2e"]["num_char_tp_recall"] == 4
    code, data, _ = evaluate(capsys, "--gt", truth, "--pred", KINDS["PaddleOCR"](tmp_path / "p"), "--threshold", "0.6")
    assert code == 0 and data["total"]["matched"] == 1
    code, _, err = evaluate(capsys, "--gt", truth, "--pred", truth, "--threshold", "0.6")
    assert code == 2 and "contains no scores" in err and "--scores" in err


def test_gates(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = KINDS["zip of quads"](tmp_path / "found")
    code, data, err = evaluate(capsys, "--gt", truth, "--pred", found, "--fail-under", "hmean=80%")
    assert code == 1 and "hmean is 0.6667, at least 0.8000" in err and len(data["missed"]) == 1
    assert evaluate(capsys, "--gt", truth, "--pred", found, "--fail-under", "recall=0.6")[0] == 0
    code, _, err = evaluate(capsys, "--gt", truth, "--pred", found, "--fail-under", "hmeen=0.6")
    assert code == 2 and "Did you mean" in err


def test_images_on_one_side_only(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder(tmp_path / "found", "res_", {"img_1": [quad(0, 0, 40, 10)], "img_9": [quad(0, 0, 9, 9)]})
    code, data, err = evaluate(capsys, "--gt", truth, "--pred", found)
    assert code == 1 and data["without_truth"] == ["img_9.jpg"] and data["total"]["detections"] == 1
    assert "img_9.jpg" in err and data["without_prediction"] == ["img_2.jpg", "img_3.jpg"]
    other = folder(tmp_path / "other", "res_", {"page_1": [quad(0, 0, 40, 10)]})
    code, _, err = evaluate(capsys, "--gt", truth, "--pred", other)
    assert code == 3 and "no image of it is in" in err


def test_nothing_found_anywhere(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for found in (
        folder(tmp_path / "found", "res_", {"img_1": [], "img_2": []}),
        archive(tmp_path / "found.zip", "res_", {"img_1": [], "img_2": []}),
    ):
        code, data, err = evaluate(capsys, "--gt", truth, "--pred", found)
        assert code == 0, err
        assert data["total"]["hmean"] == 0 and data["total"]["missed"] == 3


def test_bad_lines_are_named(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = folder(tmp_path / "found", "res_", {"img_1": [quad(0, 0, 40, 10)] * 20 + ["1,2,3,4,5,x"]})
    code, _, err = evaluate(capsys, "--gt", truth, "--pred", found)
    assert code == 3 and "res_img_1.txt:21: expected 8 coordinates" in err
    code, _, err = evaluate(capsys, "--gt", truth, "--pred", tmp_path / "nowhere")
    assert code == 3 and "nowhere" in err


def test_usage(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["--gt", truth], "require each other"),
        (["--gt", truth, "--pred", truth, "model.ckpt"], "MODEL cannot be combined with --gt and --pred"),
        (["--gt", truth, "--pred", truth, "--protocol", "hmaen"], "Did you mean 'hmean'"),
        (["model.ckpt", "-d", truth, "--e2e"], "--e2e requires"),
        ([], "no model given"),
        (["model.ckpt"], "no data given"),
    ):
        code, _, err = evaluate(capsys, *arguments)
        assert code == 2 and said in err, err


def test_report_draws_errors(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "img_1.jpg"), np.full((120, 400, 3), 200, np.uint8))
    found = folder(tmp_path / "found", "res_", {"img_1": [quad(0, 0, 80, 10), quad(300, 0, 340, 10)], "img_2": []})
    report = tmp_path / "report.html"
    assert run(["eval", "--gt", str(truth), "--pred", str(found), "--report", str(report)]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("protocol\tof\timages\t") and "\nhmean\tboxes\t3\t" in out
    page = report.read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page and "http" not in page.replace("http://www.w3.org", "")
    for kind, count in (("missed", 3), ("merged", 1), ("false", 1), ("ignored", 1)):
        assert page.count(f'<polygon class="{kind}"') == count, kind
    run(["eval", "--gt", str(truth), "--pred", str(found), "--protocol", "cleval", "--report", str(report)])
    assert '<polygon class="merged"' in report.read_text(encoding="utf-8")


def test_detections_that_cross_themselves_are_dropped_and_named(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bow = "0,0,40,10,40,0,0,10"
    found = folder(tmp_path / "found", "res_", {"img_1": [quad(0, 0, 40, 10), bow], "img_2": [bow]})
    code, out, err = evaluate(capsys, "--gt", truth, "--pred", found)
    assert code == 0 and out["total"]["detections"] == 1 and out["total"]["precision"] == 1
    assert out["total"]["dropped_detections"] == 2 and out["total"]["dropped_truths"] == 0
    assert out["dropped"] == ["img_1.jpg", "img_2.jpg"]
    assert run(["eval", "--gt", str(truth), "--pred", str(found)]) == 0
    err = capsys.readouterr().err
    assert (
        "2 detections cross themselves and are dropped, as in the ICDAR evaluation script: img_1.jpg, img_2.jpg" in err
    )


@pytest.mark.parametrize("protocol", ["hmean", "cleval"])
def test_inverted_boxes_are_refused_on_either_side(
    protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = folder(tmp_path / "gt", "gt_", {"img_1": ['0, 0, 40, 10, "word"']})
    bad = folder(tmp_path / "found", "res_", {"img_1": ["0,0,40,10", "40,20,0,30"]})
    code, _, err = evaluate(capsys, "--gt", good, "--pred", bad, "--protocol", protocol)
    assert code == 3 and "res_img_1.txt:2: expected left, top, right, bottom" in err and "40,20,0,30" in err
    bad = folder(tmp_path / "inverted", "gt_", {"img_1": ['0, 0, 40, 10, "word"', '0, 30, 40, 20, "low"']})
    found = folder(tmp_path / "fine", "res_", {"img_1": ["0,0,40,10"]})
    code, _, err = evaluate(capsys, "--gt", f"icdar13:{bad}", "--pred", found, "--protocol", protocol)
    assert code == 3 and "gt_img_1.txt:2" in err and "found 0,30,40,20" in err
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.write(bad / "gt_img_1.txt", "gt_img_1.txt")
    code, _, err = evaluate(capsys, "--gt", tmp_path / "gt.zip", "--pred", found, "--protocol", protocol)
    assert code == 3 and "found 0,30,40,20" in err and "gt.zip" in err


def test_a_quad_that_starts_at_its_lower_right_corner_is_no_inverted_box(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("gt_img_1.txt", "40,10,0,10,0,0,40,0,upside down\n")
    found = folder(tmp_path / "fine", "res_", {"img_1": ["0,0,40,0,40,10,0,10"]})
    code, out, err = evaluate(capsys, "--gt", tmp_path / "gt.zip", "--pred", found)
    assert code == 0 and out["total"]["hmean"] == 1, err
