"""A character n-gram language model that ranks the candidates of a search again.

Interpolated Witten-Bell smoothing (Witten, Bell, "The Zero-Frequency Problem", 1991; Chen, Goodman, 1999, section 2.6,
https://doi.org/10.1006/csla.1999.0128): a context that was followed by many different characters leaves more
probability to those not seen after it. The shortest context is followed by every character of the charset and by the
end of the text alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import log
from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset, read_lines
from ocrctl.text.normalize import normalize_label

ORDER = 4  # characters of an n-gram, the predicted one included
START, END = "\0\0", "\0"  # no label contains a NUL


class NgramModel:
    """Probabilities of texts over a charset, counted on example texts."""

    def __init__(self, texts: Iterable[str], charset: Charset, where: str, order: int = ORDER) -> None:
        """Count the n-grams of `texts` (NFC is applied), each a whole text. A character outside the charset ends the
        context, and is not predicted. Raises InputError when no text has a character of the charset."""
        self.order, self.vocabulary = order, len(charset) + 1
        self._charset = charset
        self._counts: Counter[tuple[str, ...]] = Counter()  # of n-grams of every order
        self._totals: Counter[tuple[str, ...]] = Counter()  # of contexts
        self._kinds: Counter[tuple[str, ...]] = Counter()  # different characters after each context
        for text, number in Counter(map(normalize_label, texts)).items():
            for context, char in self._predictions(text):
                for start in range(len(context) + 1):
                    gram = (*context[start:], char)
                    self._kinds[gram[:-1]] += gram not in self._counts
                    self._counts[gram] += number
                    self._totals[gram[:-1]] += number
        if len(self._counts) <= 1 or all(gram == (END,) for gram in self._counts if len(gram) == 1):
            raise InputError(f"{where}: expected texts with characters of the model's charset, found none.")

    @classmethod
    def load(cls, path: Path, charset: Charset) -> NgramModel:
        """Read a UTF-8 file with one text a line; empty lines are skipped. Raises InputError for a file that cannot be
        read, that is not UTF-8, or that holds no character of the charset."""
        return cls((line for line in read_lines(path) if line), charset, str(path))

    def log_probability(self, text: str) -> float:
        """Return the natural logarithm of the probability of `text`, its end included."""
        return sum(log(self.probability(context, char)) for context, char in self._predictions(text))

    def probability(self, context: tuple[str, ...], char: str) -> float:
        """Return the probability of `char`, a character of the charset or END, after the last characters of
        `context`."""
        found = 1.0 / self.vocabulary
        for start in range(len(context), -1, -1):
            total = self._totals[context[start:]]
            if total == 0:  # longer contexts were not seen either
                break
            kinds = self._kinds[context[start:]]
            found = (self._counts[(*context[start:], char)] + kinds * found) / (total + kinds)
        return found

    def _predictions(self, text: str) -> Iterable[tuple[tuple[str, ...], str]]:
        """Yield each character that is predicted, and the end, with its context."""
        context: tuple[str, ...] = (START,) if self.order > 1 else ()
        for char in text:
            if char not in self._charset:
                context = ()
                continue
            yield context, char
            context = (*context, char)[-(self.order - 1) :] if self.order > 1 else ()
        yield context, END
