"""The charset of a model: ordered characters, saved in every checkpoint and ONNX file; the order defines class ids."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from unicodedata import normalize

from ocrctl.config.suggest import did_you_mean, near_path
from ocrctl.errors import InputError, UsageError, counted
from ocrctl.files.atomic import write_bytes
from ocrctl.files.regular import read_stream

DIGITS = string.digits
LOWER36 = DIGITS + string.ascii_lowercase
ASCII94 = DIGITS + string.ascii_letters + string.punctuation  # the order of PARSeq, https://arxiv.org/abs/2207.06966
ASCII95 = ASCII94 + " "
# ASCII, the letters of Western European languages, their punctuation, and signs of prices and measures. Each character
# is a class of PP-OCRv6, which lacks "¡", "„", "‚", "‹", "›" and the capital sharp s.
LATIN = (
    ASCII95
    + "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿŒœŠšŽžŸ"
    + "‘’“”«»–—…•·¿°ªº²³¼½¾µ×÷±§©®™"
    + "€£¥¢₹₩₺₽₱₫₦"
)
BUILTIN: dict[str, str] = {
    "digits": DIGITS,
    "lower36": LOWER36,
    "ascii94": ASCII94,
    "ascii95": ASCII95,
    "latin": LATIN,
}

_FORBIDDEN = frozenset("\n\r\0\ufeff")  # labels are one line of text; saved files must load unchanged


class Charset:
    """Immutable, ordered, distinct NFC code points.

    `chars` is the string itself, `note` describes changes made by `load` ("" without any). Two charsets with the same
    characters in the same order are equal, whatever their notes.
    """

    __slots__ = ("_index", "chars", "note")
    chars: str
    note: str
    _index: dict[str, int]

    def __init__(self, chars: str, note: str = "") -> None:
        """Raises UsageError when `chars` is empty, repeats a code point, or contains one that is not NFC."""
        if not chars:
            raise UsageError("A charset requires at least one character, found none.")
        index = {char: position for position, char in enumerate(chars)}
        if len(index) != len(chars):
            repeated = next(char for char, count in Counter(chars).items() if count > 1)
            raise UsageError(f"The charset repeats {_show(repeated)}: each character may occur once.")
        for char in chars:
            if problem := _problem(char):
                raise UsageError(f"The charset contains {_show(char)}, {problem}.")
        object.__setattr__(self, "chars", chars)
        object.__setattr__(self, "note", note)
        object.__setattr__(self, "_index", index)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Charset is immutable: cannot set {name}")

    def __reduce__(self) -> tuple[type[Charset], tuple[str, str]]:
        return Charset, (self.chars, self.note)

    def __len__(self) -> int:
        return len(self.chars)

    def __iter__(self) -> Iterator[str]:
        return iter(self.chars)

    def __contains__(self, char: object) -> bool:
        return char in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and self.chars == other.chars

    def __hash__(self) -> int:
        return hash(self.chars)

    def __repr__(self) -> str:
        return f"Charset({self.chars!r})"

    def index(self, char: str) -> int:
        """Return the position of `char`. Raises KeyError when it is not in the charset."""
        return self._index[char]

    def unknown(self, labels: Iterable[str]) -> dict[str, int]:
        """Count the characters of the NFC `labels` that are not in this charset, most frequent first."""
        counts: Counter[str] = Counter()
        for label in labels:
            counts.update(label)
        missing = {char: count for char, count in counts.items() if char not in self._index}
        return dict(sorted(missing.items(), key=lambda item: (-item[1], item[0])))

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> Charset:
        """Return the charset of all characters of the NFC `labels`, sorted by code point."""
        chars: set[str] = set()
        for label in labels:
            chars.update(label)
        return cls("".join(sorted(chars)))

    @classmethod
    def load(cls, source: str | Path) -> Charset:
        """Load a file, or a built-in charset by name (`BUILTIN`); an existing file takes precedence.

        One line: the characters themselves, in order, exactly. Several lines: PaddleOCR's dictionary, one character
        a line; it cannot contain the space, which is appended last when missing. Entries of several code points (a
        flag, a letter with marks) are split, entries changed by NFC or repeated are merged; `note` lists these changes.
        Raises UsageError when neither file nor built-in, InputError naming file and line for an invalid charset.
        """
        path = Path(source)
        if str(source) in BUILTIN and not path.is_file():
            return cls(BUILTIN[str(source)])
        if not path.exists():
            raise UsageError(
                f"Charset {str(source)!r} is neither a file nor a built-in."
                f"{did_you_mean(str(source), BUILTIN) or near_path(source)}",
                hint=f"Built in: {', '.join(BUILTIN)}; a file: ocrctl dataset charset SPEC -o FILE",
            )
        lines = read_lines(path)
        if len(lines) == 1:
            return cls._merge(path, [(1, char) for char in lines[0]], paddle=False)
        entries = [(number, line) for number, line in enumerate(lines, 1) if line]
        for number, line in entries:
            if sum(map(str.isalnum, normalize("NFC", line))) > 1:  # flags and marks take several code points, words too
                raise InputError(f"{path}:{number}: expected one character a line, found {len(line)} ({line[:20]!r}).")
        return cls._merge(path, entries, paddle=True)

    @classmethod
    def _merge(cls, path: Path, entries: list[tuple[int, str]], *, paddle: bool) -> Charset:
        chars: dict[str, None] = {}
        repeated: list[str] = []
        recomposed = split = 0
        for number, entry in entries:
            composed = normalize("NFC", entry)
            recomposed += composed != entry
            split += len(composed) > 1
            for char in composed:
                if problem := _problem(char):
                    raise InputError(f"{path}:{number}: {_show(char)} cannot be in a charset, {problem}.")
                if char in chars:
                    repeated.append(char)
                chars[char] = None
        notes = []
        if recomposed:
            notes.append(f"{counted(recomposed, 'entry', 'entries')} changed to NFC")
        if split:
            notes.append(f"{counted(split, 'entry', 'entries')} of several code points split")
        if repeated:
            notes.append(f"{counted(len(repeated), 'repeated character')} removed (first {_show(repeated[0])})")
        if not chars:
            raise InputError(f"{path}: expected characters, found an empty file.")
        if paddle and " " not in chars:
            chars[" "] = None
            notes.append("space appended last (a one-per-line dictionary cannot contain it)")
        return cls("".join(chars), note=f"{path}: " + ", ".join(notes) if notes else "")

    def save(self, path: str | Path, *, one_per_line: bool = False, create: bool = False) -> None:
        """Write a UTF-8 file for `load`: one line of characters, or PaddleOCR's one character a line (`load` appends a
        missing space). Atomic; creates parent folders. Raises InputError when the path cannot be written, UsageError
        with `create` when the file exists."""
        body = "\n".join(self.chars) if one_per_line else self.chars
        path = Path(path)
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: cannot be written (it exists and is not a file).")
        write_bytes(path, (body + "\n").encode(), create=create)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file; only a line feed ends one. Raises InputError for a file that cannot be read and
    for the first line that is not UTF-8."""
    try:
        text = read_stream(path).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}."
        ) from error
    # Only \n ends a line: str.splitlines would also cut at U+2028, U+0085 and others that a charset may hold.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _problem(char: str) -> str:
    if char in _FORBIDDEN or "\ud800" <= char <= "\udfff":
        return "which a one-line UTF-8 label cannot contain"
    if normalize("NFC", char) != char:
        return f"which is not NFC (its NFC form is {normalize('NFC', char)!r})"
    return ""


def _show(char: str) -> str:
    return f"{char!r} (U+{ord(char):04X})"
