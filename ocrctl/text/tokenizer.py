"""Convert labels to class ids and back: for CTC (Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf),
and for autoregressive decoders (the classes of PARSeq, https://arxiv.org/abs/2207.06966)."""

from __future__ import annotations

from itertools import islice
from operator import eq
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError, counted
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label, shortened_label


class Tokenizer(Protocol):
    """Interface of a tokenizer. `pad` fills a batch of labels after the shorter ones."""

    charset: Charset
    max_length: int
    num_classes: int
    pad: int

    def encode(self, text: str) -> list[int]:
        """Return the class ids of `text`. Raises InputError for a label that the model cannot predict."""

    def required_steps(self, text: str) -> int:
        """Return the minimum output steps for `text`."""

    def scored(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return the steps (B, T) whose probability contributes to the confidence."""

    def decode(self, ids: NDArray[np.integer], probs: NDArray[np.floating] | None = None) -> list[tuple[str, float]]:
        """Convert (B, T) best classes and their probabilities to B pairs (text, confidence in 0..1; NaN without
        `probs`)."""


class CTCTokenizer:
    """Blank is class 0, character i of the charset is class i + 1; `num_classes` is len(charset) + 1."""

    blank = 0
    pad = 0

    def __init__(self, charset: Charset, max_length: int) -> None:
        """`max_length`: maximum label length in code points."""
        self.charset = charset
        self.max_length = max_length
        self.num_classes = len(charset) + 1
        self._ids = {char: index + 1 for index, char in enumerate(charset)}
        self._chars = np.array(["", *charset], dtype="<U1")

    def encode(self, text: str) -> list[int]:
        """Return the class ids of `text` (NFC is applied). Raises InputError for a character outside the charset and
        for a label longer than `max_length`; nothing is removed or truncated."""
        return _class_ids(text, self._ids, self.max_length)

    def scored(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return the first step of each character, as bool (B, T)."""
        kept = ids != self.blank
        kept[:, 1:] &= ids[:, 1:] != ids[:, :-1]
        return kept

    def decode(self, ids: NDArray[np.integer], probs: NDArray[np.floating] | None = None) -> list[tuple[str, float]]:
        """Decode the best path: collapse repeats, then remove blanks.

        ids: (B, T) class of each step. probs: (B, T) probability of that class, or None.
        Returns B pairs (text, confidence). Confidence is the geometric mean of the probabilities of the kept steps
        (the first step of each character), 0.0 for an empty text, and NaN without `probs`.
        """
        batch, steps = ids.shape
        if batch == 0 or steps == 0:
            return [("", float("nan") if probs is None else 0.0)] * batch
        kept = self.scored(ids)
        texts = ["".join(row) for row in np.where(kept, self._chars[ids], "").tolist()]
        if probs is None:
            return [(text, float("nan")) for text in texts]
        return list(zip(texts, _geometric_means(probs, kept), strict=True))

    @staticmethod
    def required_steps(text: str) -> int:
        """Return the minimum output steps for `text`: one per character, and a blank between repeats."""
        return len(text) + sum(map(eq, text, islice(text, 1, None)))


class ARTokenizer:
    """[EOS] is class 0, character i of the charset is class i + 1; then [BOS] and [PAD], which are inputs but never
    predicted: `num_classes` is len(charset) + 1."""

    eos = 0

    def __init__(self, charset: Charset, max_length: int) -> None:
        """`max_length`: maximum label length in code points."""
        self.charset = charset
        self.max_length = max_length
        self.num_classes = len(charset) + 1
        self.bos, self.pad = self.num_classes, self.num_classes + 1
        self._ids = {char: index + 1 for index, char in enumerate(charset)}
        self._chars = np.array(["", *charset], dtype="<U1")

    def encode(self, text: str) -> list[int]:
        """Return [BOS], the classes of `text` (NFC is applied), [EOS]. Raises InputError for an empty label (a model
        trained with [EOS] right after [BOS] predicts empty texts), a character outside the charset, and a label longer
        than `max_length`."""
        ids = _class_ids(text, self._ids, self.max_length)
        if not ids:
            raise InputError("An empty label is not supported: the model would learn to predict [EOS] first.")
        return [self.bos, *ids, self.eos]

    def scored(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return the steps up to and with the first [EOS] of each row, or to the maximum length, as bool (B, T)."""
        is_end = ids == self.eos
        ended = np.cumsum(is_end, axis=1) > 0
        kept = np.concatenate([np.ones((len(ids), 1), bool), ~ended[:, :-1]], axis=1)
        kept[:, self.max_length :] &= is_end[:, self.max_length :]
        kept[:, self.max_length + 1 :] = False
        return kept

    def decode(self, ids: NDArray[np.integer], probs: NDArray[np.floating] | None = None) -> list[tuple[str, float]]:
        """Decode each row up to its first [EOS], or to the maximum length: a step beyond it is only for [EOS].

        ids: (B, T) class of each step. probs: (B, T) probability of that class, or None. Returns B pairs
        (text, confidence): the geometric mean of the characters' and the [EOS]'s probabilities (also of
        an empty text), NaN without `probs`.
        """
        open_ = np.cumsum(ids == self.eos, axis=1) == 0  # (B, T): before the end
        open_[:, self.max_length :] = False
        texts = ["".join(row) for row in np.where(open_, self._chars[ids], "").tolist()]
        if probs is None or ids.shape[1] == 0:
            return [(text, float("nan") if probs is None else 0.0) for text in texts]
        return list(zip(texts, _geometric_means(probs, self.scored(ids)), strict=True))

    @staticmethod
    def required_steps(text: str) -> int:
        """Return the output steps for `text`: one per character, and one for the end."""
        return len(text) + 1


TOKENIZERS: dict[str, type[CTCTokenizer] | type[ARTokenizer]] = {"ctc": CTCTokenizer, "ar": ARTokenizer}


def make_tokenizer(kind: str, charset: Charset, max_length: int) -> Tokenizer:
    """Return the tokenizer of `kind`, a key of TOKENIZERS; `max_length`: maximum label length in code points."""
    return TOKENIZERS[kind](charset, max_length)


def _class_ids(text: str, ids: dict[str, int], max_length: int) -> list[int]:
    text = normalize_label(text)
    if len(text) > max_length:
        shown = shortened_label(text)
        raise InputError(f"Label {shown} has {counted(len(text), 'character')}, the limit is {max_length}.")
    try:
        return [ids[char] for char in text]
    except KeyError as error:
        char = error.args[0]
        raise InputError(
            f"Label {text!r} contains {char!r} (U+{ord(char):04X}), which is not in the charset."
        ) from None


def _geometric_means(probs: NDArray[np.floating], kept: NDArray[np.bool_]) -> list[float]:
    """Return the geometric mean of the kept (B, T) probabilities of each row; 0.0 where none is kept."""
    logs = np.log(np.maximum(probs.astype(np.float64), 1e-45), where=kept, out=np.zeros(kept.shape))
    counts = kept.sum(axis=1)
    return np.where(counts > 0, np.exp(logs.sum(axis=1) / np.maximum(counts, 1)), 0.0).tolist()
