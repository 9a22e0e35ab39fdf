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
from collections.abc import Iterable, Mapping
from math import log

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label

ORDER = 6  # characters of an n-gram, the predicted one included
BOUNDARY = "\0"  # before and after a text; no label contains a NUL
CHUNK = 1 << 20  # n-grams that are held before they are counted
Texts = Iterable[str] | Mapping[str, int]
"""texts, or how often each occurs"""
RARE = 10  # a character is unknown when it is so many times rarer than the characters of the texts are on average


class NgramModel:
    """Probabilities of texts over the characters that the example texts hold."""

    def __init__(self, collections: Mapping[str, Texts], charset: Charset, order: int = ORDER) -> None:
        """Count the n-grams of the texts of each collection (NFC is applied), by its name. Raises InputError naming the
        first in which no text has a character of the charset."""
        texts = {name: _normalized(collection) for name, collection in collections.items()}
        common = {name: known_characters(one, charset) for name, one in texts.items()}
        for name, held in common.items():
            if not held:
                raise InputError(f"{name}: expected texts with characters of the model's charset, found none.")
        known = set().union(*common.values())
        self.order, self.known = order, frozenset(known)
        self._uniform = 1.0 / (len(known) + 1)
        self._runs = re.compile("[" + "".join(map(re.escape, sorted(known))) + "]+")
        self._counts = [_Counts(one, self._runs, order) for one in texts.values()]

    def log_probability(self, text: str) -> float:
        """Return the natural logarithm of the probability of `text`, its end included. Unknown characters divide it
        into texts of their own and have no probability: compare texts of one `frame` only."""
        runs = self._runs.findall(text) if text else [""]
        return sum(
            log(self.probability(context, char)) for run in runs for context, char in _predictions(run, self.order)
        )

    def frame(self, text: str) -> str:
        """Return `text` with BOUNDARY in place of each run of known characters: `25kg` and `25k` have one frame where
        digits are unknown, `25` has another."""
        return self._runs.sub(BOUNDARY, text)

    def probability(self, context: str, char: str) -> float:
        """Return the probability of `char`, a known character or BOUNDARY for the end, after the last characters of
        `context`, which begins with BOUNDARY at the start of a text."""
        return sum(one.probability(context, char, self._uniform) for one in self._counts) / len(self._counts)


class _Counts:
    """The n-grams of one collection of texts."""

    def __init__(self, texts: Counter[str], runs: re.Pattern[str], order: int) -> None:
        self._grams: Counter[str] = Counter()
        once: list[str] = []  # of texts that occur once: lists are counted quickly
        for text, number in texts.items():
            for run in runs.findall(text):
                padded = BOUNDARY + run + BOUNDARY
                ends = range(2, len(padded) + 1)
                grams = [padded[start:end] for end in ends for start in range(max(0, end - order), end)]
                if number == 1:
                    once += grams
                else:
                    for gram in grams:
                        self._grams[gram] += number
            if len(once) > CHUNK:
                self._grams.update(once)
                once.clear()
        self._grams.update(once)
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


def _normalized(collection: Texts) -> Counter[str]:
    if not isinstance(collection, Mapping):
        return Counter(map(normalize_label, collection))
    texts: Counter[str] = Counter()
    for text, number in collection.items():
        texts[normalize_label(text)] += number
    return texts


def known_characters(collection: Texts, charset: Charset) -> set[str]:
    """Return the characters of the charset that are at most RARE times rarer than the average of all that occur; the
    space must not be rarer than the average, as it is where most texts are single words. Empty: the texts say nothing
    about what a model with this charset reads."""
    counts: Counter[str] = Counter()
    for text, number in _normalized(collection).items():
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
