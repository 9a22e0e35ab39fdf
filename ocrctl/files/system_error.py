"""Find the OSError behind an exception of a library."""

from __future__ import annotations


def system_error(error: BaseException) -> OSError | None:
    """Return `error` if it is an OSError, else the first one in its chain of causes; None without one.

    PyTorch's zip writer turns a failed write into a RuntimeError that names only a line of its own source.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, OSError):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None
