from __future__ import annotations

import pickle

import numpy as np
import pytest

from ocrctl.data.datasets.collate import collate
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.models.family import load_part
from ocrctl.models.registry import families, specs

TARGETS = {name: family.targets for name, family in families().items() if family.targets}
QUAD = np.array([[10.0, 10], [90, 12], [88, 40], [9, 36]])


@pytest.mark.parametrize("family", sorted(TARGETS))
def test_targets_of_words_pass_the_checks_of_a_batch(family: str) -> None:
    targets = pickle.loads(pickle.dumps(load_part(TARGETS[family])))
    none = np.zeros((0, 4, 2))
    pages = [
        PageWords.of([QUAD, QUAD + 40], [False, True], ["word", ""], [none, none]),
        PageWords.of([], [], [], []),
        PageWords.of([QUAD * 3], [False], ["ab"], [np.stack([QUAD * 2, QUAD * 2 + 30])]),
    ]
    images = [np.zeros((96, 128, 3), np.uint8)] * len(pages)
    batch = collate(images, [targets(words, 96, 128) for words in pages], range(len(pages)))
    assert all(found.shape[0] == 3 for found in batch.targets.values())


def test_every_detector_has_targets() -> None:
    assert {spec.family for spec in specs().values() if spec.task == "detection"} == set(TARGETS)
