"""Samples and steps do not depend on how many processes train."""

from __future__ import annotations

import pickle
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.data.datasets.kept import WithKept
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.datasets.recognition import FiniteWords, TrainingWords
from ocrctl.data.datasets.share import Division, Share, StepSampler, joined, share_of
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.data.synth import SynthWords
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.text.tokenizer import ARTokenizer

STEPS = 6


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 40), st.sets(st.integers(0, 120)))
def test_processes_take_what_one_process_takes(
    world: int, rounds: int, each: int, start: int, excluded: set[int]
) -> None:
    """Also with samples that quarantine excludes, and in several rounds."""
    size = each * world * rounds
    one = list(islice(StepSampler(size, start, wanted=lambda n: n not in excluded), STEPS))
    all_ = [
        list(
            islice(StepSampler(size, start, Division(rank, world, rounds), lambda n: n not in excluded), STEPS * rounds)
        )
        for rank in range(world)
    ]
    assert all(len(share) == each for own in all_ for share in own)
    steps = [joined([own[step * rounds : (step + 1) * rounds] for own in all_], rounds) for step in range(STEPS)]
    assert steps == [[list(batch)] for batch in one]


def test_numbers_of_a_process_are_those_of_the_formula() -> None:
    """n = step x global batch + rank x batch + i."""
    for rank in range(3):
        own = islice(StepSampler(12, 0, Division(rank, 3)), STEPS)
        assert [list(share) for share in own] == [[s * 12 + rank * 4 + i for i in range(4)] for s in range(STEPS)]


def test_a_share_reaches_a_loader_process_whole() -> None:
    share = pickle.loads(pickle.dumps(Share(range(6), 1, 2)))
    assert (list(share), share.batch, share.part, share.parts) == ([3, 4, 5], [0, 1, 2, 3, 4, 5], 1, 2)
    whole = share_of([4, 5])
    assert (whole.batch, whole.part, whole.parts) == ([4, 5], 0, 1)


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 10 samples cannot be divided into 3"):
        StepSampler(10, 0, Division(0, 3))
    with pytest.raises(ValueError, match="rank 2 of 2"):
        Division(2, 2)


@given(st.integers(1, 8), st.integers(1, 20), st.sets(st.integers(0, 60), max_size=30))
def test_processes_divide_the_kept_images_of_a_batch(world: int, per_batch: int, excluded: set[int]) -> None:
    stream = WithKept(None, None, 2 * world, per_batch)  # type: ignore[arg-type]
    wanted = lambda n: n not in excluded  # noqa: E731
    one = [list(stream.draws(batch)) for batch in islice(StepSampler(2 * world, 0, wanted=wanted), STEPS)]
    parts = [islice(StepSampler(2 * world, 0, Division(rank, world), wanted), STEPS) for rank in range(world)]
    all_ = [[draw for share in shares for draw in stream.draws(share)] for shares in zip(*parts, strict=True)]
    assert all_ == one


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TrainingWords:
    """Half rendered, half drawn words of many widths, in an order by width, for an autoregressive tokenizer."""
    import cv2

    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    labels = ["a" * int(n) for n in rng.integers(1, 9, 20)]
    for number, label in enumerate(labels):
        image = rng.integers(0, 255, (32, 20 * len(label), 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    source = FolderWords("words", str(folder), [f"{n}.png" for n in range(20)], labels)
    spec = get_spec("crnn-tiny").with_resize("keep")
    parts = [FiniteWords(source, range(20), augment=0.5), SynthWords()]
    tokenizer = ARTokenizer(Charset("abcdefghijklmnopqrstuvwxyz0123456789"), 25)
    return TrainingWords(parts, Mixture([20, None], None, 1), spec, tokenizer, 1, batch_size=8)


def test_words_and_padded_labels_equal_those_of_one_process(words: TrainingWords) -> None:
    for batch in islice(StepSampler(8), 4):
        whole = words.__getitems__(batch)
        shares = [words.__getitems__(Share(batch, rank, 2)) for rank in range(2)]
        assert np.array_equal(np.concatenate([share.ids for share in shares]), whole.ids)
        assert np.array_equal(np.concatenate([share.labels for share in shares]), whole.labels)
        assert np.array_equal(np.concatenate([share.widths for share in shares]), whole.widths)
        for rank, share in enumerate(shares):
            for row, width in enumerate(share.widths):
                there = whole.images[4 * rank + row][:, :width]
                assert np.array_equal(share.images[row][:, :width], there)


def test_labels_of_a_stream_are_known_without_their_images(words: TrainingWords) -> None:
    assert [words.label(n) for n in range(16)] == [words.sample(n)[1] for n in range(16)]
