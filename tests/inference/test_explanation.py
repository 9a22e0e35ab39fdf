"""The sheet of an explanation: a panel for each character, readable for narrow, wide, empty and Korean words."""

from __future__ import annotations

import numpy as np
import pytest

from ocrctl.data.images.draw_text import drawable
from ocrctl.inference.attended import Attention, Points
from ocrctl.inference.engine import Character, Recognition
from ocrctl.inference.writers.explanation import draw_points, explanation_sheet, heat


def read(text: str, columns: int = 5, **more: object) -> Recognition:
    """A text whose character i attends to column i."""
    cells = np.zeros((len(text), 1, columns), np.float32)
    for index in range(len(text)):
        cells[index, 0, index % columns] = 1.0
    attention = Attention(cells, (1 / columns, 1.0), "cross", **more)  # type: ignore[arg-type]
    return Recognition(text, 0.9, tuple(Character(char, 0.5, 0.5, 0.5) for char in text), attention)


def coloured(sheet: np.ndarray) -> np.ndarray:
    """Where the sheet is neither grey nor white: heat, or points."""
    return np.ptp(sheet.astype(int), axis=2) > 40


def test_each_character_has_its_panel_with_heat_at_its_column() -> None:
    image = np.full((40, 100, 3), 128, np.uint8)  # a panel of 240 x 96 pixels
    sheet = explanation_sheet(image, read("abcd"))
    hot = coloured(sheet)
    rows = np.flatnonzero(hot.any(1))
    assert 90 <= np.ptp(rows) <= 96  # one row of panels below that of the image
    for index in range(4):
        left = 10 + 250 * index
        columns = np.flatnonzero(hot[:, left : left + 240].any(0))
        middle = 240 / 5 * (index + 0.5)
        assert abs(columns.mean() - middle) < 26 and columns.max() - columns.min() <= 240 * 2 / 5


def test_panels_begin_a_new_row_where_the_sheet_ends() -> None:
    few, many = (explanation_sheet(np.full((40, 100, 3), 128, np.uint8), read("a" * count)) for count in (4, 5))
    assert few.shape[1] == many.shape[1] <= 1220 and many.shape[0] - few.shape[0] > 96
    assert 90 < np.flatnonzero(coloured(few).any(1)).size <= 96 < np.flatnonzero(coloured(many).any(1)).size


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (32, 4000), (4000, 32), (3, 2)])  # height, width
def test_images_of_any_size_have_a_sheet_of_bounded_width(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    sheet = explanation_sheet(image, read("abc"))
    assert sheet.dtype == np.uint8 and 40 < sheet.shape[1] <= 1220 and sheet.shape[0] < 700
    assert coloured(sheet[120:]).any()


def test_an_empty_text_and_odd_characters_are_drawn() -> None:
    image = np.full((40, 100, 3), 128, np.uint8)
    empty = explanation_sheet(image, Recognition("", 0.0, ()))
    assert not coloured(empty).any() and (empty < 100).any() and empty.shape[0] < 180
    assert drawable("한") and drawable("ü") and not drawable("\U0001f600")
    korean, odd = (explanation_sheet(image[:, :10], read(text)) for text in ("한국어", "\U0001f600\n "))
    assert (korean[-26:] < 100).any()
    assert odd.shape[1] > korean.shape[1]  # what cannot be drawn is written out


def test_the_steps_of_ctc_are_marked_below_the_image() -> None:
    steps = np.array([[0.0, 0.2], [0.4, 0.8]])
    sheet = explanation_sheet(np.full((40, 100, 3), 128, np.uint8), read("ab", steps=steps))
    dark = (sheet < 30).all(2)
    first, second = dark[:, 10:250], dark[:, 260:500]
    for panel, (left, right) in ((first, (0, 48)), (second, (96, 192))):
        (bar,) = {tuple(np.flatnonzero(row)[[0, -1]]) for row in panel if row.sum() == right - left}
        assert bar == (left, right - 1)


def test_a_turned_word_is_drawn_as_it_was_read() -> None:
    image = np.full((90, 30, 3), 200, np.uint8)
    image[:30] = (250, 0, 0)  # the top is red
    upright, left, right = (explanation_sheet(image, read("ab", turns=turns)) for turns in (0, 1, 3))
    red = [np.argwhere(sheet[:110].astype(int) @ (1, -1, -1) > 150) for sheet in (upright, left, right)]
    assert np.ptp(red[0][:, 1]) < 45 and np.ptp(red[1][:, 0]) > 90  # 32 of 40 pixels wide; the whole height
    assert red[1][:, 1].max() < 120 < 180 < red[2][:, 1].min()  # a quarter to the left brings the top to the left


def test_points_have_colours_by_head_and_rings_beyond_the_image() -> None:
    at = np.array([[[[0.25, 0.5]], [[0.75, 0.5]]]], np.float32)  # one character, two heads, one point each
    outside = np.array([[[False], [True]]])
    points = Points(at, np.ones((1, 2, 1), np.float32), outside)
    drawn = draw_points(np.full((100, 200, 3), 128, np.uint8), points, 0)
    assert drawn[50, 50].tolist() == [230, 25, 75] and drawn[50, 150].tolist() == [128, 128, 128]
    assert np.abs(drawn[50, 140:161].astype(int) - (0, 110, 255)).sum(1).min() < 60  # the ring around it


def test_heat_is_interpolated_between_the_centres_of_cells() -> None:
    cells = np.array([[[0.25, 0.75]]], np.float32)
    hot = heat(Attention(cells, (0.5, 1.0), "cross"), 0, (8, 2))
    np.testing.assert_allclose(hot[0] * 0.75, [0.25, 0.25, 0.3125, 0.4375, 0.5625, 0.6875, 0.75, 0.75], atol=0.01)
