"""What the loggers share: their interface, and the ids of runs that are kept in the run folder."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.training.checkpoints import write_atomically
from ocrctl.training.metrics_file import Row

PROJECT = "ocrctl"  # or what the logger's own variable names
PREVIEWS = "previews"  # what the images of validations are called
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ExtraLogger(Protocol):
    """Where a run's figures go besides metrics.csv."""

    @property
    def where(self) -> str:
        """Return the address of the run, or the command that shows it."""

    def row(self, row: Row) -> None:
        """Take the figures of one step; `step` is one of them."""

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        """Take the previews of one validation, RGB uint8 (H, W, 3)."""

    def finish(self, exit_code: int) -> None:
        """End the session; 0: the run ended as it should."""


def session_id(path: Path, resumed: bool) -> str:
    """Return the id of this run at its logger: of a resumed run the one kept in `path`, of any other a new one."""
    if resumed and (kept := kept_id(path)):
        return kept
    new = uuid.uuid4().hex[:12]
    write_id(path, new)
    return new


def kept_id(path: Path) -> str | None:
    """Return the id in `path`, None where there is none."""
    kept = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    return kept if _ID.fullmatch(kept) else None


def write_id(path: Path, name: str) -> None:
    """Keep the id of this run at its logger. Raises ResumableStop when it cannot be written."""
    write_atomically(path, lambda file: file.write(f"{name}\n".encode()), "the id of the run at its logger")


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings by dotted name: {"train.lr": 0.001}."""
    return {
        f"{section}.{name}" if isinstance(value, dict) else section: inner
        for section, value in settings.tree().items()
        for name, inner in (value.items() if isinstance(value, dict) else [("", value)])
    }
