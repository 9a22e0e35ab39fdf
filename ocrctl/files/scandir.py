"""What lies in a folder, links followed, where following one may fail."""

from __future__ import annotations

import os


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a file or a link to one; a loop of links leads nowhere."""
    try:
        return entry.is_file()
    except OSError:
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a folder or a link to one; a loop of links leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False
