"""Find which way the text of tall training words runs.

A data set of word crops says what a tall crop reads, not how: of the 120 in ICDAR 2015's training words that are 1.5
times as high as wide, about 40 run up, 40 down, and the others are short slanted words that stand upright. A model that
already reads finds out: of the three orientations the one whose reading is nearest to the label.
"""

from __future__ import annotations

import numpy as np

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.data.datasets.recognition import FiniteWords
from ocrctl.data.images.decode import decode
from ocrctl.data.images.orientations import TURNS, orientations
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.prefetch import chunks
from ocrctl.metrics.recognition import edit_distances
from ocrctl.text.normalize import normalize_label

CHUNK = 64  # words that are decoded and read at a time


def orient_tall(words: FiniteWords, spec: ModelSpec, settings: Settings) -> list[str]:
    """Set `words.turns` for tall words of several characters, as the --from model reads them; without one leave them
    out of `words.indices`. Returns lines for the log.

    Single characters stay upright. The model reads on the CPU, so that a run resumed elsewhere turns the same words.
    Raises InputError for an image that cannot be decoded and for a --from model that cannot be read.
    """
    tall = _tall(words, spec)
    if not len(tall):
        return []
    name, init = words.source.name, settings.model.init
    if init is None:
        words.indices = words.indices[~np.isin(words.indices, tall)]
        return [
            f"{name}: {len(tall)} tall words of several characters are left out, as no --from model reads "
            "which way they run; model.tall=upright keeps them"
        ]
    engine = Engine.load(init, device="cpu", threads=settings.train.threads)
    turns = np.zeros(len(words.source), np.int8)
    for positions in chunks(tall.tolist(), CHUNK):
        views = [
            orientations(decode(words.source.image_bytes(position), words.source.where(position)))
            for position in positions
        ]
        read = engine.recognize([view for three in views for view in three], turn=0)
        for number, position in enumerate(positions):
            readings = read[number * len(TURNS) : (number + 1) * len(TURNS)]
            turns[position] = TURNS[nearest(readings, normalize_label(words.source.labels[position]))]
    words.turns = turns
    upright, left, right = (int((turns[tall] == turn).sum()) for turn in TURNS)
    return [
        f"{name}: of {len(tall)} tall words of several characters {upright} stay upright, {left} are turned to the "
        f"left, {right} to the right, as the --from model reads them"
    ]


def nearest(readings: list[Recognition], label: str) -> int:
    """Return the number of the reading that is nearest to `label` (edit distance), the more confident one of equally
    near ones."""
    distances = edit_distances([label] * len(readings), [one.text for one in readings]).tolist()
    return min(range(len(readings)), key=lambda number: (distances[number], -readings[number].confidence))


def _tall(words: FiniteWords, spec: ModelSpec) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions in the source of the tall words of several characters."""
    kept = spec.kept
    if kept is None or not spec.keeps_aspect or not kept.tall or words.sizes is None:
        return np.zeros(0, np.int64)
    width, height = words.sizes[words.indices].astype(np.int64).T
    found = words.indices[(width > 0) & (height >= kept.tall * width)]
    several = [len(normalize_label(words.source.labels[position])) > 1 for position in found.tolist()]
    return found[np.array(several, np.bool_)]
