"""Take batches from a loader before they are trained on, so that a failure is known before the step that needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ocrctl.errors import OcrctlError


class LookAhead:
    """Batches of an endless loader, `depth` of them taken ahead. The first that is an error, or cannot be loaded, is
    given to `failed` when it is taken, and nothing is taken after it.

    One process of several must not find out in a step that it has no batch: the others would wait for its gradients.
    """

    def __init__(self, batches: Iterator[Any], depth: int, failed: Callable[[BaseException], None]) -> None:
        self._batches, self._depth, self._failed = batches, depth, failed
        self._taken: deque[Any] = deque()
        self._ended = False

    def fill(self) -> None:
        """Take batches until `depth` of them are ahead."""
        while len(self._taken) < self._depth and not self._ended:
            try:
                batch = next(self._batches)
            except Exception as error:
                self._end(error)
                return
            if isinstance(batch, OcrctlError):
                self._end(batch)
                return
            self._taken.append(batch)

    def _end(self, error: BaseException) -> None:
        self._ended = True
        self._failed(error)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.fill()
        if not self._taken:
            raise StopIteration
        batch = self._taken.popleft()
        self.fill()
        return batch
