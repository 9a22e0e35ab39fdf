"""Beam search over any autoregressive decoder, against every text of a small one."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from ocrctl.models.layers.autoregressive import greedy_logits
from ocrctl.models.layers.beam_search import Beams, beam_search
from ocrctl.models.layers.word_tree import WordTree
from ocrctl.text.charset import Charset
from ocrctl.text.lexicon import Lexicon
from ocrctl.text.tokenizer import ARTokenizer

CHARS, STEPS, EOS, BOS = "abc", 4, 0, 4
CLASSES = len(CHARS) + 1


class Table:
    """A decoder whose logits are a random function of the image and of all characters so far."""

    def __init__(self, seeds: list[int], beam: int = 1, spread: float = 2.0) -> None:
        self.seeds, self.spread = [seed for seed in seeds for _ in range(beam)], spread
        self.texts: list[tuple[int, ...]] = [()] * len(self.seeds)
        self.rows = 0  # computed in all

    def logits(self, token: Tensor, step: int) -> Tensor:
        self.texts = [(*text, int(one)) for text, one in zip(self.texts, token, strict=True)]
        assert all(len(text) == step + 1 and text[0] == BOS for text in self.texts)
        self.rows += len(self.texts)
        return torch.stack([self._one(seed, text) for seed, text in zip(self.seeds, self.texts, strict=True)])

    def keep_rows(self, rows: Tensor) -> None:
        self.seeds = [self.seeds[int(row)] for row in rows]
        self.reorder_cache(rows)

    def reorder_cache(self, rows: Tensor) -> None:
        self.texts = [self.texts[int(row)] for row in rows]

    def _one(self, seed: int, text: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((seed, *text)) % 2**31)
        return self.spread * torch.randn(CLASSES, generator=generator)


def search(seeds: list[int], beam: int, *, spread: float = 2.0, **named: object) -> Beams:
    like = torch.zeros(len(seeds), 1)
    return beam_search(Table(seeds, beam, spread), like, STEPS, beam, bos=BOS, eos=EOS, **named)  # type: ignore[arg-type]


def log_probability(seed: int, text: tuple[int, ...]) -> float:
    """Of the characters and of the end; the last step admits the end only, at its own probability."""
    table, total = Table([seed]), 0.0
    for step, (token, following) in enumerate(zip((BOS, *text), (*text, EOS), strict=True)):
        total += float(table.logits(torch.tensor([token]), step).log_softmax(1)[0, following])
    return total


EVERY = [text for length in range(STEPS) for text in product(range(1, CLASSES), repeat=length)]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_beam_of_every_text_finds_the_best_of_all(power: float) -> None:
    seeds = list(range(12))
    found = search(seeds, 130, power=power)
    for row, seed in enumerate(seeds):
        scores = {text: log_probability(seed, text) / (len(text) + 1) ** power for text in EVERY}
        best = max(scores, key=lambda text: scores[text])
        length = len(best)
        assert found.ids[row, 0].tolist() == [*best, *[0] * (STEPS - length)]
        assert float(found.scores[row, 0]) == pytest.approx(scores[best], abs=1e-5)
        assert float(found.steps[row, 0].sum()) == pytest.approx(log_probability(seed, best), abs=1e-5)
        assert not found.steps[row, 0, length + 1 :].any()


def test_every_candidate_has_its_own_text_and_its_own_score() -> None:
    found = search(list(range(20)), 5, power=0.0)
    for row in range(20):
        kept = found.scores[row] > -torch.inf
        texts = [tuple(label for label in ids.tolist() if label) for ids in found.ids[row, kept]]
        assert len(set(texts)) == len(texts) > 0
        assert found.scores[row, kept].tolist() == sorted(found.scores[row, kept].tolist(), reverse=True)
        for text, score in zip(texts, found.scores[row, kept].tolist(), strict=True):
            assert score == pytest.approx(log_probability(row, text), abs=1e-5)


def test_a_beam_of_one_is_greedy_decoding() -> None:
    seeds = list(range(30))
    greedy = greedy_logits(Table(seeds), torch.zeros(30, 1), STEPS, bos=BOS, eos=EOS).argmax(2)
    greedy[:, -1] = 0  # of a text that does not end by itself, the search keeps the last place for the end
    assert torch.equal(search(seeds, 1).ids[:, 0], greedy)


@pytest.mark.parametrize("beam", [2, 5])
def test_an_image_is_searched_the_same_alone_and_in_any_batch(beam: int) -> None:
    seeds = list(range(24))
    together = search(seeds, beam, spread=4.0)
    for row, seed in enumerate(seeds):
        alone = search([seed], beam, spread=4.0)
        assert torch.equal(alone.ids[0], together.ids[row])
        torch.testing.assert_close(alone.scores[0], together.scores[row])


def test_finished_images_leave_the_batch() -> None:
    decoder = Table(list(range(40)), 3, spread=6.0)
    beam_search(decoder, torch.zeros(40, 1), STEPS, 3, bos=BOS, eos=EOS)
    assert decoder.rows < 0.8 * 40 * 3 * STEPS


def test_with_a_lexicon_every_text_is_the_best_of_its_words() -> None:
    words = ["a", "abc", "ab", "cab", "ccc", "ba"]
    tree = WordTree(Lexicon(words, ARTokenizer(Charset(CHARS), STEPS - 1), "here"), CLASSES, "cpu")
    seeds = list(range(40))
    found = search(seeds, 6, power=1.0, words=tree)
    texts = [tuple(CHARS.index(char) + 1 for char in word) for word in words]
    for row, seed in enumerate(seeds):
        scores = {text: log_probability(seed, text) / (len(text) + 1) for text in texts}
        best = max(scores, key=lambda text: scores[text])
        assert tuple(label for label in found.ids[row, 0].tolist() if label) == best
        for ids in found.ids[row, found.scores[row] > -torch.inf]:
            assert tuple(label for label in ids.tolist() if label) in texts
    narrow = search(seeds, 1, words=tree)
    assert all(tuple(label for label in ids[0].tolist() if label) in texts for ids in narrow.ids)


def test_logits_that_are_nan_have_scores_that_are() -> None:
    class Broken(Table):
        def logits(self, token: Tensor, step: int) -> Tensor:
            found = super().logits(token, step)
            found[torch.tensor([seed == 1 for seed in self.seeds]), 2] = torch.nan
            return found

    found = beam_search(Broken([0, 1, 2], 3), torch.zeros(3, 1), STEPS, 3, bos=BOS, eos=EOS)
    assert found.scores.isnan().any(1).tolist() == [False, True, False]
