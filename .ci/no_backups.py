#!/usr/bin/env python3
"""Refuse backup copies in the repository: git keeps what was, and a copy beside it is read, imported and shipped.

no_backups.py [ROOT]     exit 1 with one line for each copy, tracked by git or about to be
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

BACKUP = re.compile(r"\.(bak|orig)$|~$|_(old|backup)(?![a-z])", re.IGNORECASE)
FOLDER = ".backup"


def is_backup(path: str) -> bool:
    """Whether `path`, relative and with slashes, is a backup copy or lies in a folder of them."""
    return any(part == FOLDER or BACKUP.search(part) for part in PurePosixPath(path).parts)


def files(root: Path) -> list[str]:
    """Files below `root` that git tracks or does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, check=True)
    return sorted({name for name in done.stdout.decode("utf-8", "surrogateescape").split("\0") if name})


def main(arguments: list[str]) -> int:
    """Check one repository and return the exit code."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = [name for name in files(root) if is_backup(name)]
    for name in found:
        sys.stderr.write(f"{name}: a backup copy; git keeps the version before\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
