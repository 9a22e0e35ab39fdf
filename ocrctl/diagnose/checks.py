"""Rows of a diagnosis: a status, the finding, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """One row: `detail` is the finding, `fix` one line on how to fix it ("" if there is nothing to fix)."""

    name: str
    status: Status
    detail: str
    fix: str = field(default="", metadata={"formerly": "mend"})


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


def warn(name: str, detail: str, fix: str) -> Check:
    """Create a row of something that works but will cause problems later."""
    return Check(name, "warn", detail, fix)


def fail(name: str, detail: str, fix: str) -> Check:
    """Create a row of something that must be fixed."""
    return Check(name, "fail", detail, fix)


def skipped(name: str, why: str) -> Check:
    """Create a row of something that could not be checked, with the reason."""
    return Check(name, "skipped", why)


def count(checks: Iterable[Check]) -> str:
    """Count the statuses, in order of severity: `1 fail, 5 ok`."""
    rows = list(checks)
    shown = [(status, sum(row.status == status for row in rows)) for status in ("fail", "warn", "ok", "skipped")]
    return ", ".join(f"{number} {status}" for status, number in shown if number)
