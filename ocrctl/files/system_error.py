"""What the system answered below an exception of a library."""

from __future__ import annotations


def system_error(error: BaseException) -> OSError | None:
    """The OSError that `error` is, or that it was raised from or after; None without one.

    PyTorch's zip writer turns a failed write into a RuntimeError that names a line of its own source alone.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, OSError):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None
