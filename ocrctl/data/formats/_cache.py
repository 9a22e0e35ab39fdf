"""Cache of file-system lookups while a format is detected: all formats read the same folders and files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_cache: ContextVar[dict[Any, Any] | None] = ContextVar("_cache", default=None)


@contextmanager
def cached_lookups() -> Iterator[None]:
    """Keep the results of `cached` within the block and everything it calls; outside, nothing is kept."""
    known = _cache.get()
    token = _cache.set({} if known is None else known)
    try:
        yield
    finally:
        _cache.reset(token)


def cached(lookup: Callable[[Key], Value], key: Key, most: int | None = None) -> Value:
    """Return `lookup(key)`, computed once within `cached_lookups`; exceptions and keys beyond `most` are not kept."""
    known = _cache.get()
    if known is None:
        return lookup(key)
    values: dict[Key, Value] = known.setdefault(lookup, {})
    if key not in values:
        found = lookup(key)
        if most is not None and len(values) >= most:
            return found
        values[key] = found
    return values[key]
