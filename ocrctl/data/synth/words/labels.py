"""Sample labels: dictionary words, random strings and numbers, split into train and val by a hash."""

from __future__ import annotations

from functools import cached_property
from random import Random
from zlib import crc32

from ocrctl.data.synth.words.config import DIGITS, HANGUL_SYLLABLES, LOWER, PUNCTUATION, UPPER, SynthWordsConfig
from ocrctl.data.synth.words.patterns import digits, number, punctuate
from ocrctl.data.synth.words.vocabulary import dictionary, word_list
from ocrctl.errors import UsageError
from ocrctl.text.tokenizer import CTCTokenizer

_PLAIN = 0.6  # share of random Latin strings without accents, when the charset has accents
_TRIES = 400  # a random string misses a split of 10 % 200 times with a probability of 1e-9


def split_key(text: str) -> str:
    """Return the letters and digits of `text` without case, which decide its split."""
    folded = text.casefold()
    return folded if folded.isalnum() else "".join(filter(str.isalnum, folded))


def in_val(text: str, share: float) -> bool:
    """Return whether `text` belongs to val. Strings of one or two letters belong to both: no split lacks a
    character."""
    return crc32(b"ocrctl:" + split_key(text).encode()) % 10_000 < share * 10_000


class Labels:
    """Sample labels by the settings; pure in the state of the given `Random`."""

    def __init__(self, config: SynthWordsConfig) -> None:
        self.config = config
        self._excluded = frozenset(word.casefold() for word in config.exclude)

    @cached_property
    def charset(self) -> str:
        """Return every character a label can hold, sorted by code point."""
        config = self.config
        found: set[str] = set(DIGITS if config.digits else "")
        if "latin" in config.scripts:
            found.update(LOWER if config.lower or config.title or config.mixed else "")
            found.update(UPPER if config.upper or config.title or config.mixed else "")
        if "hangul" in config.scripts:
            found.update(HANGUL_SYLLABLES)
        if config.punctuation_share:
            found.update(PUNCTUATION)
        if config.alphabet:
            found = set(config.alphabet) - {" "}
        return "".join(sorted(found))

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.charset)

    @cached_property
    def _cases(self) -> tuple[float, float, float, float]:
        """Upper bounds in 0..1 of lower, upper, title and mixed, without cases that the charset has no letters for."""
        config, allowed = self.config, self._allowed
        has_lower, has_upper = bool(allowed & set(LOWER)), bool(allowed & set(UPPER))
        both = has_lower and has_upper
        weights = [config.lower * has_lower, config.upper * has_upper, config.title * both, config.mixed * both]
        if not any(weights):
            weights = [float(has_lower), float(has_upper and not has_lower), 0.0, 0.0]
        total = sum(weights) or 1.0
        return tuple(sum(weights[: i + 1]) / total for i in range(4))  # type: ignore[return-value]

    @cached_property
    def _words(self) -> dict[str, tuple[str, ...]]:
        return {script: self._usable(script) for script in self.config.scripts}

    def _usable(self, script: str) -> tuple[str, ...]:
        config, allowed = self.config, self._allowed
        if config.words:
            known = word_list(config.words)
            drawable = [word for word in known if allowed.issuperset(word)]
        else:
            known = dictionary(script)
            drawable = [word for word in known if allowed.issuperset(word) or allowed.issuperset(word.upper())]
        return tuple(w for w in drawable if config.min_length <= len(w) <= config.max_length and self.admits(w))

    @cached_property
    def _pools(self) -> dict[str, str]:
        """Letters of random strings, for each script."""
        pools: dict[str, str] = {}
        for script in self.config.scripts:
            if script == "hangul":
                letters = "".join(sorted({s for w in dictionary("hangul")[:4000] for s in w} & self._allowed))
            else:
                letters = "".join(
                    c
                    for c in self.charset
                    if c not in PUNCTUATION and c not in DIGITS and not "\uac00" <= c <= "\ud7a3"
                )
            if not letters and not self._allowed & set(DIGITS):
                raise UsageError(f"synth.alphabet: '{self.config.alphabet}' has no letter of {script} and no digit.")
            pools[script] = letters
        return pools

    def admits(self, text: str) -> bool:
        """Return whether `text` is in the split and not excluded."""
        config = self.config
        if self._excluded and (text.casefold() in self._excluded or split_key(text) in self._excluded):
            return False
        if config.split is None or len(split_key(text)) < 3:
            return True
        return in_val(text, config.val_share) == (config.split == "val")

    def draw(self, r: Random) -> str:
        """Sample one label within the lengths, the charset and the split. Raises UsageError when none is possible."""
        config = self.config
        for attempt in range(_TRIES):
            if attempt % (_TRIES // 2) == 0:
                # kind and script are kept while strings are rejected, else a small split would lack random strings
                script, kind = config.scripts[int(r.random() * len(config.scripts))], r.random()
            if kind < config.random_share:
                text = self._random(r, script)
            elif kind < config.random_share + config.number_share and self._has_digits:
                text = self._number(r)
            else:
                text = self._word(r, script)
            if config.punctuation_share and r.random() < config.punctuation_share:
                text = punctuate(r, text)
            if (
                config.min_length <= len(text) <= config.max_length
                and self._allowed.issuperset(text)
                and (not config.max_steps or CTCTokenizer.required_steps(text) <= config.max_steps)
                and self.admits(text)
            ):
                return text
        raise UsageError(
            "synth: no label fits the alphabet, lengths, split and excluded words together; widen one of them."
        )

    @cached_property
    def _has_digits(self) -> bool:
        return self.config.digits and self._allowed.issuperset(DIGITS)

    def _number(self, r: Random) -> str:
        low, high = self.config.min_length, self.config.max_length
        return number(r) if self.config.punctuation_share else digits(r, low, min(high, low + 4))

    def any_word(self, r: Random) -> str:
        """Sample a word to draw beside the label, of any split: it is never a label."""
        words = self._words[self.config.scripts[0]]
        return words[int(len(words) * r.random())] if words else "and"

    def _word(self, r: Random, script: str) -> str:
        words = self._words[script]
        if not words:
            return self._random(r, script)
        word = words[int(len(words) * r.random() ** 1.7)]  # frequent words more often, rare ones still possible
        if self.config.words or script == "hangul":
            return word
        return self._cased(r, word)

    def _cased(self, r: Random, word: str) -> str:
        pick = r.random()
        lower, upper, title, _ = self._cases
        if pick < lower:
            return word
        if pick < upper:
            return word.upper()
        if pick < title:
            return word[:1].upper() + word[1:]
        bits = r.getrandbits(len(word))
        return "".join(c.upper() if bits >> i & 1 else c for i, c in enumerate(word))

    def _random(self, r: Random, script: str) -> str:
        config, letters = self.config, self._pools[script]
        if script == "latin" and not letters.isascii() and r.random() < _PLAIN:
            letters = "".join(c for c in letters if c.isascii()) or letters
        span = config.max_length - config.min_length + 1
        # long random strings are rare: up to 10 characters uniformly, the rest of the range seldom
        long, at = r.random() < 0.1, r.random()
        length = config.min_length + int(at * at * span if long else at * min(span, 10))
        mode, case = r.random(), r.random()
        if case < 0.5 and self._cases[1] > self._cases[0]:  # codes and number plates use one case
            letters = letters.upper() if self._allowed.issuperset(letters.upper()) else letters
        elif case < 0.7 and self._cases[0]:
            letters = letters.lower() if self._allowed.issuperset(letters.lower()) else letters
        pool = letters or DIGITS
        if letters and mode > 0.4 and self._has_digits:
            # digits as frequent as in codes, also among thousands of syllables
            pool = DIGITS if mode < 0.5 else letters + DIGITS * max(1, len(letters) // 20)
        size = len(pool)
        return "".join([pool[int(r.random() * size)] for _ in range(length)])
