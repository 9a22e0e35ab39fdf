"""Choose the data set of a `dataset` command without a SPEC argument."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ocrctl.errors import UsageError

_HINT = "give a SPEC (as argument or with -d) or a profile with data.train, or set OCRCTL_DATA"


def data_spec(spec: str | None, flag: str | None = None, profiles: Sequence[str] = ()) -> str:
    """Return the data set: `spec` or `flag`, else data.train of the profiles, else OCRCTL_DATA, as in `train`.

    `profiles` are names or paths, those of OCRCTL_PROFILE when there are none. Raises UsageError when there is no
    data set or more than one: a command that changes labels must not choose.
    """
    if spec and flag and spec != flag:
        raise UsageError(f"{spec} and -d {flag} are two data sets, expected one.")
    if chosen := spec or flag:
        return chosen
    names = list(profiles) or [name for name in os.environ.get("OCRCTL_PROFILE", "").split(",") if name]
    if names:
        from ocrctl.core.settings import load_settings  # slow import of pydantic-settings

        if named := load_settings(names).data.train:
            return _one(named, f"data.train of profile {', '.join(names)}")
    value = os.environ.get("OCRCTL_DATA")
    if not value:
        raise UsageError("No data set given.", hint=_HINT)
    return value if Path(value).exists() else _one(value.split(","), "OCRCTL_DATA")


def _one(specs: Sequence[str], origin: str) -> str:
    if len(specs) != 1:
        raise UsageError(f"{origin} names {len(specs)} data sets, expected one.", hint=f"give one: {', '.join(specs)}")
    return specs[0]
