"""From the outputs of a recogniser to texts, with the confidence and position of each character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError, counted
from ocrctl.inference.decoding import DEFAULT_BEAM, NGRAM_WEIGHT, Decoding
from ocrctl.models.card import card_spec, card_tokenizer
from ocrctl.text.charset import Charset

if TYPE_CHECKING:  # modules of searches are imported where one is asked for, which greedy decoding never does
    from ocrctl.inference.attended import Attention
    from ocrctl.text.lexicon import Lexicon
    from ocrctl.text.ngram import NgramModel


class Character(NamedTuple):
    """One character of a text: its probability 0..1, and where the model read it, from 0 at the left and top of the
    image to 1 at its right and bottom."""

    text: str
    confidence: float
    x: float
    y: float


@dataclass(frozen=True)
class Recognition:
    """The text of one image; `confidence` 0..1 is the geometric mean of the characters' probabilities. `characters`:
    those of the text, None unless asked for. attention: what the model attended to, of an engine that explains; None
    of an empty text."""

    text: str
    confidence: float
    characters: tuple[Character, ...] | None = None
    attention: Attention | None = field(default=None, compare=False, repr=False)

    @property
    def positions(self) -> NDArray[np.float64]:
        """Return x and y of each character, (n, 2)."""
        return np.array([(one.x, one.y) for one in self.characters or ()], np.float64).reshape(-1, 2)

    def placed(self, points: NDArray[np.float64]) -> Recognition:
        """Return a copy with the characters at `points` (n, 2)."""
        moved = zip(self.characters or (), points.tolist(), strict=True)
        return replace(self, characters=tuple(one._replace(x=x, y=y) for one, (x, y) in moved))


class Candidate(NamedTuple):
    """A text that a search found: classes, log probability of the text, and, of an autoregressive model, that of each
    character and of the end."""

    ids: Sequence[int]
    score: float
    steps: Sequence[float] = ()


class TextDecoder:
    """Decode outputs by the best class of each step, or by a search (`decoding.beam`)."""

    def __init__(self, card: ModelCard, decoding: Decoding) -> None:
        """Load the lexicon and the n-gram model of `decoding`; without them, the n-gram model of the card is used with
        the default beam, and counted at the first text. Raises InputError for files without any text that the model can
        read and for an allowlist of other characters alone, UsageError when the architecture is unknown."""
        self._card, self.tokenizer, self.decoding = card, card_tokenizer(card), decoding
        spec = card_spec(card)
        self.ctc = spec.tokenizer == "ctc"
        self._step, self._lost, self._width = spec.stride_w, spec.lost_steps, card.width
        self.lexicon: Lexicon | None = None
        notes = []
        if decoding.lexicon is not None:
            from ocrctl.text.lexicon import Lexicon

            self.lexicon = Lexicon.load(decoding.lexicon, self.tokenizer)
            notes.append(self.lexicon.note)
        self._weight = decoding.ngram_weight if decoding.ngram_weight is not None else NGRAM_WEIGHT
        self._given: NgramModel | None = None
        own = card.ngram if self.ctc and decoding.own_ngram and decoding.lexicon is None else None
        if decoding.ngram:
            from ocrctl.inference.ngram_texts import load_ngram

            self._given = load_ngram(decoding.ngram, self.tokenizer.charset)
        elif own is not None:
            self._weight = decoding.ngram_weight if decoding.ngram_weight is not None else own.weight
            self.decoding = replace(decoding, beam=decoding.beam or DEFAULT_BEAM)
            notes.append(f"reads with its n-gram model ({own.describe()}); without: --ngram none")
        self._has_own = own is not None and self._given is None
        self.allowed: NDArray[np.bool_] | None = None
        """classes (K,) that may be read; None: all"""
        if decoding.allowlist is not None:
            self.allowed, note = allowed_classes(decoding.allowlist, self.tokenizer.charset)
            notes += [decoding.allowlist.note, note]
        self.note = "; ".join(filter(None, notes))

    @property
    def has_ngram(self) -> bool:
        """Return whether an n-gram model ranks what is read."""
        return self._has_own or self._given is not None

    @property
    def searches_model(self) -> bool:
        """Return whether the model itself is searched, as an autoregressive one is; CTC searches its logits."""
        return self.decoding.beam > 0 and not self.ctc

    def decode(
        self, logits: NDArray[np.float32], widths: NDArray[np.int64] | None = None, *, characters: bool = False
    ) -> list[Recognition]:
        """Decode logits float32 (N, T, K) to one Recognition per row. widths: int64 (N,), the columns of each image,
        None: all. characters: also those of CTC; the positions of another model are known to the model only."""
        if self.allowed is not None:
            logits = np.where(self.allowed, logits, -np.inf)
        if self.ctc and (self.decoding.beam or characters):
            return self._decode_ctc(logits, widths, characters)
        ids = logits.argmax(axis=2)  # (N, T)
        probs = self._probabilities(logits, ids)
        found = [Recognition(text, confidence) for text, confidence in self.tokenizer.decode(ids, probs)]
        if characters:
            found = [_with_steps(one, row) for one, row in zip(found, probs, strict=True)]
        return found

    def choose(self, candidates: Sequence[Candidate], *, characters: bool = False) -> Recognition:
        """Return the best of the candidates of one image, ranked with the n-gram model; an empty text of confidence 0
        without any."""
        best = self._best(candidates)
        if best is None:
            return Recognition("", 0.0, () if characters else None)
        text = self.text(best.ids)
        confidence = float(np.exp(np.mean(best.steps))) if best.steps else 0.0
        found = Recognition(text, confidence)
        return _with_steps(found, np.exp(best.steps)) if characters else found

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of character classes."""
        chars = self.tokenizer.charset.chars
        return "".join(chars[label - 1] for label in ids)

    def classes(self, text: str) -> list[int]:
        """Return the class of each character of a text that was read."""
        return [self.tokenizer.charset.index(char) + 1 for char in text]

    def spans(self, logits: NDArray[np.float32], texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the first and last step of each character that CTC has read from logits (N, T, K), each (n, 2)."""
        from ocrctl.text.ctc_alignment import align
        from ocrctl.text.ctc_beam_search import log_softmax

        return align(log_softmax(logits), [self.classes(text) for text in texts])

    def cell_width(self, width: int, columns: int) -> float:
        """Return the width in pixels of a cell of the features, of which `columns` cover inputs of `width` pixels."""
        return float(self._step if -(-width // self._step) == columns else width / columns)

    def _best(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the best candidate, None without any. The n-gram model chooses among those that have the frame of the
        best without it: the same unknown characters at the same positions."""
        best = max(candidates, key=self._rank, default=None)
        model, weight = self._ngram, self._weight
        if best is None or model is None or not weight:
            return best
        frame = model.frame(self.text(best.ids))
        texts = [self.text(one.ids) for one in candidates]
        alike = [pair for pair in zip(candidates, texts, strict=True) if model.frame(pair[1]) == frame]
        if len(alike) == 1:
            return best
        return max(
            (one._replace(score=one.score + weight * model.log_probability(text)) for one, text in alike),
            key=self._rank,
        )

    @cached_property
    def _ngram(self) -> NgramModel | None:
        if not self._has_own:
            return self._given
        from ocrctl.inference.ngram_texts import load_own_ngram

        return load_own_ngram(self._card)

    def _rank(self, candidate: Candidate) -> float:
        score = candidate.score
        return score if self.ctc else score / float((len(candidate.ids) + 1) ** self.decoding.power)

    def _decode_ctc(
        self, logits: NDArray[np.float32], widths: NDArray[np.int64] | None, characters: bool
    ) -> list[Recognition]:
        """Search the logits, and align each text with them: the confidence is that of the first step of each character
        on the best path, as in greedy decoding."""
        from ocrctl.text.ctc_alignment import align
        from ocrctl.text.ctc_beam_search import log_softmax

        log_probs = log_softmax(logits)
        if self.decoding.beam:
            texts = self._search(log_probs)
        else:
            best = logits.argmax(axis=2)
            texts = [row[kept].tolist() for row, kept in zip(best, self.tokenizer.scored(best), strict=True)]
        found = []
        for row, (ids, spans) in enumerate(zip(texts, align(log_probs, texts), strict=True)):
            steps = log_probs[row, spans[:, 0], ids] if ids else np.zeros(0, np.float32)
            confidence = float(np.exp(steps.mean())) if ids else 0.0
            one = Recognition(self.text(ids), confidence)
            if characters:
                width = self._width if widths is None else int(widths[row])
                centres = (spans.mean(axis=1) + 0.5 + self._lost / 2) * self._step / width
                parts = zip(one.text, np.exp(steps), np.minimum(centres, 1.0), strict=True)
                one = replace(one, characters=tuple(Character(c, float(p), float(x), 0.5) for c, p, x in parts))
            found.append(one)
        return found

    def _search(self, log_probs: NDArray[np.float32]) -> list[list[int]]:
        beam = self.decoding.beam
        if self.lexicon is not None:
            images = self.lexicon.best_words(log_probs, beam)
        else:
            from ocrctl.text.ctc_beam_search import prefix_beam_search

            images = prefix_beam_search(log_probs, beam)
        best = [self._best([Candidate(*one) for one in texts]) for texts in images]
        return [list(one.ids) if one is not None else [] for one in best]

    def _probabilities(self, logits: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the probability of the best class of each scored step, (N, T); 1 elsewhere."""
        scored = self.tokenizer.scored(ids)
        # Softmax of the best class, without overflow, of few steps at a time: with thousands of classes, all steps at
        # once cost a quarter of the time of reading.
        probs = np.ones(ids.shape, np.float32)
        for row, steps in enumerate(scored):
            held = logits[row, steps]  # (S, K), a copy
            held -= held.max(axis=1, keepdims=True)
            probs[row, steps] = 1.0 / np.exp(held, out=held).sum(axis=1)
        return probs


def allowed_classes(allowlist: Charset, charset: Charset) -> tuple[NDArray[np.bool_], str]:
    """Return which classes (K,) of a model with `charset` may be read, the blank or end always, and a note that counts
    them and names characters that the model cannot read. Raises InputError when it can read none of them."""
    allowed = np.array([True, *(char in allowlist for char in charset)])
    if not allowed[1:].any():
        raise InputError("the model can read none of the characters of the allowlist.", hint="ocrctl model info MODEL")
    note = f"reads {allowed[1:].sum():,} of its {len(charset):,} characters"
    if unknown := [char for char in allowlist if char not in charset]:
        shown = "".join(unknown[:10]) + ("..." if len(unknown) > 10 else "")
        note += f"; it cannot read {counted(len(unknown), 'character')} of the allowlist ({shown})"
    return allowed, note


def _with_steps(found: Recognition, probs: NDArray[np.floating] | Sequence[float]) -> Recognition:
    """Add the characters, with the probability of each output step; their positions are not known yet."""
    named = zip(found.text, probs, strict=False)  # the end, and steps after it, are no characters
    return replace(found, characters=tuple(Character(char, float(prob), np.nan, np.nan) for char, prob in named))
