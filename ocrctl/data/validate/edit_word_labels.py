"""Editing a label file of word images: some texts replaced, some samples dropped, every other line byte for byte."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from ocrctl.data.formats import doctr_words, icdar_words, mmocr_json, mmocr_jsonl, paddleocr_rec, space_tags
from ocrctl.data.formats._json import read_json
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.files.regular import read_regular

_BOM = b"\xef\xbb\xbf"
_BY_LINE = (paddleocr_rec.NAME, icdar_words.NAME, space_tags.NAME, mmocr_jsonl.NAME)
EDITABLE = (*_BY_LINE, mmocr_json.NAME, doctr_words.NAME)  # an LMDB and plug-ins are only copied


def edited(format_name: str, words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    """The label file of `words` with the text of each sample in `changes` replaced, or the sample dropped (None).

    `format_name` is one of EDITABLE. Raises InputError when the file cannot be read any more.
    """
    if format_name in _BY_LINE:
        return _edited_lines(format_name, words, changes)
    document = read_json(Path(words.label_file))
    if format_name == mmocr_json.NAME:
        entries = list(document["data_list"])
        for index, text in changes.items():
            if text is not None:
                entries[index]["instances"][0]["text"] = text
        document["data_list"] = [entry for index, entry in enumerate(entries) if changes.get(index, "") is not None]
    else:
        table = {name: changes.get(index, text) for index, (name, text) in enumerate(document.items())}
        document = {name: text for name, text in table.items() if text is not None}
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")


def _edited_lines(format_name: str, words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    content = read_regular(words.label_file)
    lines = io.BytesIO(content.removeprefix(_BOM)).readlines()  # as read_lines: only \n ends a line
    numbers = words.lines or []
    for number, group in groupby(range(len(words)), key=numbers.__getitem__):
        members = list(group)
        if not any(index in changes for index in members):
            continue
        line = lines[number - 1]
        end = line[len(line.removesuffix(b"\n").removesuffix(b"\r")) :]
        kept = [index for index in members if changes.get(index, "") is not None]
        if not kept:
            lines[number - 1] = b""
            continue
        text = line[: len(line) - len(end)].decode("utf-8")
        if len(kept) < len(members):  # PaddleOCR: several pictures of one text
            names, tab, label = text.partition("\t")
            listed = json.loads(names)
            chosen = [listed[index - members[0]] for index in kept]
            text = f"{json.dumps(chosen, ensure_ascii=False)}{tab}{label}"
        new = changes.get(kept[0])
        if new is not None:
            text = _with_text(format_name, text, words.files[kept[0]], new)
        lines[number - 1] = text.encode("utf-8") + end
    return (_BOM if content.startswith(_BOM) else b"") + b"".join(lines)


def _with_text(format_name: str, line: str, file: str, text: str) -> str:
    """`line` with another text; the path before it stays as it is written."""
    if format_name == mmocr_jsonl.NAME:
        return json.dumps(json.loads(line) | {"text": text}, ensure_ascii=False)
    if format_name == paddleocr_rec.NAME:
        return f"{line.partition(chr(9))[0]}\t{text}"
    if format_name == space_tags.NAME:
        return f"{line[: len(file)]} {text}"
    start = line.index('"', len(line) - len(line.lstrip()) + len(file)) + 1
    escaped = text.replace('"', '\\"')
    return f"{line[:start]}{escaped}{line[line.rindex(chr(34)) :]}"
