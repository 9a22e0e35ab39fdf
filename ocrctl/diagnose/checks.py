"""Rows of a diagnosis: what was examined, the finding, what it means, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """One row: `detail` is the finding, `fix` one line on how to fix it, `meaning` what it causes (both "" if there is
    nothing to fix), `examined` what the check inspects."""

    name: str
    status: Status
    detail: str
    fix: str = field(default="", metadata={"formerly": "mend"})
    meaning: str = ""
    examined: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All rows of one diagnosis. `device` is False only if a GPU is required and none is present."""

    subject: str
    checks: tuple[Check, ...]
    summary: str
    usable: bool = True
    device: bool = True

    @property
    def failed(self) -> list[Check]:
        """Return the rows that failed."""
        return [check for check in self.checks if check.status == "fail"]


def ok(name: str, detail: str) -> Check:
    """Create a row with nothing to fix."""
    return Check(name, "ok", detail)


def warn(name: str, detail: str, fix: str, meaning: str) -> Check:
    """Create a row of something that works but will cause problems later."""
    return Check(name, "warn", detail, fix, meaning)


def fail(name: str, detail: str, fix: str, meaning: str) -> Check:
    """Create a row of something that must be fixed."""
    return Check(name, "fail", detail, fix, meaning)


def skipped(name: str, why: str) -> Check:
    """Create a row of something that could not be checked, with the reason."""
    return Check(name, "skipped", why)


def with_examined(checks: Iterable[Check], examined: Mapping[str, str]) -> tuple[Check, ...]:
    """Return the rows, each with what it examines: of its name, or of the name without the device (`memory cuda:0`)."""
    return tuple(replace(row, examined=examined[row.name.partition(" cuda:")[0]]) for row in checks)


def count(checks: Iterable[Check]) -> str:
    """Count the statuses, in order of severity: `1 fail, 5 ok`."""
    rows = list(checks)
    shown = [(status, sum(row.status == status for row in rows)) for status in ("fail", "warn", "ok", "skipped")]
    return ", ".join(f"{number} {status}" for status, number in shown if number)


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an exception, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def some(names: Iterable[str], shown: int = 3) -> str:
    """List the first names and count the others: `a, b, c and 4 more`."""
    every = list(names)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
