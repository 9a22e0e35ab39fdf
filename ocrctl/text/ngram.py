"""A character n-gram language model that ranks the candidates of a search again.

Interpolated Witten-Bell smoothing (Witten, Bell, "The Zero-Frequency Problem", 1991; Chen, Goodman, 1999, section 2.6,
https://doi.org/10.1006/csla.1999.0128): a context that was followed by many different characters leaves more
probability to those not seen after it. The shortest context is followed by every known character and by the end of the
text alike. Several collections of texts are interpolated linearly with equal weights (Jelinek, Mercer, 1980).

A character that the texts hardly hold is *unknown*: the model says nothing about it. Word lists hold no spaces and no
digits, so a model of them must neither join the words of a line nor prefer letters to digits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label

ORDER = 6  # characters of an n-gram, the predicted one included
BOUNDARY = "\0"  # before and after a text; no label contains a NUL
RARE = 10  # a character is unknown when it is so many times rarer than the characters of the texts are on average


class NgramModel:
    """Probabilities of texts over the characters that the example texts hold."""

    def __init__(self, collections: Sequence[Iterable[str]], charset: Charset, where: str, order: int = ORDER) -> None:
        """Count the n-grams of the texts of each collection (NFC is applied). Raises InputError naming `where` when no
        text has a character of the charset."""
        texts = [Counter(map(normalize_label, collection)) for collection in collections]
        known = set().union(*(_common(one, charset) for one in texts))
        if not known:
            raise InputError(f"{where}: expected texts with characters of the model's charset, found none.")
        self.order, self.known = order, frozenset(known)
        self._uniform = 1.0 / (len(known) + 1)
        self._runs = re.compile("[" + "".join(map(re.escape, sorted(known))) + "]+")
        self._counts = [_Counts(one, self._runs, order) for one in texts]

    def log_probability(self, text: str) -> float:
        """Return the natural logarithm of the probability of `text`, its end included. Unknown characters divide it
        into texts of their own and have no probability: compare texts with the same unknown characters only."""
        runs = self._runs.findall(text) if text else [""]
        return sum(
            log(self.probability(context, char)) for run in runs for context, char in _predictions(run, self.order)
        )

    def unknown(self, text: str) -> str:
        """Return the unknown characters of `text`, in order."""
        return self._runs.sub("", text)

    def probability(self, context: str, char: str) -> float:
        """Return the probability of `char`, a known character or BOUNDARY for the end, after the last characters of
        `context`, which begins with BOUNDARY at the start of a text."""
        return sum(one.probability(context, char, self._uniform) for one in self._counts) / len(self._counts)


class _Counts:
    """The n-grams of one collection of texts."""

    def __init__(self, texts: Counter[str], runs: re.Pattern[str], order: int) -> None:
        repeated: dict[int, list[str]] = {}  # n-grams by how often their text occurs: Counter counts lists quickly
        for text, number in texts.items():
            held = repeated.setdefault(number, [])
            for run in runs.findall(text):
                padded = BOUNDARY + run + BOUNDARY
                for end in range(2, len(padded) + 1):
                    held += [padded[start:end] for start in range(max(0, end - order), end)]
        self._grams: Counter[str] = Counter()
        for number, held in repeated.items():
            counts = Counter(held)
            if number > 1 or self._grams:
                for gram, count in counts.items():
                    self._grams[gram] += number * count
            else:
                self._grams = counts
        self._totals: Counter[str] = Counter()  # of contexts
        self._kinds: Counter[str] = Counter()  # different characters after each context
        for gram, count in self._grams.items():
            self._totals[gram[:-1]] += count
            self._kinds[gram[:-1]] += 1

    def probability(self, context: str, char: str, uniform: float) -> float:
        found = uniform
        for start in range(len(context), -1, -1):
            total = self._totals[context[start:]]
            if total == 0:  # longer contexts were not seen either
                break
            kinds = self._kinds[context[start:]]
            found = (self._grams[context[start:] + char] + kinds * found) / (total + kinds)
        return found


def _common(texts: Counter[str], charset: Charset) -> set[str]:
    """Return the characters of the charset that are at most RARE times rarer than the average of all that occur; the
    space must not be rarer than the average, as it is where most texts are single words."""
    counts: Counter[str] = Counter()
    for text, number in texts.items():
        for char in text:
            counts[char] += number
    average = counts.total() / max(1, len(counts))
    return {
        char for char, count in counts.items() if count * (1 if char == " " else RARE) >= average and char in charset
    }


def _predictions(run: str, order: int) -> Iterable[tuple[str, str]]:
    """Yield each character of `run` and the end, with the context of at most `order` - 1 characters before it."""
    padded = BOUNDARY + run + BOUNDARY
    for at in range(1, len(padded)):
        yield padded[max(0, at - order + 1) : at], padded[at]
