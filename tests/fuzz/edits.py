"""Edits of a file: how they are drawn (hypothesis) and how they are applied. An edit is a JSON object, so that a case
prints as one line and is replayed from it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Edit = dict[str, Any]
DEEP = "\ue000deep"  # stands for a list nested 100,000 deep, which JSON of a case cannot hold itself
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
TOKEN = re.compile(rb"[^\s,;:\"=\[\]{}]+")

_odd_numbers = st.sampled_from(
    [0, -1, 1, 2, 3, 255, 65536, 2**31, 2**32 - 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e-320, 1e308, -1e308]
)
_odd_texts = st.one_of(
    st.sampled_from(
        ["", " ", "\0", "\ufeff", "\ud800", "###", "../../x", "/etc/passwd", "a" * 5000, "9" * 5000, "nan", "-inf",
         "1e999", "0x10", "true", "null", "<!--<script>", "=1+1", "\x1b[31m", "가나", "e\u0301", "\u202e", "lmdb", "\n"]
    ),
    st.text(max_size=12),
)  # fmt: skip
odd_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), _odd_numbers, _odd_texts, st.floats(), st.integers(), st.just(DEEP),
        st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip

# Headers and directories stand at the start and the end of most formats.
_places = st.one_of(st.integers(0, 400), st.integers(-400, -1), st.integers(0, 1 << 40))
_chunks = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x80" * 8, b"\r\n", b"\t", b",", b'"', b"\xef\xbb\xbf"]
    ),
)
_counts = st.integers(1, 64) | st.sampled_from([1000, 100_000])

byte_edits = st.one_of(
    st.builds(lambda at, chunk: {"op": "set", "at": at, "hex": chunk.hex()}, _places, _chunks),
    st.builds(lambda at, chunk: {"op": "insert", "at": at, "hex": chunk.hex()}, _places, _chunks),
    st.builds(lambda at, count: {"op": "cut", "at": at, "count": count}, _places, _counts),
    st.builds(lambda at, bit: {"op": "flip", "at": at, "bit": bit}, _places, st.integers(0, 7)),
    st.builds(lambda at: {"op": "end", "at": at}, _places),
    st.builds(
        lambda at, count, times: {"op": "again", "at": at, "count": count, "times": times},
        _places, st.integers(1, 200), st.integers(1, 50),
    ),
)  # fmt: skip
text_edits = st.one_of(
    st.builds(
        lambda n, value: {"op": "number", "n": n, "value": value}, st.integers(0, 10**6), _odd_numbers | _odd_texts
    ),
    st.builds(
        lambda n, value: {"op": "token", "n": n, "value": value}, st.integers(0, 10**6), _odd_numbers | _odd_texts
    ),
)
_steps = st.lists(st.integers(0, 10**6), max_size=6)
tree_edits = st.builds(
    lambda steps, how, value: {"op": "tree", "steps": steps, "how": how, "value": value},
    _steps, st.sampled_from(["set", "set", "set", "drop", "add"]), odd_values,
)  # fmt: skip
file_edits = st.builds(
    lambda how: {"op": "file", "how": how},
    st.sampled_from(["empty", "remove", "folder", "zero", "itself", "fifo", "closed"]),
)
whole_text = st.builds(lambda text: {"op": "whole", "text": text}, st.text(max_size=200))
whole_tree = st.builds(lambda value: {"op": "whole-tree", "value": value}, odd_values)

KINDS: dict[str, st.SearchStrategy[Edit]] = {
    "bytes": st.one_of(byte_edits, byte_edits, byte_edits, byte_edits, file_edits),
    "text": st.one_of(text_edits, text_edits, text_edits, byte_edits, whole_text, file_edits),
    "json": st.one_of(tree_edits, tree_edits, tree_edits, tree_edits, text_edits, byte_edits, whole_tree, file_edits),
    "packed": st.one_of(tree_edits, tree_edits, tree_edits, byte_edits, byte_edits, file_edits),
}


def apply(path: Path, edit: Edit) -> None:
    """Change the file at `path`. An edit that finds nothing to change there leaves it."""
    if not path.is_file() or path.is_symlink():
        return
    op = edit["op"]
    if op == "file":
        _replace(path, edit["how"])
    elif op == "tree":
        _change_tree(path, edit)
    else:
        path.write_bytes(_CHANGES[op](path.read_bytes(), edit))


def changed(value: Any, edit: Edit) -> Any:
    """A tree of dictionaries and lists with one member set, dropped or added; members of tuples stay."""
    holders: list[tuple[Any, Any]] = []
    here = value
    for step in edit["steps"]:
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, (list, tuple)) else []
        if not keys:
            break
        key = keys[step % len(keys)]
        holders.append((here, key))
        here = here[key]
    new = expanded(edit["value"])
    if edit["how"] == "add" and isinstance(here, dict):
        here["added"] = new
        return value
    if edit["how"] == "add" and isinstance(here, list):
        here.append(new)
        return value
    if not holders:
        return new
    holder, key = holders[-1]
    if isinstance(holder, tuple):
        return value
    if edit["how"] == "drop":
        del holder[key]
    else:
        holder[key] = new
    return value


def expanded(value: Any) -> Any:
    """`value` with each DEEP as a list that is nested deeper than a parser may recurse."""
    if value == DEEP:
        deep: Any = []
        for _ in range(900):  # what json.dumps still writes
            deep = [deep]
        return deep
    if isinstance(value, list):
        return [expanded(one) for one in value]
    if isinstance(value, dict):
        return {key: expanded(one) for key, one in value.items()}
    return value


def _dumped(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    deep = "[" * 100_000 + "]" * 100_000
    return text.replace(json.dumps(DEEP, ensure_ascii=False), deep).encode("utf-8", "surrogatepass")


def _change_tree(path: Path, edit: Edit) -> None:
    """Of JSON in `path`: the document, or that of one line, behind its last tab where it has one."""
    content = path.read_bytes().decode("utf-8", "replace")
    try:
        document = json.loads(content)
    except ValueError:
        lines = content.split("\n")
        number = edit["steps"][0] % len(lines) if edit["steps"] else 0
        head, tab, body = lines[number].rpartition("\t")
        try:
            document = json.loads(body)
        except ValueError:
            return
        shorter = {**edit, "steps": edit["steps"][1:]}
        lines[number] = head + tab + _dumped(_plain(document, shorter)).decode("utf-8", "surrogatepass")
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        return
    path.write_bytes(_dumped(_plain(document, edit)))


def _plain(document: Any, edit: Edit) -> Any:
    """`changed`, with DEEP left for `_dumped` to write."""
    marker = edit["value"]
    if marker == DEEP:
        return changed(document, {**edit, "value": [DEEP]})
    return changed(document, edit)


def _replace(path: Path, how: str) -> None:
    path.unlink()
    if how == "empty":
        path.touch()
    elif how == "folder":
        path.mkdir()
    elif how == "zero":
        path.symlink_to("/dev/zero")
    elif how == "itself":
        path.symlink_to(path.name)
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "closed":
        path.symlink_to("/proc/self/mem")


def _at(content: bytes, edit: Edit) -> int:
    return edit["at"] % (len(content) + 1)


def _set(content: bytes, edit: Edit) -> bytes:
    at, chunk = _at(content, edit), bytes.fromhex(edit["hex"])
    return content[:at] + chunk + content[at + len(chunk) :]


def _insert(content: bytes, edit: Edit) -> bytes:
    at = _at(content, edit)
    return content[:at] + bytes.fromhex(edit["hex"]) + content[at:]


def _cut(content: bytes, edit: Edit) -> bytes:
    at = _at(content, edit)
    return content[:at] + content[at + edit["count"] :]


def _flip(content: bytes, edit: Edit) -> bytes:
    if not content:
        return content
    at = edit["at"] % len(content)
    return content[:at] + bytes([content[at] ^ 1 << edit["bit"]]) + content[at + 1 :]


def _end(content: bytes, edit: Edit) -> bytes:
    return content[: _at(content, edit)]


def _again(content: bytes, edit: Edit) -> bytes:
    at = _at(content, edit)
    piece = content[at : at + edit["count"]]
    return content[:at] + piece * edit["times"] + content[at:]


def _token(pattern: re.Pattern[bytes], content: bytes, edit: Edit) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    start, end = found[edit["n"] % len(found)].span()
    return content[:start] + str(edit["value"]).encode("utf-8", "surrogatepass") + content[end:]


_CHANGES = {
    "set": _set,
    "insert": _insert,
    "cut": _cut,
    "flip": _flip,
    "end": _end,
    "again": _again,
    "number": lambda content, edit: _token(NUMBER, content, edit),
    "token": lambda content, edit: _token(TOKEN, content, edit),
    "whole": lambda content, edit: edit["text"].encode("utf-8", "surrogatepass"),
    "whole-tree": lambda content, edit: _dumped(edit["value"]),
}
