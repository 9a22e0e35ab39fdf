"""Which string a word image shows: dictionary words, random strings and numbers, parted into train and val by a hash."""

from __future__ import annotations

from functools import cached_property
from random import Random
from zlib import crc32

from ocrctl.data.synth.config import DIGITS, HANGUL_SYLLABLES, LOWER, PUNCTUATION, UPPER, SynthWordsConfig
from ocrctl.data.synth.vocabulary import dictionary, word_list
from ocrctl.errors import UsageError

_TAILS = ".,!:;?%'-/"
_BRACKETS = ("()", "[]", '""', "''", "{}", "<>")
_LINKS = "-.'/&_+@:"
_NUMBERS = ("#", "##", "###", "####", "19##", "20##", "#,###", "#.##", "##.##", "$#", "$##", "$#.##", "#%", "##%", "#/#", "#-##", "#:##",
            "##:##", "##.##.##", "###-####", "+## ###", "#th", "#st", "A#", "#A", "A##", "AA##", "###A", "No.#", "#x#", "#-####-###")  # fmt: skip
_TRIES = 400  # a random string lands in a split of 10 % within 44 tries at 99 %


def split_key(text: str) -> str:
    """Letters and digits of `text` without case: what decides which split a label belongs to."""
    return "".join(filter(str.isalnum, text.casefold()))


def in_val(text: str, share: float) -> bool:
    """Whether `text` belongs to val. Strings of one or two letters belong to both: a split must not lose a character."""
    return crc32(b"ocrctl:" + split_key(text).encode()) % 10_000 < share * 10_000


class Labels:
    """Draws labels by the settings; pure in the state of the `Random` it is given."""

    def __init__(self, config: SynthWordsConfig) -> None:
        self.config = config
        self._excluded = frozenset(word.casefold() for word in config.exclude)
        self._cases = (config.lower, config.lower + config.upper, config.lower + config.upper + config.title)
        self._case_sum = self._cases[-1] + config.mixed

    @cached_property
    def charset(self) -> str:
        """Every character a label can hold, sorted by code point."""
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
    def _words(self) -> dict[str, tuple[str, ...]]:
        return {script: self._usable(script) for script in self.config.scripts}

    def _usable(self, script: str) -> tuple[str, ...]:
        config = self.config
        words = word_list(config.words) if config.words else dictionary(script)
        own_case = bool(config.words)
        kept = []
        for word in words:
            if config.min_length <= len(word) <= config.max_length and (
                own_case or self._allowed.issuperset(self._plain(word))
            ):
                if self.admits(word):
                    kept.append(word)
        return tuple(kept)

    def _plain(self, word: str) -> str:
        if self.config.alphabet and not self._allowed & set(LOWER):
            return word.upper()
        return word if self.config.lower or self.config.title or self.config.mixed else word.upper()

    @cached_property
    def _pools(self) -> dict[str, str]:
        """What random strings are made of, for each script: letters, digits and, where wanted, any other allowed character."""
        pools = {}
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
        """Whether `text` is in the split and not excluded."""
        config = self.config
        if self._excluded and (text.casefold() in self._excluded or split_key(text) in self._excluded):
            return False
        if config.split is None or len(split_key(text)) < 3:
            return True
        return in_val(text, config.val_share) == (config.split == "val")

    def draw(self, r: Random) -> str:
        """One label: within the length bounds, the charset and the split. Raises UsageError when the settings allow none."""
        config = self.config
        for _ in range(_TRIES):
            script = config.scripts[int(r.random() * len(config.scripts))]
            kind = r.random()
            if kind < config.random_share:
                text = self._random(r, script)
            elif kind < config.random_share + config.number_share and config.digits:
                text = self._number(r)
            else:
                text = self._word(r, script)
            if config.punctuation_share and r.random() < config.punctuation_share:
                text = self._punctuate(r, text)
            if (
                config.min_length <= len(text) <= config.max_length
                and self._allowed.issuperset(text)
                and self.admits(text)
            ):
                return text
        raise UsageError(
            "synth: no label fits the alphabet, the lengths, the split and the excluded words together; widen one of them."
        )

    def any_word(self, r: Random) -> str:
        """A word to stand beside the label, of any split: it is never a label itself."""
        words = self._words[self.config.scripts[0]]
        return words[int(len(words) * r.random())] if words else "and"

    def _word(self, r: Random, script: str) -> str:
        words = self._words[script]
        if not words:
            return self._random(r, script)
        word = words[int(len(words) * r.random() ** 1.7)]  # frequent words more often, rare ones still in reach
        if self.config.words or script == "hangul":
            return word
        return self._cased(r, word)

    def _cased(self, r: Random, word: str) -> str:
        if self.config.alphabet and not self._allowed & set(LOWER):
            return word.upper()
        pick = r.random() * self._case_sum
        if pick < self._cases[0]:
            return word
        if pick < self._cases[1]:
            return word.upper()
        if pick < self._cases[2]:
            return word[:1].upper() + word[1:]
        bits = r.getrandbits(len(word))
        return "".join(c.upper() if bits >> i & 1 else c for i, c in enumerate(word))

    def _random(self, r: Random, script: str) -> str:
        config, letters = self.config, self._pools[script]
        span = config.max_length - config.min_length + 1
        # long random strings are rare in life: up to 10 uniform, the rest of the range seldom
        top = span if r.random() < 0.1 else min(span, 10)
        length = config.min_length + int(r.random() * top)
        mode = r.random()
        pool = letters or DIGITS
        if config.digits and self._allowed.issuperset(DIGITS):
            pool = (
                letters
                if letters and mode < 0.4
                else DIGITS
                if mode < 0.5
                else letters + DIGITS * max(1, len(letters) // 20)
            )
        if script == "latin" and not config.alphabet:
            if mode * 7 % 1 < 0.5 and config.upper:  # codes and plates are written in one case
                pool = pool.upper()
            elif mode * 7 % 1 < 0.7 and config.lower:
                pool = pool.lower()
        size = len(pool)
        return "".join([pool[int(r.random() * size)] for _ in range(length)])

    def _number(self, r: Random) -> str:
        config = self.config
        if not config.punctuation_share:
            length = config.min_length + int(r.random() * min(5, config.max_length - config.min_length + 1))
            return "".join([DIGITS[int(r.random() * 10)] for _ in range(length)])
        text = []
        for sign in _NUMBERS[int(r.random() * len(_NUMBERS))]:
            if sign == "#":
                text.append(DIGITS[int(r.random() * 10)])
            elif sign == "A":
                text.append(self._cased(r, LOWER[int(r.random() * 26)]))
            elif sign != " ":
                text.append(sign)
        return "".join(text)

    def _punctuate(self, r: Random, text: str) -> str:
        pick, which = r.random(), r.random()
        if pick < 0.4:
            return text + _TAILS[int(which * len(_TAILS))]
        if pick < 0.55:
            left, right = _BRACKETS[int(which * len(_BRACKETS))]
            return left + text + right
        if pick < 0.75:
            place = max(1, min(len(text) - 1, int(r.random() * len(text))))
            return text[:place] + _LINKS[int(which * len(_LINKS))] + text[place:]
        sign = PUNCTUATION[int(which * len(PUNCTUATION))]
        place = int(r.random() * (len(text) + 1))
        return text[:place] + sign + text[place:]
