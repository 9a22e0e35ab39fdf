"""How a recogniser's outputs become texts: `--decoding`, `--lexicon`, `--ngram`, `--allowlist`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from ocrctl.errors import UsageError
from ocrctl.models.card import DECODINGS
from ocrctl.text.charset import Charset

GREEDY, BEAM = "greedy", "beam"
NONE = "none"  # in place of texts: no n-gram model
DEFAULT_BEAM = 5  # texts, of a beam search whose width is not given
LARGEST_BEAM = 100  # texts: memory grows with its square
DEFAULT_POWER = 1.0  # ranks texts by the geometric mean of their probabilities, which is the confidence
NGRAM_WEIGHT = 0.3


@dataclass(frozen=True)
class Decoding:
    """Greedy decoding (`beam` 0) or a search for `beam` candidates, of which the best is the text.

    mode: ar or nar, how an autoregressive model reads; None: as it was trained. power: of the length by which the log
    probability of a text of an autoregressive model is divided. lexicon: file of the words that may be read. ngram:
    texts on which a character n-gram model is counted (`ngram_texts`), whose log probability times `ngram_weight` is
    added to that of each candidate; None: that of the model's card, or NGRAM_WEIGHT. allowlist: the characters that may
    be read, None: all. own_ngram: whether the n-gram model of the card is used, where there is no lexicon and no other.
    """

    mode: str | None = None
    beam: int = 0
    power: float = DEFAULT_POWER
    lexicon: Path | None = None
    ngram: tuple[str, ...] = ()
    ngram_weight: float | None = None
    allowlist: Charset | None = None
    own_ngram: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """Return the paths of the lexicon and of the texts of the n-gram model, with and without their format."""
        given = (*(() if self.lexicon is None else (str(self.lexicon),)), *self.ngram)
        return (*given, *filter(None, (one.partition(":")[2] for one in given)))

    @classmethod
    def parse(
        cls,
        text: str | None,
        lexicon: str | Path | None = None,
        ngram: str | Path | Sequence[str] | None = None,
        ngram_weight: float | None = None,
        allowlist: str | Path | None = None,
    ) -> Decoding:
        """Parse `--decoding`: greedy, beam[:WIDTH[:POWER]], ar or nar. A lexicon or an n-gram model without a beam uses
        the default one; the n-gram model `none` is that of the model's card left out, as greedy does. `allowlist`: a
        file or a built-in name (Charset.load). Raises UsageError for another text, a beam that is not 1 to LARGEST_BEAM
        texts, a power outside 0..2, `none` beside other texts or a weight, a weight outside 0..10, and an allowlist
        beside a lexicon."""
        mode, beam, power = text, 0, DEFAULT_POWER
        texts = (str(ngram),) if isinstance(ngram, (str, Path)) else tuple(ngram or ())
        own = NONE not in texts and text != GREEDY
        if NONE in texts and (len(texts) > 1 or ngram_weight is not None):
            raise UsageError("an n-gram model 'none' cannot be combined with texts or a weight.")
        texts = texts if own or NONE not in texts else ()
        searches = lexicon is not None or bool(texts)
        if text is None or text == GREEDY:
            mode = None
        elif text.partition(":")[0] == BEAM:
            mode, (beam, power) = None, _beam(text)
        elif text not in DECODINGS:
            known = ", ".join(f"{name} ({what})" for name, what in DECODINGS.items())
            raise UsageError(f"decoding '{text}': use {GREEDY}, {BEAM}:WIDTH, {known}.")
        if searches and text is not None and beam == 0:
            option = "a lexicon" if lexicon is not None else "an n-gram model"
            hint = f"--decoding {BEAM}:{DEFAULT_BEAM}"
            raise UsageError(f"decoding '{text}' cannot be combined with {option}.", hint=hint)
        if allowlist is not None and lexicon is not None:
            raise UsageError(
                "an allowlist cannot be combined with a lexicon, whose words limit the characters already."
            )
        if ngram_weight is not None and not 0.0 <= ngram_weight <= 10.0:
            raise UsageError(f"the weight of the n-gram model should be 0 to 10, found {ngram_weight:g}.")
        return cls(
            mode,
            beam or (DEFAULT_BEAM if searches else 0),
            power,
            None if lexicon is None else Path(lexicon),
            texts,
            ngram_weight,
            None if allowlist is None else Charset.load(allowlist),
            own,
        )


def _beam(text: str) -> tuple[int, float]:
    parts = text.split(":")[1:]
    try:
        beam = int(parts[0]) if parts else DEFAULT_BEAM
        power = float(parts[1]) if len(parts) > 1 else DEFAULT_POWER
    except ValueError:
        beam, power = -1, DEFAULT_POWER
    if len(parts) > 2 or not 1 <= beam <= LARGEST_BEAM:
        expected = f"expected beam:WIDTH or beam:WIDTH:POWER, a width of 1 to {LARGEST_BEAM} texts"
        raise UsageError(f"decoding '{text}': {expected}.")
    if not isfinite(power) or not 0.0 <= power <= 2.0:
        raise UsageError(f"decoding '{text}': expected a power of the length from 0 to 2, found {power:g}.")
    return beam, power
