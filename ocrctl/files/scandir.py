"""Test entries of a folder with links followed; a broken link or a loop of links is neither file nor folder."""

from __future__ import annotations

import os


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether `entry` is a file or a link to one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether `entry` is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False
