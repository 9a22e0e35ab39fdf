"""Outlines and overlaps that no annotator draws: a limit ends what would take minutes and gigabytes."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ocrctl.data.formats import cleval_zip
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.fixes import MOST_CROSSINGS, MOST_POINTS, repair
from ocrctl.data.polygons.pair_rules import check_pairs


@pytest.mark.parametrize("count", [300, MOST_POINTS, 20_000])
def test_points_at_random_are_given_up_at_once(count: int) -> None:
    points = np.random.default_rng(1).uniform(0, 1000, (count, 2))
    start = time.process_time()
    assert len(repair(points)) == 0
    assert time.process_time() - start < 5


def test_an_outline_at_the_limit_of_crossings_is_repaired() -> None:
    """A ring with narrow loops on its rim: each crosses itself once."""
    assert len(repair(ring_with_loops(MOST_CROSSINGS))) > 100
    assert len(repair(ring_with_loops(MOST_CROSSINGS + 1))) == 0


def ring_with_loops(loops: int) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 4 * loops, endpoint=False)
    radius, turn = np.full(4 * loops, 400.0), angles.copy()
    radius[1::4] = radius[2::4] = 404  # out, and back crosswise
    turn[1::4], turn[2::4] = angles[2::4], angles[1::4]
    return np.column_stack((500 + radius * np.cos(turn), 500 + radius * np.sin(turn)))


def test_a_long_outline_without_crossings_is_turned() -> None:
    angles = np.linspace(0, 2 * np.pi, 3 * MOST_POINTS, endpoint=False)
    ring = np.column_stack((500 + 400 * np.cos(angles), 500 - 300 * np.sin(angles)))
    turned = repair(ring)
    assert len(turned) == len(ring) and np.array_equal(np.sort(turned, axis=0), np.sort(ring, axis=0))
    assert np.array_equal(repair(turned), turned)


def test_quads_that_all_overlap_are_compared_in_seconds() -> None:
    rng = np.random.default_rng(2)
    quads = np.array(((0, 0), (400, 0), (400, 300), (0, 300))) + rng.uniform(0, 60, (3000, 1, 2))
    findings = Findings()
    start = time.process_time()
    check_pairs(findings, quads.reshape(-1, 2), np.arange(0, 12_001, 4), np.zeros(3000, np.int32), ["a"] * 3000)
    assert time.process_time() - start < 8
    assert len(findings.of("overlap")) > 2900  # each is still named


def test_a_long_zip_is_told_from_some_of_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleval_zip, "_SAMPLED_LINES", 100)
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        for number in range(3):
            lines = [f"{x},10,{x + 50},10,{x + 60},30,{x + 50},40,{x},40,word {x}\r\n" for x in range(400)]
            archive.writestr(f"gt_{number}.txt", "\ufeff" + "".join(lines))
    data = open_annotations(str(tmp_path))
    assert len(data) == 1200 and np.diff(data.offsets).tolist() == [5] * 1200
    assert data.texts[1199] == "word 399" and data.lines[401] == 2
