"""Partial folders of other commands: OUT.partial with the file MARKER in it. Nothing else is written there.

A partial folder appears with its marker in one step. So a writer that makes its own lock or folder first and looks for
the marker then either sees it, or is there before the folder, whose command is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from ocrctl.errors import UsageError

MARKER = ".ocrctl-partial"
SUFFIX = ".partial"
LOCKS = (SUFFIX + ".lock", ".ocrctl.lock", ".ocrctl-journal.lock")  # how names of lock files end

own: set[str] = set()  # real paths of the partial folders that this process writes


def refuse_partial(path: Path) -> None:
    """Raise UsageError when `path` lies in, or is, the partial folder of another command."""
    for folder in (real := Path(os.path.realpath(path)), *real.parents):
        if folder.name.endswith(SUFFIX) and os.path.lexists(folder / MARKER) and str(folder) not in own:
            raise UsageError(
                f"{path}: {folder} is incomplete output of another command, running or interrupted.",
                hint=f"write to another path; that command writes {str(folder).removesuffix(SUFFIX)}",
            )


def refuse_output_name(out: Path) -> None:
    """Raise UsageError when a folder `out` would have a name that ocrctl gives to partial folders or to locks, or would
    lie in a partial folder."""
    name = Path(os.path.realpath(out)).name
    if name.endswith((SUFFIX, *LOCKS)):
        raise UsageError(
            f"{out}: names that end in {SUFFIX} or {SUFFIX}.lock are reserved for incomplete output.",
            hint="choose another name",
        )
    refuse_partial(out)


def refuse_file_name(path: Path) -> None:
    """Raise UsageError when a file `path` would replace a lock or a marker, or lie in the partial folder of another
    command."""
    real = Path(os.path.realpath(path))
    if real.name == MARKER or real.name.endswith(LOCKS):
        raise UsageError(f"{path}: this name is reserved for lock files of ocrctl.", hint="choose another name")
    refuse_partial(path)
