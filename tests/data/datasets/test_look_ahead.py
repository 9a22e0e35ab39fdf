"""Batches taken ahead: in order, and a failure is known before its step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ocrctl.data.datasets.look_ahead import LookAhead
from ocrctl.errors import InputError


def numbers(fails_at: int, how: Exception) -> Iterator[Any]:
    yield from range(fails_at)
    if isinstance(how, InputError):
        yield how  # as a loader hands over an image that cannot be read
    raise how


@pytest.mark.parametrize("how", [InputError("a.png: cannot be decoded"), RuntimeError("a worker was killed")])
def test_a_failure_is_known_two_batches_before_it(how: Exception) -> None:
    failed: list[BaseException] = []
    ahead = LookAhead(numbers(5, how), 2, failed.append)
    seen = []
    for batch in ahead:
        seen.append(batch)
        assert failed == ([how] if batch >= 3 else [])
    assert seen == [0, 1, 2, 3, 4] and failed == [how]


def test_a_failure_of_the_first_batch_is_known_before_any() -> None:
    failed: list[BaseException] = []
    ahead = LookAhead(numbers(0, RuntimeError("no")), 2, failed.append)
    ahead.fill()
    assert [str(error) for error in failed] == ["no"] and list(ahead) == []
