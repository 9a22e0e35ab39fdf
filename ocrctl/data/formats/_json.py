"""What the whole-file JSON formats share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocrctl.data.formats._text import HEAD_BYTES
from ocrctl.errors import InputError


def read_json(path: Path) -> Any:
    """The JSON value in `path`; InputError names file:line when it is not JSON or not UTF-8."""
    try:
        data = path.read_bytes()
        return json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: expected UTF-8 text, found byte 0x{data[error.start]:02x}.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: expected JSON, found a fault at column {error.colno}.") from error


def head_text(path: Path) -> str:
    """The first bytes of the file as text, without BOM and leading white space; "" when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(HEAD_BYTES).decode("utf-8-sig", errors="replace").lstrip()
    except OSError:
        return ""


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as UTF-8 JSON; returns `path`."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path
