"""Dictionaries of the word stream: wordfreq's frequency lists, read from their data files, and custom word lists."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from unicodedata import normalize

from ocrctl.errors import InputError, MissingRequirement
from ocrctl.files.regular import read_stream

# below these ranks, wordfreq's lists hold more rare spellings than words
_LISTS = {"latin": ("large_en.msgpack.gz", 60_000), "hangul": ("small_ko.msgpack.gz", 20_000)}


def _is_latin(word: str) -> bool:
    return word.isascii() and word.replace("'", "").isalpha()


def _is_hangul(word: str) -> bool:
    return all("\uac00" <= letter <= "\ud7a3" for letter in word)


@lru_cache(maxsize=4)
def dictionary(script: str) -> tuple[str, ...]:
    """Return the words of `script` ("latin", "hangul"), most frequent first, NFC, lower case.

    Only the list is read, since `import wordfreq` takes longer (Speer 2022, CC BY-SA 4.0).
    Raises MissingRequirement when the package or its list is not installed.
    """
    import msgpack  # type: ignore[import-untyped]  # comes with wordfreq

    name, limit = _LISTS[script]
    spec = find_spec("wordfreq")
    path = Path(spec.origin).parent / "data" / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingRequirement(f"The word list {name} of the package wordfreq is missing; reinstall wordfreq.")
    with gzip.open(path) as stream:
        buckets = msgpack.load(stream, raw=False)
    keep = _is_latin if script == "latin" else _is_hangul
    # the first item is a header; each following bucket holds the words of one frequency step (0.01 decade)
    words = (normalize("NFC", word) for bucket in buckets[1:] for word in bucket)
    return tuple(islice(filter(keep, words), limit))


@lru_cache(maxsize=4)
def word_list(path: str) -> tuple[str, ...]:
    """Read the words of a UTF-8 file, one per line, NFC; empty lines are skipped. Raises InputError for no words."""
    try:
        lines = read_stream(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the word list cannot be read ({error}).") from error
    words = tuple(dict.fromkeys(normalize("NFC", line.strip()) for line in lines if line.strip()))
    if not words:
        raise InputError(f"{path}: the word list is empty; write one word per line.")
    return words
