r"""Total-Text, `poly_gt_img1.txt` for each image: one polygon per entry; UTF-8. An entry may span several lines.

    x: [[115 503 494 115]], y: [[322 346 426 404]], ornt: [u'm'], transcriptions: [u'nauGHTY']
    x: [[ 99 131 152]],
     y: [[ 10  8 44]], ornt: [u'#'], transcriptions: [u'#']

The text is a Python literal, with or without u; `#` is ignored. `ornt` is h (horizontal), m (multi-oriented), c
(curved) or #; instances from other formats are written as m with four points, as c with more.
https://github.com/cs-chan/Total-Text-Dataset/tree/master/Groundtruth/Text
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, instances, malformed_instance, number
from ocrctl.data.formats._images import file_stem, heads_fit, image_root, image_stem, label_paths, unlabelled
from ocrctl.data.lmdb.word_source import read_lines

NAME = "totaltext"
LABEL_FILES = ("poly_gt_*.txt", "gt_*.txt")
PER_IMAGE = True
KEEPS = Keeps("polygon", marks=("#", IGNORED), line_breaks=True)

_HEAD = re.compile(r"x:\s*\[\[[-+\d.\seinfa]*\]\]\s*,\s*y:")
_LITERAL = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PLAIN = re.compile(r"u?(['\"])([^\\\r\n\0]*)\1\Z")  # a literal without escapes
_ENTRY = re.compile(
    r"x:\s*\[\[([^\]]*)\]\]\s*,\s*y:\s*\[\[([^\]]*)\]\]\s*,\s*ornt:\s*\[\s*u?['\"]?([^'\"\]]*)['\"]?\s*\]\s*,"
    rf"\s*transcriptions:\s*\[\s*({_LITERAL})?\s*\]",
    re.DOTALL,
)
_EXPECTED = "x: [[..]], y: [[..]], ornt: [..], transcriptions: [..]"


def sniff(path: Path) -> bool:
    return heads_fit(path, ".txt", _HEAD.match)


def read(path: Path) -> Annotations:
    files = label_paths(path, ".txt")
    builder = Builder(path, NAME)
    stems = [image_stem(file) for file in files]
    root, names = image_root(stems, path if path.is_dir() else path.parent)
    builder.notes += unlabelled(stems, root, names) if path.is_dir() else []
    for file in files:
        stem = image_stem(file)
        builder.label_file(file)
        image = builder.image(names.get(stem, f"{stem}.jpg"))
        text, done, line = "\n".join(read_lines(file)), 0, 1
        for match in _ENTRY.finditer(text):
            _add_gap(builder, image, text[done : match.start()], line)
            line += text.count("\n", done, match.start())
            _add(builder, image, match, line)
            line += text.count("\n", match.start(), match.end())
            done = match.end()
        _add_gap(builder, image, text[done:], line)
    return builder.build(root)


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    for image, members in instances(data):
        lines = []
        for i in members:
            if bad := malformed_instance(data, i, own):
                lines.append(f"{bad.raw}\n")
                continue
            points = data.polygon(i).tolist()
            x, y = (" ".join(str(number(point[axis])) for point in points) for axis in (0, 1))
            ornt = data.extras.get(i, {}).get("ornt") if own else None
            ornt = ornt or ("#" if data.ignore[i] else "m" if len(points) <= 4 else "c")
            text = "#" if data.ignore[i] else data.texts[i]
            lines.append(f"x: [[{x}]], y: [[{y}]], ornt: [u'{ornt}'], transcriptions: [u{text!r}]\n")
        yield Rendered(image, f"gt/poly_gt_{file_stem(data.images[image])}.txt", "".join(lines).encode())


def _add(builder: Builder, image: int, match: re.Match[str], line: int) -> None:
    try:
        x, y = (list(map(float, match[axis].replace(",", " ").split())) for axis in (1, 2))
        plain = _PLAIN.match(match[4] or "''")
        text = plain[2] if plain else ast.literal_eval(match[4])
    except (ValueError, SyntaxError):
        builder.malformed(image, match[0], _EXPECTED, line=line)
        return
    if len(x) != len(y):
        builder.malformed(image, match[0], f"as many x as y ({len(x)} and {len(y)})", line=line)
        return
    ignore = text in ("#", IGNORED)
    flat = x + y
    flat[::2], flat[1::2] = x, y
    builder.add(image, flat, IGNORED if ignore else text, ignore, line, {"ornt": match[3]} if match[3] else None)


def _add_gap(builder: Builder, image: int, gap: str, line: int) -> None:
    """Add non-blank text between two entries as malformed."""
    if gap.strip():
        line += gap[: len(gap) - len(gap.lstrip())].count("\n")
        builder.malformed(image, gap.strip(), _EXPECTED, line=line)
