"""Stride patterns: text, totals, and grids that are too coarse for labels or script."""

from __future__ import annotations

import pytest

from ocrctl.config.feature_grid import check_script, default_strides, format_strides, parse_strides, total_stride
from ocrctl.errors import UsageError
from ocrctl.models.registry import get_spec


def test_a_pattern_is_read_as_it_is_written() -> None:
    strides = parse_strides("2x2, 2x2,2x1,1x1,1x2", 5, "a")
    assert strides == ((2, 2), (2, 2), (2, 1), (1, 1), (1, 2)) and total_stride(strides) == (8, 8)
    assert parse_strides(format_strides(strides), 5, "a") == strides
    assert format_strides(default_strides(5, 32, 4)) == "2x2,2x2,2x1,2x1,2x1"
    assert format_strides(default_strides(4, 4, 8)) == "2x2,2x2,1x2,1x1"


@pytest.mark.parametrize("text", ["", "2x2", "2x2,2x2,2x2,2x2,3x1", "2x2,2x2,2x2,2x2,2", "2x2,2x2,2x2,2x2,2x2,2x2"])
def test_what_is_no_pattern_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="crnn-tiny requires 5 strides of 1 or 2") as error:
        get_spec("crnn-tiny", strides=text)
    assert "2x2,2x2,2x1,2x1,2x1" in (error.value.hint or "")


def test_a_grid_too_coarse_for_the_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="a grid of 1 x 12 cells, too coarse for labels of 25 characters"):
        get_spec("crnn-tiny", strides="2x2,2x2,2x2,2x1,2x1")
    with pytest.raises(UsageError, match="divide the 32 rows of crnn by 64, which leaves none"):
        get_spec("crnn", strides="2x2,2x2,2x1,2x1,2x1,2x1")
    with pytest.raises(UsageError, match="strides of parseq-tiny cannot be set"):
        get_spec("parseq-tiny", strides="2x2")
    with pytest.raises(UsageError, match="strides of dbnet cannot be set"):
        get_spec("dbnet", strides="2x2")
    with pytest.raises(UsageError, match="crnn-vgg has its own backbone"):
        get_spec("crnn-vgg", backbone="resnet18")
    with pytest.raises(UsageError, match="crnn-tiny supports own, resnet18.*, not vgg16bn"):
        get_spec("crnn-tiny", backbone="vgg16bn")
    with pytest.raises(UsageError, match="supports only stretch"):
        get_spec("crnn-tiny", resize="keep", backbone="resnet18")


def test_columns_wider_than_the_characters_of_the_script_are_refused() -> None:
    check_script("a", 8, 32, "abc가")
    check_script("a", 16, 32, "가나다漢カ")
    with pytest.raises(UsageError, match="16 pixels wide; in images 32 pixels high, characters as narrow as 'a'"):
        check_script("a", 16, 32, "가나a")
    with pytest.raises(UsageError, match="full-width characters require at most 16"):
        check_script("a", 32, 32, "가나다")
