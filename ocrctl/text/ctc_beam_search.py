"""CTC prefix beam search: the texts with the highest probability over all alignments, for a batch of images.

Graves, Jaitly, "Towards End-to-End Speech Recognition with Recurrent Neural Networks", 2014, algorithm 1; Hannun et
al., 2014, algorithm 1 (https://arxiv.org/abs/1408.2873), without a language model. Shapes: N images, T steps, K
classes, class 0 the blank, B texts for each image, C classes by which a text is extended.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import UsageError

NEVER = -np.inf
NO_CHARACTER = -1  # last character of a text that does not exist
_HASH = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication modulo 2^64 loses nothing


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log probabilities of logits (..., K), same shape."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def prefix_beam_search(log_probs: NDArray[np.float32], beam: int) -> list[list[tuple[list[int], float]]]:
    """Find up to `beam` texts of each image.

    log_probs: (N, T, K). Returns for each image (class ids, log probability) of its texts, best first: the probability
    of a text is the sum over its alignments that the search kept, so it is exact when `beam` holds every text. An
    extension by a class that is not among the 2 B + 1 best of its step cannot be among the B best texts and is not
    computed. Raises UsageError for a beam below 1.
    """
    if beam < 1:
        raise UsageError(f"a beam needs at least one text, found {beam}.")
    images, steps, classes = log_probs.shape
    if steps == 0 or classes < 2:
        return [[([], 0.0)] for _ in range(images)]
    best_classes = _best_classes(log_probs, min(classes - 1, 2 * beam + 1))  # (N, T, C)
    key = np.zeros((images, beam), np.uint64)  # hash of each text, and of the text without its last character
    parent = np.zeros((images, beam), np.uint64)
    last = np.full((images, beam), NO_CHARACTER)
    blank, character = np.full((2, images, beam), NEVER)  # log probability of alignments that end with either
    blank[:, 0], last[:, 0] = 0.0, 0  # the empty text
    origins, symbols = np.zeros((2, steps, images, beam), np.int64)
    for step in range(steps):
        now = log_probs[:, step].astype(np.float64)  # (N, K)
        both = np.logaddexp(blank, character)
        of_last = np.where(last > 0, np.take_along_axis(now, np.maximum(last, 0), 1), NEVER)
        # A text i extended by the last character of a text j of the beam may be j itself.
        is_parent = (key[:, :, None] == parent[:, None, :]) & (last[:, None, :] > 0)  # (N, i, j)
        from_parent = np.where(last[:, :, None] == last[:, None, :], blank[:, :, None], both[:, :, None])
        joined = np.where(is_parent, from_parent, NEVER).max(axis=1) + of_last  # (N, j)
        kept_blank = both + now[:, :1]
        kept_character = np.logaddexp(character + of_last, joined)
        chosen = best_classes[:, step]  # (N, C)
        extended = np.where(chosen[:, None] == last[:, :, None], blank[:, :, None], both[:, :, None])  # (N, B, C)
        extended = extended + np.take_along_axis(now, chosen, 1)[:, None]
        for j in range(beam):
            extended[is_parent[:, :, j, None] & (chosen[:, None] == last[:, j, None, None])] = NEVER
        scores = np.concatenate([np.logaddexp(kept_blank, kept_character), extended.reshape(images, -1)], axis=1)
        pick = _top(scores, beam)  # (N, B)
        stays = pick < beam
        slot = np.where(stays, pick, (pick - beam) // chosen.shape[1])
        symbol = np.where(stays, 0, np.take_along_axis(chosen, (pick - beam) % chosen.shape[1], 1))
        origins[step], symbols[step] = slot, symbol
        score = np.take_along_axis(scores, pick, 1)
        old_key = np.take_along_axis(key, slot, 1)
        blank = np.where(stays, np.take_along_axis(kept_blank, slot, 1), NEVER)
        character = np.where(stays, np.take_along_axis(kept_character, slot, 1), score)
        parent = np.where(stays, np.take_along_axis(parent, slot, 1), old_key)
        key = np.where(stays, old_key, old_key * _HASH + symbol.astype(np.uint64))
        last = np.where(stays, np.take_along_axis(last, slot, 1), symbol)
        last[score == NEVER] = NO_CHARACTER
    return _texts(np.logaddexp(blank, character), origins, symbols)


def _best_classes(log_probs: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the `count` best classes other than the blank at each step, int64 (N, T, C)."""
    characters = log_probs[:, :, 1:]
    if count == characters.shape[2]:
        return np.broadcast_to(np.arange(1, count + 1), characters.shape)
    return np.argpartition(characters, -count, axis=2)[:, :, -count:] + 1


def _top(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the indices of the `count` highest scores of each row, best first; int64 (N, count)."""
    found = np.argpartition(scores, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(scores, found, 1), axis=1, kind="stable")
    return np.take_along_axis(found, order, 1)


def _texts(
    scores: NDArray[np.float64], origins: NDArray[np.int64], symbols: NDArray[np.int64]
) -> list[list[tuple[list[int], float]]]:
    """Follow each text back to its first character. scores: (N, B); origins, symbols: (T, N, B)."""
    slot = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    ids = np.empty_like(symbols)
    for step in range(len(symbols) - 1, -1, -1):
        ids[step] = np.take_along_axis(symbols[step], slot, 1)
        slot = np.take_along_axis(origins[step], slot, 1)
    found = []
    for row, row_scores in zip(ids.transpose(1, 2, 0), scores, strict=True):
        texts = [(one[one > 0].tolist(), float(score)) for one, score in zip(row, row_scores, strict=True)]
        found.append([text for text in texts if text[1] > NEVER])
    return found
