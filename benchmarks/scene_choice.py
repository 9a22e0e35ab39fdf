"""Which scenes to hold out, and what a hold-out shares with the rest. Part of scene_groups.py."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from wordfreq import zipf_frequency

from ocrctl.data.annotations.index import Annotations

SWAPS = 20_000


def words_of(data: Annotations, least: int, *, lines: bool = False) -> dict[str, set[int]]:
    """Images of each word of at least `least` letters (of each line of 6 characters) that is not to be ignored."""
    found: dict[str, set[int]] = defaultdict(set)
    for text, ignore, image in zip(data.texts, data.ignore, data.image_id.tolist(), strict=True):
        if not ignore:
            lower = text.strip().lower()
            pieces = [lower][: len(lower) >= 6] if lines else re.findall(rf"[^\W\d_]{{{least},}}", lower)
            for piece in pieces:
                found[piece].add(image)
    return found


def choose(data: Annotations, group: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    """Whole groups of exactly `count` images: simulated annealing over exchanges of groups."""
    random = np.random.default_rng(seed)
    has = np.zeros((len(data.images), 0), np.int32)
    if repeated := [sorted(images) for images in words_of(data, 4).values() if len(images) > 1]:
        has = np.zeros((len(data.images), len(repeated)), np.int32)
        for column, images in enumerate(repeated):
            has[images, column] = 1
    everywhere = has.sum(0)
    words = np.bincount(data.image_id[~data.ignore], minlength=len(data.images))
    kinds = _kinds(data)

    def cost(held: NDArray[np.bool_]) -> float:
        inside = has[held].sum(0)
        crossing = (inside > 0) & (inside < everywhere)
        sharing = float((has[held][:, crossing].any(1)).mean())
        drift = sum(float(np.abs(k[held].sum(0) / k[held].sum() - k.sum(0) / k.sum()).sum()) for k in kinds)
        drift += abs(float(words[held].mean() / max(words.mean(), 1e-9)) - 1)
        return sharing + drift + 20 * abs(int(held.sum()) - count) / count

    order = random.permutation(group.max() + 1)
    sizes = np.bincount(group)
    small = order[sizes[order] <= max(1, count // 3)]
    chosen = set(small[np.cumsum(sizes[small]) <= count].tolist())
    held = np.isin(group, list(chosen))
    now, best = cost(held), (cost(held), held)
    for step in range(SWAPS):
        move = set(random.choice(small, int(random.integers(1, 4)), replace=False).tolist())
        trial = np.isin(group, list(chosen ^ move))
        if trial.any() and (then := cost(trial)) < now - 0.02 * (1 - step / SWAPS) * np.log(1 - random.random()):
            chosen, now = chosen ^ move, then
            best = min(best, (now, trial), key=lambda one: one[0])
    if int(best[1].sum()) != count:
        raise SystemExit(f"no choice of whole groups holds {count} pictures")
    return best[1]


def _kinds(data: Annotations) -> list[NDArray[np.float64]]:
    """What a hold-out should be like: images by their number of words (I, 10), words by height, ignored ones too."""
    words = np.bincount(data.image_id[~data.ignore], minlength=len(data.images))
    by_count = np.eye(10)[np.digitize(words, (1, 2, 4, 7, 12, 25, 40, 55, 75))]
    extent = np.array([np.ptp(data.polygon(index), axis=0).min() for index in range(len(data))])
    by_height = np.zeros((len(data.images), 12))
    np.add.at(by_height, (data.image_id, np.digitize(extent, (10, 15, 20, 30, 50)) + 6 * data.ignore), 1)
    return [by_count, by_height]


def sharing(data: Annotations, held: NDArray[np.bool_], least: int, most: float | None) -> tuple[int, int]:
    """How many of the held images hold a word of `least` letters, in English less common than `most` (Zipf), and how
    many one that stands in an image of the rest too."""
    has, share = set(), set()
    for word, images in words_of(data, least).items():
        if most is None or zipf_frequency(word, "en") < most:
            mine = {image for image in images if held[image]}
            has |= mine
            if len(mine) < len(images):
                share |= mine
    return len(has), len(share)
