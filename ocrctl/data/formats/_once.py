"""What is looked at only once while a data set is told and read: every format asks about the same folders and files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Place = TypeVar("Place", bound=Hashable)
Seen = TypeVar("Seen")

_seen: ContextVar[dict[Any, Any] | None] = ContextVar("_seen", default=None)


@contextmanager
def listed_once() -> Iterator[None]:
    """Within, and within what that calls, `once` keeps what it was told; outside, it asks each time."""
    known = _seen.get()
    token = _seen.set({} if known is None else known)
    try:
        yield
    finally:
        _seen.reset(token)


def once(look: Callable[[Place], Seen], place: Place, most: int | None = None) -> Seen:
    """`look(place)`, looked at once within `listed_once`. Not kept: what it raises, and more than `most` places."""
    known = _seen.get()
    if known is None:
        return look(place)
    places: dict[Place, Seen] = known.setdefault(look, {})
    if place not in places:
        found = look(place)
        if most is not None and len(places) >= most:
            return found
        places[place] = found
    return places[place]
