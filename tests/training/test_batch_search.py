"""The largest batch that fits, by doubling, halving and bisection."""

from __future__ import annotations

import pytest

from ocrctl.training.batch_search import LARGEST, Found, search_batch


@pytest.mark.parametrize("start", [1, 7, 64, 3000])
@pytest.mark.parametrize("limit", [1, 2, 13, 100, 1000, LARGEST, LARGEST * 2])
def test_the_search_ends_within_a_sixteenth_of_the_largest(start: int, limit: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    found = search_batch(start, fits)
    assert found.size <= min(limit, LARGEST) and len(set(tried)) == len(tried) <= 24
    if limit >= LARGEST:
        assert found == Found(LARGEST, None)
    else:
        assert found.beyond is not None and found.beyond > limit >= found.size
        assert found.beyond - found.size <= max(1, found.size // 16)


def test_nothing_fits() -> None:
    assert search_batch(64, lambda size: False) == Found(0, 1)


def test_no_size_beyond_the_given_maximum_is_tried() -> None:
    tried: list[int] = []
    assert search_batch(40, lambda size: not tried.append(size), 100) == Found(100, None)  # append returns None
    assert tried == [40, 80, 100]
