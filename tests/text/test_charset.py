from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.errors import InputError, UsageError
from ocrctl.text.charset import BUILTIN, Charset

CHARS = st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0\ufeff").filter(
    lambda char: unicodedata.normalize("NFC", char) == char
)


@given(st.lists(CHARS, min_size=1, unique=True).map("".join))
def test_saved_charset_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, chars: str) -> None:
    path = tmp_path_factory.mktemp("charset") / "charset.txt"
    charset = Charset(chars)
    charset.save(path)
    loaded = Charset.load(path)
    assert loaded == charset and loaded.note == ""
    assert [charset.index(char) for char in chars] == list(range(len(chars)))


@given(st.lists(CHARS, min_size=2, unique=True).map("".join))
def test_one_per_line_reads_back_with_the_space(tmp_path_factory: pytest.TempPathFactory, chars: str) -> None:
    path = tmp_path_factory.mktemp("charset") / "dict.txt"
    Charset(chars).save(path, one_per_line=True)
    assert Charset.load(path).chars == (chars if " " in chars else chars + " ")


def test_paddle_dictionary_gains_the_space_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes("\ufeffb\r\na\r\n가\r\n".encode())
    charset = Charset.load(path)
    assert charset.chars == "ba가 "
    assert "space appended last" in charset.note


def test_decomposed_and_repeated_entries_are_announced(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_text("a\n\u1112\u1161\u11ab\na\n \n", encoding="utf-8")  # the jamo of one syllable
    charset = Charset.load(path)
    assert charset.chars == "a한 "
    assert "NFC" in charset.note and "repeated" in charset.note and "space" not in charset.note


def test_flags_and_compatibility_ideographs_of_paddle_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_text("金\n\n🇰🇷\n\uf90a\n\u0928\u094d\n \n", encoding="utf-8")  # U+F90A is U+91D1 under NFC
    charset = Charset.load(path)
    assert charset.chars == "金🇰🇷\u0928\u094d "
    assert all(word in charset.note for word in ("1 entry changed to NFC", "2 entries of several", "1 repeated"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\nbcd\ne\n", ["dict.txt:2", "one character a line"]),
        (b"a\n\xff\n", ["dict.txt:2", "UTF-8", "0xff"]),
        (b"", ["empty"]),
        (b"a\0b", ["dict.txt:1", "U+0000"]),
    ],
)
def test_what_is_no_charset_is_named_with_its_line(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "dict.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Charset.load(path)
    assert all(word in caught.value.message for word in words)


def test_builtin_names() -> None:
    assert Charset.load("ascii94").chars[:12] == "0123456789ab" and len(Charset.load("ascii94")) == 94
    assert Charset.load("ascii95").chars[-1] == " "
    assert len(Charset.load("lower36")) == 36 and len(Charset.load("digits")) == 10
    with pytest.raises(UsageError) as caught:
        Charset.load("ascii49")
    assert all(name in str(caught.value.hint) for name in BUILTIN)


@pytest.mark.parametrize("chars", ["", "aba", "a\n", "\u212b", "a\0"])
def test_impossible_charsets_are_refused(chars: str) -> None:
    with pytest.raises(UsageError):
        Charset(chars)


def test_unknown_counts_and_from_labels() -> None:
    charset = Charset.from_labels(["cab", "bad"])
    assert charset.chars == "abcd"
    assert charset.unknown(["xaxb", "é"]) == {"x": 2, "é": 1}
    assert "a" in charset and "x" not in charset


def test_charset_is_immutable_and_pickles() -> None:
    charset = Charset("abc", note="told")
    with pytest.raises(AttributeError):
        charset.chars = "d"
    copy = pickle.loads(pickle.dumps(charset))
    assert copy == charset and copy.note == "told" and hash(copy) == hash(charset)
