"""The texts of `--ngram`: a built-in word list, a text file, or the labels of a SPEC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.config.card_ngram import ENGLISH
from ocrctl.errors import InputError
from ocrctl.text.charset import Charset, read_lines
from ocrctl.text.ngram import NgramModel

ENGLISH_WORDS = 20_000  # most frequent words of wordfreq's list


def load_ngram(sources: Sequence[str | Mapping[str, int]], charset: Charset) -> NgramModel:
    """Count an n-gram model on the texts of `sources` (`texts_of`, or how often each text occurs), all with the same
    weight. Raises InputError as `texts_of` does,
    and when no text has a character of the charset."""
    collections = [texts_of(one) if isinstance(one, str) else Counter(one).elements() for one in sources]
    return NgramModel(collections, charset, ", ".join(one for one in sources if isinstance(one, str)) or "n-gram model")


def texts_of(source: str) -> Iterable[str]:
    """Return the texts of one source: `english`, the words of a frequency list in lower case, capitalised and in
    capitals; the labels of a SPEC of words; else a file with one text a line, UTF-8. Raises InputError for a file or
    SPEC that cannot be read, and for a file with tabs, whose format is unknown."""
    path = Path(source)
    if source == ENGLISH and not path.exists():
        from ocrctl.data.synth.words.vocabulary import dictionary

        return [
            form for word in dictionary("latin")[:ENGLISH_WORDS] for form in (word, word.capitalize(), word.upper())
        ]
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


def _is_word_set(path: Path) -> bool:
    from ocrctl.data.formats import word_sets

    return path.is_file() and bool(word_sets(path))
