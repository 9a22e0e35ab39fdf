"""The texts of `--ngram`: a built-in word list, a text file, or the labels of a SPEC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.config.card_ngram import BUILT_IN, ENGLISH
from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.text.charset import Charset, read_lines
from ocrctl.text.ngram import NgramModel, Texts, known_characters

ENGLISH_WORDS = 20_000  # most frequent words of wordfreq's list


def load_ngram(sources: Sequence[str], charset: Charset) -> NgramModel:
    """Count an n-gram model on the texts of `sources` (`texts_of`), all with the same weight. Raises InputError as
    `texts_of` does, and for a source in which no text has a character of the charset."""
    return NgramModel({source: texts_of(source) for source in sources}, charset)


def load_own_ngram(card: ModelCard) -> NgramModel | None:
    """Count the n-gram model of a card. None without any, and when its texts say nothing about the characters of the
    charset, as after `model cut`."""
    charset, own = Charset(card.charset), card.ngram
    texts = {str(number): stored_texts(one) for number, one in enumerate(own.sources if own is not None else ())}
    held = {name: one for name, one in texts.items() if known_characters(one, charset)}
    return NgramModel(held, charset) if held else None


def stored_texts(source: str | Mapping[str, int]) -> Texts:
    """Return the texts of a source of a card: those of a built-in list, or how often each occurs."""
    return built_in(source) if isinstance(source, str) else source


def texts_of(source: str) -> Iterable[str]:
    """Return the texts of one source: a built-in list (`./english` names a file); the labels of a SPEC of words; else
    a file with one text a line, UTF-8. Raises InputError for a file or SPEC that cannot be read, and for a file with
    tabs, whose format is unknown."""
    path = Path(source)
    if source in BUILT_IN:
        return built_in(source)
    if not path.exists() or path.is_dir() or _is_word_set(path):
        from ocrctl.data.formats.spec import open_source

        return open_source(source).labels
    lines = [line for line in read_lines(path) if line]
    if tabs := sum("\t" in line for line in lines):
        raise InputError(
            f"{source}: expected one text a line, found a tab in {tabs:,} of {len(lines):,} lines.",
            hint="for the labels of a dataset, name its format: FORMAT:PATH",
        )
    return lines


def built_in(name: str) -> list[str]:
    """Return the texts of a built-in list. `english`: the words of a frequency list in lower case, capitalised and in
    capitals."""
    assert name == ENGLISH
    from ocrctl.data.synth.words.vocabulary import dictionary

    words = dictionary("latin")[:ENGLISH_WORDS]
    return [form for word in words for form in (word, word.capitalize(), word.upper())]


def _is_word_set(path: Path) -> bool:
    from ocrctl.data.formats import word_sets

    return path.is_file() and bool(word_sets(path))
