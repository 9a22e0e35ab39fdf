"""Options of the fuzz tests; their variables are none of ocrctl's, and are not handed to the commands."""

from __future__ import annotations

import os

import pytest

_OPTIONS = (os.environ.pop("OCRCTL_FUZZ_SECONDS", "5"), os.environ.pop("OCRCTL_FUZZ_SEED", "0"))


@pytest.fixture
def fuzz_options() -> tuple[str, str]:
    """Seconds of a group, and the seed."""
    return _OPTIONS
