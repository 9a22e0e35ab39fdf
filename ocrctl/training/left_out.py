"""The samples that a run no longer draws: RUN/quarantine/left_out.json, pairs of (source, index in it)."""

from __future__ import annotations

import json
from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular

LIST = "left_out.json"


def read_left_out(run: Path) -> frozenset[tuple[int, int]]:
    """Every pair found so far, none where no step of the run was bad. Raises InputError for a damaged file."""
    path = run / "quarantine" / LIST
    try:
        text = read_regular(path).decode()
        return frozenset((int(source), int(index)) for source, index in json.loads(text))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}).", hint="delete it to draw those samples again") from error
