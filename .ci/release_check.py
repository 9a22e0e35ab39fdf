#!/usr/bin/env python3
"""Refuse a release whose tag, version and changelog differ, or whose weights are not those of the manifest.

release_check.py TAG     exit 1 with one line for each difference; TAG is vX.Y.Z
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from pathlib import Path


def problems(root: Path, tag: str) -> list[str]:
    """One sentence for each difference between `tag`, ocrctl/__init__.py and CHANGELOG.md below `root`, and for each
    weight file that is missing or not that of ocrctl/weights/manifest.toml."""
    code = (root / "ocrctl" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', code, re.MULTILINE)
    version = found.group(1) if found else None
    wrong = []
    if tag != f"v{version}":
        wrong.append(f"ocrctl/__init__.py: the version is {version}, the tag {tag}; set __version__ or tag v{version}")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(tag.removeprefix('v'))}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        wrong.append(f"CHANGELOG.md: no dated section for {tag}; rename Unreleased to [{tag.removeprefix('v')}] - DATE")
    weights = root / "ocrctl" / "weights"
    models = tomllib.loads((weights / "manifest.toml").read_text(encoding="utf-8"))
    for name, model in models.items():
        file = weights / model["file"]
        if "package" in model:
            continue
        if not file.is_file():
            wrong.append(f"{file.relative_to(root)}: missing; the commands of [{name}] in manifest.toml make it")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != model["sha256"]:
            wrong.append(f"{file.relative_to(root)}: its SHA-256 is not that of [{name}] in manifest.toml")
    return wrong


def main(arguments: list[str]) -> int:
    """Check the repository that holds this file and return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: release_check.py TAG\n")
        return 2
    found = problems(Path(__file__).resolve().parent.parent, arguments[0])
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
