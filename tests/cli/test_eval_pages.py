"""`ocrctl eval` with detectors: counts at the card's thresholds, the search beside them, gates, reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run


@pytest.fixture(scope="module")
def hard_folder(page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, and one with a pale bar that scores less, a grey one that is missed, and a red one without a label."""
    folder = tmp_path_factory.mktemp("hard")
    shutil.copytree(page_folder, folder, dirs_exist_ok=True)
    image = np.full((120, 160, 3), 220, np.uint8)
    image[20:48, 20:100] = (120, 120, 220)
    image[60:80, 20:100] = (120, 120, 120)
    image[88:112, 20:100] = (20, 20, 220)
    cv2.imwrite(str(folder / "img_4.png"), image)
    (folder / "gt_img_4.txt").write_text(
        "20,20,100,20,100,48,20,48,pale\n20,60,100,60,100,80,20,80,grey\n", encoding="utf-8"
    )
    return folder


def evaluate(*arguments: object) -> int:
    return run(["eval", *map(str, arguments), "--device", "cpu"])


def test_a_detector_is_scored_by_hmean_unless_told_otherwise(
    tiny_detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_detector, "-d", page_folder, "--json", "--fail-under", "hmean=0.99") == 0
    result = json.loads(capsys.readouterr().out)
    (row,) = result["results"]
    assert row["protocol"] == "hmean" and row["total"]["matched"] == 6 and row["total"]["hmean"] == 1.0
    assert [one["image"] for one in row["by_image"]] == [f"img_{i}.png" for i in range(4)]
    assert row["thresholds"]["box_threshold"] == 0.6 and row["by_size"] and not row["threshold_search"]
    assert result["models"][0]["arch"] == "dbnet" and result["datasets"][0]["samples"] == 4


def test_it_counts_as_eval_of_the_result_files_does(
    tiny_detector: Path, hard_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["predict", str(hard_folder), "-m", str(tiny_detector), "--format", "txt", "-o", str(tmp_path)])
    capsys.readouterr()
    for protocol in ("hmean", "cleval"):
        assert evaluate(tiny_detector, "-d", hard_folder, "--protocol", protocol, "--json") == 0
        (own,) = json.loads(capsys.readouterr().out)["results"]
        files = ["--gt", str(hard_folder), "--pred", str(tmp_path / "txt"), "--scores", "--protocol", protocol]
        assert run(["eval", *files, "--json"]) == 0
        other = json.loads(capsys.readouterr().out)
        assert own["total"] == other["total"] and own["by_size"] == other["by_size"]


def test_the_search_looks_below_the_threshold_and_the_number_stays_fixed(
    tiny_detector: Path, hard_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_detector, "-d", hard_folder, "--json") == 0
    (fixed,) = json.loads(capsys.readouterr().out)["results"]
    assert evaluate(tiny_detector, "-d", hard_folder, "--json", "--find-threshold") == 0
    (searched,) = json.loads(capsys.readouterr().out)["results"]
    for name in ("truths", "detections", "matched", "hmean"):
        assert searched["total"][name] == fixed["total"][name]
    assert searched["threshold"] == 0.6 and len(searched["threshold_search"]) == 19
    best = searched["threshold_search"][0]
    assert best["threshold"] < 0.6 and best["hmean"] > searched["total"]["hmean"]  # the pale bar scores 0.57


def test_gates_tables_and_reports(
    tiny_detector: Path, hard_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    given = [tiny_detector, "-d", hard_folder, "--protocol", "hmean", "--protocol", "cleval", "--report", report]
    assert evaluate(*given, "--fail-under", "recall=0.99", "--fail-under", "cleval.det.hmean=10%") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith(f"{tiny_detector} on") and "hmean\tboxes\t5\t75.00" in out
    assert f"failed: {tiny_detector}: hmean recall is" in err and "cleval" not in err.split("failed:")[1]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["report-finder-cleval.html", "report-finder-hmean.html"]
    page = (tmp_path / names[1]).read_text("utf-8")
    assert "img_4.png" in page and 'class="missed"' in page and 'class="false"' in page
    assert "Thresholds of the model: box_threshold 0.6" in page and "data:image/jpeg" in page


def test_several_models_and_sets_share_one_run(
    tiny_detector: Path, page_folder: Path, hard_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(tiny_detector, tmp_path / "other.ckpt")
    given = [tiny_detector, tmp_path / "other.ckpt", "-d", page_folder, "-d", hard_folder, "--limit", "2"]
    assert evaluate(*given, "--batch-size", "3", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [(row["model"], row["images"]) for row in rows] == [(m, n) for n in (2, 2, 4) for m in map(str, given[:2])]
    assert rows[0]["total"] == rows[1]["total"] and rows[-1]["dataset"] == "all"


def test_synthetic_pages_are_a_set(tiny_detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tiny_detector, "-d", "synth:pages", "--limit", "2", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert [one["image"] for one in row["by_image"]] == ["synth:pages 0", "synth:pages 1"]


def test_unreadable_pages_are_listed_and_in_no_number(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(page_folder, tmp_path / "cut")
    file = tmp_path / "cut" / "img_1.png"
    file.write_bytes(file.read_bytes()[:70])
    assert evaluate(tiny_detector, "-d", tmp_path / "cut", "--json") == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["results"][0]["total"]["truths"] == 4 and len(result["unreadable"]) == 1
    assert "img_1.png" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "exact"], "holds pages with polygons, expected word images"),
        (["--protocol", "hmean", "--protocol", "exact"], "no protocol 'exact' for pages"),
        (["--fail-under", "str36=1"], "no metric 'str36' under hmean"),
        (["--decoding", "ar"], "--decoding requires a recogniser"),
        (["--e2e"], "requires --gt and --pred"),
    ],
)
def test_what_does_not_fit_is_refused(
    tiny_detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert evaluate(tiny_detector, "-d", f"icdar15:{page_folder}", *arguments) == 2
    assert message in capsys.readouterr().err


def test_recognisers_and_words_are_told_apart_from_detectors_and_pages(
    tiny_detector: Path, tiny_checkpoint: Path, page_folder: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_checkpoint, "-d", page_folder, "--protocol", "hmean") == 2
    assert "crnn-tiny is a recogniser; hmean scores detectors" in capsys.readouterr().err
    assert evaluate(tiny_detector, "-d", word_folder) == 2
    assert "expected pages with polygons" in capsys.readouterr().err
    assert evaluate(tiny_checkpoint, "-d", word_folder, "--find-threshold") == 2
    assert evaluate(tiny_detector, "-d", "synth:words") == 2
    assert "expected pages" in capsys.readouterr().err
