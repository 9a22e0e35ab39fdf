"""Malformed instances, findings F001 to F003: kept as they are in the label file until they are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrctl.data.polygons.codes import BY_NAME
from ocrctl.data.polygons.findings import Findings
from ocrctl.errors import InputError

POINTS, TEXT, ENTRY = "bad-points", "bad-text", "bad-entry"  # names of their codes


@dataclass(frozen=True, slots=True)
class Malformed:
    """One instance, or word image, whose points, text or whole entry cannot be read."""

    name: str  # of its code
    note: str  # what was expected and found
    raw: Any = None  # the JSON value or line in the label file
    whole: bool = False  # `raw` is the whole entry of its image

    @property
    def code(self) -> str:
        """Return F001, F002 or F003."""
        return BY_NAME[self.name].code


def malformed_code(raw: Any, text_key: str, *, text_free: bool = False) -> str:
    """Return the name of the code for a malformed instance `raw`. `text_free`: its text, at `text_key`, may be null or
    missing."""
    if not isinstance(raw, dict):
        return ENTRY
    text = raw.get(text_key)
    return POINTS if isinstance(text, str) or (text is None and text_free) else TEXT


def raise_malformed(name: str, malformed: Mapping[int, Malformed], where: str, hint: str | None) -> None:
    """Raise InputError for the first of the malformed instances, at `where`, if there are any."""
    if malformed:
        bad = malformed[min(malformed)]
        more = f" ({len(malformed):,} such instances in {name})" if len(malformed) > 1 else ""
        raise InputError(f"{where}: {bad.note} [{bad.code} {bad.name}]{more}.", hint=hint)


def check_malformed(findings: Findings, malformed: Mapping[int, Malformed], *, words: bool) -> None:
    """Add the malformed instances, and remove other findings of them; with `words` also those of their images."""
    if not malformed:
        return
    findings.discard(malformed, images=words)
    for name in (POINTS, TEXT, ENTRY):
        chosen = sorted(index for index, bad in malformed.items() if bad.name == name)
        findings.add(name, chosen, None, [malformed[index].note for index in chosen])
