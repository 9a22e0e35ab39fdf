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
    capitals; a file with one text a line, UTF-8; else the labels of a SPEC of words. Raises InputError for a file or
    SPEC that cannot be read, and for a file of images and labels."""
    path = Path(source)
    if source == ENGLISH and not path.exists():
        from ocrctl.data.synth.words.vocabulary import dictionary

        return [
            form for word in dictionary("latin")[:ENGLISH_WORDS] for form in (word, word.capitalize(), word.upper())
        ]
    if path.is_dir() or not path.exists():
        from ocrctl.data.formats.spec import open_source

        return open_source(source).labels
    lines = [line for line in read_lines(path) if line]
    if tabs := sum("\t" in line for line in lines):
        raise InputError(
            f"{source}: expected one text a line, found a tab in {tabs:,} of {len(lines):,} lines.",
            hint="for the labels of a dataset, name its folder",
        )
    return lines
