"""Work ahead in threads: order, laziness, errors where they belong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ocrctl.inference.prefetch import batches, chunks, map_ahead


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_order_is_kept(jobs: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(map_ahead(work, range(40), jobs)) == [number * number for number in range(40)]


def test_reads_only_a_little_ahead() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ahead(lambda number: number, numbers(), jobs=2)
    next(results)
    assert len(taken) == 3


def test_an_error_comes_where_its_result_would_have_come() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    results = map_ahead(work, range(10), jobs=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_abandoned_work_is_cancelled() -> None:
    started: list[int] = []
    gate = threading.Event()

    def work(number: int) -> int:
        started.append(number)
        if number:
            gate.wait(5)
        return number

    results = map_ahead(work, range(50), jobs=1)
    next(results)
    results.close()  # type: ignore[attr-defined]
    gate.set()
    assert len(started) <= 2


def test_chunks() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_pause_hands_out_everything_before_it(jobs: int) -> None:
    events: list[object] = []

    def numbers() -> Iterator[int | None]:
        for number in (1, 2, 3, None, 4, None, None, 5):
            if number is None:
                yield None
                events.append("resumed")
            else:
                yield number

    assert list(batches(numbers(), 2)) == [[1, 2], [3], None, [4], None, None, [5]]
    events.clear()
    for result in map_ahead(sum, batches(numbers(), 2), jobs):
        events.append(result)
    assert events == [3, 3, "resumed", 4, "resumed", "resumed", 5]
