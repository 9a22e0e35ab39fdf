"""What validate says of polygons a detector cannot learn, and that the targets indeed fail there."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.core.dataset.validate import ValidateOptions, validate
from ocrctl.errors import UsageError
from ocrctl.models.dbnet.postprocess import db_boxes
from ocrctl.models.dbnet.targets import db_targets


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def judged(folder: Path, model: str, pages: list[tuple[tuple[int, int], list[list[list[float]]]]]) -> dict:
    lines = []
    for number, ((height, width), boxes) in enumerate(pages):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((height, width, 3), number + 1, np.uint8))
        words = [{"transcription": "word", "points": points} for points in boxes]
        lines.append(f"{number}.png\t{json.dumps(words)}\n")
    (folder / "Label.txt").write_text("".join(lines), encoding="utf-8")
    report, _, findings = validate(ValidateOptions(str(folder), model=model))
    assert report.instances == sum(len(boxes) for _, boxes in pages)
    return {name: findings.of(name).tolist() for name in ("below-stride", "kernel-vanishes", "kernels-merge")}


def test_a_text_is_measured_at_the_training_size(tmp_path: Path) -> None:
    small, large = box(20, 20, 100, 7), box(20, 60, 200, 60)
    assert judged(tmp_path, "dbnet", [((640, 640), [small, large])])["below-stride"] == []
    found = judged(tmp_path, "dbnet", [((640, 640), [large]), ((1280, 1280), [small, large])])
    assert found == {"below-stride": [1], "kernel-vanishes": [1], "kernels-merge": []}


def test_kernels_of_pan_vanish_where_those_of_db_stay(tmp_path: Path) -> None:
    pages = [((640, 640), [box(20, 20, 100, 16)])]
    assert judged(tmp_path, "pan", pages)["kernel-vanishes"] == []
    pages = [((640, 640), [box(20, 20, 100, 10)])]
    assert judged(tmp_path, "pan", pages)["kernel-vanishes"] == [0]
    assert judged(tmp_path, "dbnet", pages)["kernel-vanishes"] == []
    assert judged(tmp_path, "craft", pages) == {"below-stride": [], "kernel-vanishes": [], "kernels-merge": []}


def test_kernels_merge_only_within_an_image_and_the_targets_show_it(tmp_path: Path) -> None:
    one, two, near = box(100, 100, 200, 60), box(100, 121, 200, 60), box(100, 230, 200, 60)
    found = judged(tmp_path, "dbnet", [((640, 640), [one, two, near]), ((640, 640), [two])])
    assert found["kernels-merge"] == [1]
    points = np.array([one, two, near]).reshape(-1, 2)
    kernels = db_targets(points, np.arange(4) * 4, np.zeros(3, bool), 640, 640)["shrink"].astype(np.float32)
    assert len(db_boxes(kernels)) == 2


def test_a_profile_gives_the_training_size(tmp_path: Path) -> None:
    profile = tmp_path / "large.toml"
    profile.write_text("[page]\nheight = 1280\nwidth = 1280\n", encoding="utf-8")
    judged(tmp_path, "dbnet", [((1280, 1280), [box(20, 20, 100, 7)])])
    counts = [
        len(validate(ValidateOptions(str(tmp_path), model="dbnet", profiles=profiles))[2].of("below-stride"))
        for profiles in ([], [str(profile)])
    ]
    assert counts == [1, 0]


def test_a_detector_takes_no_charset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dbnet is a detector and has no charset"):
        validate(ValidateOptions(str(tmp_path), model="dbnet", charset="ascii94"))
