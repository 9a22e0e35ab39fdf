"""Labels to class ids and back, for CTC (Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label


class CTCTokenizer:
    """Blank is class 0, character i of the charset is class i + 1; `num_classes` is len(charset) + 1."""

    blank = 0

    def __init__(self, charset: Charset, max_length: int) -> None:
        """`max_length`: longest label in code points that `encode` accepts."""
        self.charset = charset
        self.max_length = max_length
        self.num_classes = len(charset) + 1
        self._ids = {char: index + 1 for index, char in enumerate(charset)}
        self._chars = np.array(["", *charset], dtype="<U1")

    def encode(self, text: str) -> list[int]:
        """Class ids of `text` (NFC is applied). Raises InputError on a character outside the charset and on a label
        longer than `max_length`: nothing is ever dropped or cut."""
        text = normalize_label(text)
        if len(text) > self.max_length:
            raise InputError(f"Label {text!r} has {len(text)} characters, the limit is {self.max_length}.")
        try:
            return [self._ids[char] for char in text]
        except KeyError as error:
            char = error.args[0]
            raise InputError(f"Label {text!r} holds {char!r} (U+{ord(char):04X}), which the charset lacks.") from None

    def decode(self, ids: NDArray[np.integer], probs: NDArray[np.floating] | None = None) -> list[tuple[str, float]]:
        """Best-path decoding: repeats collapse, then blanks go.

        ids: (B, T) class of each step. probs: (B, T) probability of that class, or None.
        Returns B pairs (text, confidence). Confidence is the geometric mean of the probabilities of the kept steps
        (the first step of each character), 0.0 for an empty text, and NaN without `probs`.
        """
        batch, steps = ids.shape
        if batch == 0 or steps == 0:
            return [("", float("nan") if probs is None else 0.0)] * batch
        kept = ids != self.blank
        kept[:, 1:] &= ids[:, 1:] != ids[:, :-1]
        texts = ["".join(row) for row in np.where(kept, self._chars[ids], "").tolist()]
        if probs is None:
            return [(text, float("nan")) for text in texts]
        logs = np.log(np.maximum(probs.astype(np.float64), 1e-45), where=kept, out=np.zeros((batch, steps)))
        counts = kept.sum(axis=1)
        means = np.where(counts > 0, np.exp(logs.sum(axis=1) / np.maximum(counts, 1)), 0.0)
        return list(zip(texts, means.tolist(), strict=True))

    @staticmethod
    def required_steps(text: str) -> int:
        """Fewest output steps that can spell `text`: one per character, and a blank between equal neighbours."""
        return len(text) + sum(left == right for left, right in pairwise(text))
