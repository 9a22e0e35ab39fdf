"""PAN targets: instances, kernels that stay apart, and odd input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrctl.models.pan.targets import pan_targets


def box(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def targets(*polygons: np.ndarray, ignore: tuple[int, ...] = (), height: int = 160, width: int = 320) -> dict:
    offsets = np.cumsum([0, *(len(polygon) for polygon in polygons)])
    points = np.concatenate([np.zeros((0, 2)), *polygons])
    return pan_targets(points, offsets, np.isin(np.arange(len(polygons)), ignore), height, width)


def test_a_text_and_its_kernel() -> None:
    found = targets(box(40, 40, 200, 40))
    assert [(name, found[name].dtype.name, found[name].shape) for name in found] == [
        ("instance", "int32", (40, 80)), ("kernel", "uint8", (40, 80)), ("mask", "uint8", (40, 80))]  # fmt: skip
    rows, columns = np.nonzero(found["instance"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 10, 60)
    # 50 x 10 cells: offset 500 * 0.75 / 120 = 3.1, and half a cell back
    rows, columns = np.nonzero(found["kernel"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (13, 17, 13, 57)


def test_ignored_texts_are_not_counted_and_not_judged() -> None:
    found = targets(box(40, 20, 80, 30), box(40, 60, 80, 30), box(40, 110, 80, 30), box(200, 20, 80, 2), ignore=(1,))
    assert set(np.unique(found["instance"])) == {0, 1, 2} and found["instance"][31, 20] == 2
    assert found["mask"][18, 20] == 0 and found["mask"][5, 60] == 0 and found["mask"][8, 20] == 1


def test_words_are_judged_to_their_ends_under_an_ignored_mark_between_them() -> None:
    found = targets(box(20, 40, 80, 24), box(96, 36, 20, 32), box(112, 40, 80, 24), ignore=(1,))
    word = found["instance"] > 0
    assert np.flatnonzero(~word[13, 5:49]).tolist() == [21, 22]  # from 100 to 112 the mark lies alone
    assert found["mask"][word].all() and not found["mask"][9:17, 26:28].any()
    assert found["kernel"][13, [15, 35]].all() and not found["kernel"][13, 24:30].any()


def test_kernels_of_neighbours_never_touch() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        boxes = [box(*generator.uniform(0, 150, 2), *generator.uniform(15, 90, 2)) for _ in range(12)]
        found = targets(*boxes, height=240, width=240)
        count, parts = cv2.connectedComponents(found["kernel"], connectivity=8)
        assert all(len(np.unique(found["instance"][parts == part])) == 1 for part in range(1, count))
        assert (found["instance"][found["kernel"] > 0] > 0).all()


def test_a_small_text_on_a_large_one_keeps_its_place() -> None:
    found = targets(box(100, 60, 60, 30), box(10, 10, 300, 140))
    assert found["instance"][18, 32] == 1 and found["instance"][18, 10] == 2 and found["kernel"][18, 32]


def test_a_low_text_still_has_a_kernel() -> None:
    assert targets(box(41, 41, 100, 4))["kernel"].any()


def test_odd_images() -> None:
    nothing = targets()
    assert not nothing["instance"].any() and nothing["mask"].all()
    assert targets(box(-9, -9, 30, 30), height=1, width=1)["instance"].tolist() == [[1]]
    strip = targets(box(0, 0, 20000, 200), height=200, width=20000)
    assert strip["instance"].all() and strip["kernel"].any()
    x, y = np.meshgrid(np.arange(60) * 20.0, np.arange(50) * 12.0)
    many = targets(*(box(a, b, 16, 8) for a, b in zip(x.ravel(), y.ravel(), strict=True)), height=600, width=1200)
    assert many["instance"].max() == 3000 and cv2.connectedComponents(many["kernel"], connectivity=8)[0] == 3001
    with pytest.raises(ValueError, match="not finite"):
        targets(np.array([[0, 0], [np.inf, 0], [3, 3]]))
    assert not targets(np.array([[0, 0], [50, 0], [90, 0]]))["instance"].any()
