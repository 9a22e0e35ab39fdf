"""What the whole-file JSON formats share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocrctl.data.lmdb.label_text import LARGEST_JSON, read_label_text
from ocrctl.errors import InputError

# What taking values out of a document of another form may raise: a key gone, another type, a number too large.
MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


class _DuplicateKeyError(Exception):
    """A key that an object holds twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return value


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises InputError naming file:line when it is not JSON, not UTF-8 or too large, or the
    key when an object holds one twice."""
    text = read_label_text(path, largest=LARGEST_JSON)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except _DuplicateKeyError as error:
        raise InputError(
            f"{path}: the key {str(error)[:60]!r} stands twice in one object; the first of its values would be lost."
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected JSON, found a fault at column {error.colno}.") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected JSON of annotations, found it nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON of annotations, found a number of too many digits.") from error


def read_object(path: Path, key: str, kind: type, document: Any = None) -> tuple[dict[str, Any], Any]:
    """The JSON object in `path` (or the `document` read from it), and its member `key`, which is of `kind`, list or
    dict. Raises InputError when it is not."""
    document = read_json(path) if document is None else document
    member = document.get(key) if isinstance(document, dict) else None
    if not isinstance(member, kind):
        what = "list" if kind is list else "object"
        raise InputError(f"{path}: expected a JSON object with the {what} {key}, found none.")
    return document, member


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as UTF-8 JSON; returns `path`."""
    path.write_bytes(dump(value))
    return path


def dump(value: Any, indent: int | None = 1) -> bytes:
    """UTF-8 JSON. Halves of surrogate pairs, which UTF-8 cannot hold, are escaped as JSON does."""
    return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode("utf-8", "backslashreplace")


def dump_edited(value: Any) -> bytes:
    """UTF-8 JSON of a label file that was edited, halves of surrogate pairs as they were read."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")
