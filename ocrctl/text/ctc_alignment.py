"""Align a text with the steps of a CTC model: the most probable path of its blanks and characters (Viterbi).

Graves et al., 2006, section 4.1 (https://www.cs.toronto.edu/~graves/icml_2006.pdf), with the maximum in place of the
sum. Shapes: N images, T steps, K classes, class 0 the blank, L characters of the longest text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEVER = -np.inf


def align(log_probs: NDArray[np.float32], texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
    """Return for each image the first and last step of each character, int64 (characters, 2).

    log_probs: (N, T, K). texts: class ids. The best path of a text that best-path decoding gives is that of the
    decoding. Raises ValueError for a text that needs more than T steps.
    """
    images, steps, _ = log_probs.shape
    longest = max(map(len, texts), default=0)
    if longest == 0:
        return [np.zeros((0, 2), np.int64) for _ in texts]
    labels = np.zeros((images, 2 * longest + 1), np.int64)  # blank, character, blank, ... as in the paper
    for row, text in enumerate(texts):
        labels[row, 1 : 2 * len(text) : 2] = text
    lengths = np.array([2 * len(text) + 1 for text in texts])
    skips = np.zeros(labels.shape, bool)  # states that may follow the state two before them
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    score = np.full(labels.shape, NEVER)
    score[:, :2] = np.take_along_axis(log_probs[:, 0], labels[:, :2], 1)
    moves = np.zeros((steps, *labels.shape), np.int8)  # states that each step advanced by
    for step in range(1, steps):
        one = np.pad(score[:, :-1], ((0, 0), (1, 0)), constant_values=NEVER)
        two = np.where(skips, np.pad(score[:, :-2], ((0, 0), (2, 0)), constant_values=NEVER), NEVER)
        ways = np.stack([score, one, two])
        moves[step] = ways.argmax(0)
        score = ways.max(0) + np.take_along_axis(log_probs[:, step], labels, 1)
    rows = np.arange(images)
    state = lengths - 1
    character = np.maximum(lengths - 2, 0)
    state = np.where(score[rows, character] > score[rows, state], character, state)
    if (stuck := np.isneginf(score[rows, state])).any():
        row = int(stuck.argmax())
        raise ValueError(f"a text of {len(texts[row])} characters cannot be aligned with {steps} steps")
    spans = np.full((images, longest, 2), -1)
    for step in range(steps - 1, -1, -1):
        for row in rows[state % 2 == 1]:
            span = spans[row, state[row] // 2]
            span[0] = step
            span[1] = step if span[1] < 0 else span[1]
        state = state - moves[step, rows, state]
    return [spans[row, : len(text)] for row, text in enumerate(texts)]
