"""What every diagnosis is made of: rows with a status, the finding, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """One row: `detail` is the finding, `mend` one line on what to do about it (empty when nothing)."""

    name: str
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All rows of one diagnosis. `device` is False only where a GPU was looked for and none is there."""

    subject: str
    checks: tuple[Check, ...]
    summary: str
    usable: bool = True
    device: bool = True

    @property
    def failed(self) -> list[Check]:
        """The rows that failed."""
        return [check for check in self.checks if check.status == "fail"]


def ok(name: str, detail: str) -> Check:
    """A row with nothing to fix."""
    return Check(name, "ok", detail)


def warn(name: str, detail: str, mend: str) -> Check:
    """A row that works but will hurt later."""
    return Check(name, "warn", detail, mend)


def fail(name: str, detail: str, mend: str) -> Check:
    """A row that must be fixed."""
    return Check(name, "fail", detail, mend)


def skipped(name: str, why: str) -> Check:
    """A row that could not be checked, and why."""
    return Check(name, "skipped", why)


def count(checks: Iterable[Check]) -> str:
    """`5 ok, 1 fail`: the statuses that occur, in order of severity."""
    rows = list(checks)
    shown = [(status, sum(row.status == status for row in rows)) for status in ("fail", "warn", "ok", "skipped")]
    return ", ".join(f"{number} {status}" for status, number in shown if number)
