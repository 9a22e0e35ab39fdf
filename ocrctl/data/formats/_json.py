"""Shared parts of the whole-file JSON formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocrctl.data.lmdb.label_text import LARGEST_JSON, read_label_text
from ocrctl.errors import InputError

# Errors of reading values from a document of another form: a missing key, another type, a number out of range.
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


class _DuplicateKeyError(Exception):
    """A key that occurs twice in an object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        known: set[str] = set()
        for key, _ in pairs:
            if key in known:
                raise _DuplicateKeyError(key)
            known.add(key)
    return value


def read_json(path: Path) -> Any:
    """Read the JSON value in `path`. Raises InputError naming file:line when it is not JSON, not UTF-8 or too large, or
    naming a key that occurs twice in an object."""
    text = read_label_text(path, largest=LARGEST_JSON)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except _DuplicateKeyError as error:
        raise InputError(
            f"{path}: the key {str(error)[:60]!r} occurs twice in one object; the first value would be lost."
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected JSON, found an error at column {error.colno}.") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected JSON of annotations, found too many nested levels.") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON of annotations, found a number with too many digits.") from error


def read_object(path: Path, key: str, kind: type, document: Any = None) -> tuple[dict[str, Any], Any]:
    """Read the JSON object in `path` (or take `document`), and its member `key` of type `kind`, list or dict. Raises
    InputError when it has none."""
    document = read_json(path) if document is None else document
    member = document.get(key) if isinstance(document, dict) else None
    if not isinstance(member, kind):
        what = "list" if kind is list else "object"
        raise InputError(f"{path}: expected a JSON object with the {what} {key}, found none.")
    return document, member


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as UTF-8 JSON. Returns `path`."""
    path.write_bytes(dump(value))
    return path


def dump(value: Any, indent: int | None = 1) -> bytes:
    """Encode as UTF-8 JSON. Halves of surrogate pairs, which UTF-8 cannot encode, are escaped."""
    return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode("utf-8", "backslashreplace")


def dump_edited(value: Any) -> bytes:
    """Encode an edited label file as UTF-8 JSON, with halves of surrogate pairs as they were read."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")
