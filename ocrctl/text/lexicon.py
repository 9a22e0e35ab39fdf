"""A lexicon: the words that a recogniser may read, as a prefix tree over its classes.

With CTC the most probable words are found exactly: the forward algorithm (Graves et al., 2006, section 4.1,
https://www.cs.toronto.edu/~graves/icml_2006.pdf) runs over the whole tree, so that words share the work for their
common prefix. Lexicon-constrained decoding as in Shi et al., 2015, section 2.3.2 (https://arxiv.org/abs/1507.05717).
Shapes: N images, T steps, K classes, M nodes of the tree, W words.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.text.charset import read_lines
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import Tokenizer

NEVER = -np.inf
_CELLS = 1 << 20  # images times nodes whose probabilities are computed at a time
_SHOWN = 5  # characters named in a note


class Lexicon:
    """Words as a prefix tree. Node 0 is the empty prefix; every other node adds one character to its parent.

    parents, labels: int64 (M,), parent and class of each node (0 and 0 for the root). ends: bool (M,), whether a word
    ends there. note: which words the model cannot read, "" if it can read all.
    """

    def __init__(self, words: Iterable[str], tokenizer: Tokenizer, where: str) -> None:
        """Build the tree of `words` (NFC is applied). Words with characters outside the charset and words longer than
        the model's maximum are left out, and counted in `note`. Raises InputError when no word is left."""
        charset, given = tokenizer.charset, list(dict.fromkeys(map(normalize_label, words)))
        unknown = [word for word in given if any(char not in charset for char in word)]
        known = [word for word in given if word and all(char in charset for char in word)]
        kept = [word for word in known if len(word) <= tokenizer.max_length]
        problems = _problems(unknown, len(known) - len(kept), tokenizer)
        if not kept:
            reason = f": of {len(given):,}, {problems}" if problems else ", found none"
            raise InputError(f"{where}: expected words that the model can read{reason}.")
        self.note = f"{where}: of {len(given):,} words the model cannot read {problems}" if problems else ""
        parents, labels, ends = [0], [0], [False]
        children: dict[tuple[int, int], int] = {}
        for word in kept:
            node = 0
            for char in word:
                label = charset.index(char) + 1
                following = children.get((node, label))
                if following is None:
                    following = children[node, label] = len(parents)
                    parents.append(node)
                    labels.append(label)
                    ends.append(False)
                node = following
            ends[node] = True
        self.parents, self.labels, self.ends = np.array(parents), np.array(labels), np.array(ends)
        self.words = len(kept)

    @classmethod
    def load(cls, path: Path, tokenizer: Tokenizer) -> Lexicon:
        """Read a UTF-8 file with one word a line; empty lines are skipped. Raises InputError for a file that cannot be
        read, that is not UTF-8, or that holds no word the model can read."""
        return cls((line for line in read_lines(path) if line), tokenizer, str(path))

    def ids(self, node: int) -> list[int]:
        """Return the classes of the prefix at `node`."""
        found = []
        while node:
            found.append(int(self.labels[node]))
            node = int(self.parents[node])
        return found[::-1]

    def best_words(self, log_probs: NDArray[np.float32], count: int) -> list[list[tuple[list[int], float]]]:
        """Find up to `count` words of each image by CTC, exactly.

        log_probs: (N, T, K). Returns for each image (class ids, log probability) of its words, best first; none where
        no word fits into T steps.
        """
        found = []
        rows = max(1, _CELLS // len(self.parents))
        for first in range(0, len(log_probs), rows):
            scores = self._scores(log_probs[first : first + rows])
            scores[:, ~self.ends] = NEVER
            count = min(count, scores.shape[1])
            best = np.argpartition(scores, -count, axis=1)[:, -count:]
            for row, nodes in zip(scores, best, strict=True):
                ordered = sorted(nodes.tolist(), key=lambda node: (-row[node], node))
                found.append([(self.ids(node), float(row[node])) for node in ordered if row[node] > NEVER])
        return found

    def _scores(self, log_probs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log probability of each prefix as a whole text, (N, M)."""
        images, steps, _ = log_probs.shape
        repeats = self.labels == self.labels[self.parents]  # a blank must lie between equal characters
        blank, character = np.full((2, images, len(self.parents)), NEVER)  # of alignments that end with either
        blank[:, 0] = 0.0
        for step in range(steps):
            now = log_probs[:, step].astype(np.float64)  # (N, K)
            both = np.logaddexp(blank, character)
            entered = np.where(repeats, blank[:, self.parents], both[:, self.parents])
            character = np.logaddexp(character, entered) + now[:, self.labels]
            character[:, 0] = NEVER
            blank = both + now[:, :1]
        return np.logaddexp(blank, character)


def _problems(unknown: list[str], long: int, tokenizer: Tokenizer) -> str:
    """Say how many words a model cannot read, and why; "" for none."""
    problems = []
    if unknown:
        missing = "".join(tokenizer.charset.unknown(unknown))
        more = " ..." if len(missing) > _SHOWN else ""
        problems.append(f"{len(unknown):,} with characters outside the charset ({missing[:_SHOWN]}{more})")
    if long:
        problems.append(f"{long:,} with more than {tokenizer.max_length} characters")
    return " and ".join(problems)
