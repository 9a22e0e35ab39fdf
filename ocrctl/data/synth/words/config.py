"""Settings of the synthetic word stream: frozen, picklable, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from ocrctl.errors import UsageError

Script = Literal["latin", "hangul"]
Split = Literal["train", "val"]

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
HANGUL_SYLLABLES = "".join(map(chr, range(0xAC00, 0xD7A4)))

EFFECTS = (
    "texture", "gradient_text", "clutter", "weight", "outline", "shadow", "emboss", "curve", "perspective", "rotation",
    "shear", "spacing", "crop", "illumination", "blur", "motion", "defocus", "rescale", "noise", "jpeg", "low_contrast",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SynthWordsConfig:
    """Settings of the word stream. `quickstart()` and `real()` are the two settings that the documentation measures.

    Shares are probabilities in 0..1; `lower`, `upper`, `title`, `mixed` are weights of the letter case of Latin words.
    """

    seed: int = 0
    split: Split | None = (
        None  # words are split by a hash of their letters and digits, so train and val never share one
    )
    val_share: float = 0.1  # share of all strings in val
    exclude: tuple[str, ...] = ()  # words never drawn, compared case-insensitively
    scripts: tuple[Script, ...] = ("latin",)  # drawn with equal probability, one script per word
    alphabet: str = ""  # restricts every label to these characters; empty: given by the settings below
    words: str = ""  # path of a word list, one per line, in place of the built-in dictionary
    min_length: int = 1
    max_length: int = 25
    max_steps: int = 0  # maximum CTC steps of a label: characters plus blanks between equal neighbours; 0: no limit
    random_share: float = 0.3  # strings that are in no dictionary
    number_share: float = 0.1  # numbers, prices, dates, phone numbers
    digits: bool = True
    punctuation_share: float = 0.1
    lower: float = 1.0
    upper: float = 0.0
    title: float = 0.0
    mixed: float = 0.0
    min_height: int = 32  # of the rendered crop, pixels
    max_height: int = 48
    strength: float = 1.0  # 0: clean print, 1: full range of every degradation
    disable: tuple[str, ...] = ()  # names of EFFECTS
    fonts: tuple[str, ...] = ()  # extra folders or font files
    bundled_fonts: bool = True  # typefaces installed with the dependencies
    system_fonts: bool = False  # off: the stream is the same on every machine

    def __post_init__(self) -> None:
        for name in ("val_share", "random_share", "number_share", "punctuation_share", "strength"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"synth.{name}: {getattr(self, name)} is outside 0..1.")
        if not 1 <= self.min_length <= self.max_length <= 100:
            raise UsageError(
                f"synth.min_length {self.min_length}, synth.max_length {self.max_length}: keep 1 <= min <= max <= 100."
            )
        if not 16 <= self.min_height <= self.max_height <= 128:
            raise UsageError(
                f"synth.min_height {self.min_height}, synth.max_height {self.max_height}: keep 16 <= min <= max <= 128."
            )
        if self.split not in (None, "train", "val"):
            raise UsageError(f"synth.split: '{self.split}' is not one of train, val.")
        if not self.scripts or set(self.scripts) - {"latin", "hangul"}:
            raise UsageError(f"synth.scripts: {list(self.scripts)} must name at least one of latin, hangul.")
        unknown = sorted(set(self.disable) - set(EFFECTS))
        if unknown:
            raise UsageError(f"synth.disable: no effect is called {', '.join(unknown)}; known: {', '.join(EFFECTS)}.")
        if (
            min(self.lower, self.upper, self.title, self.mixed) < 0
            or self.lower + self.upper + self.title + self.mixed <= 0
        ):
            raise UsageError(
                "synth.lower, upper, title, mixed: the weights must not be negative and one must be above 0."
            )
        if self.random_share + self.number_share > 1:
            raise UsageError("synth.random_share and synth.number_share: together they are above 1.")
        if not self.fonts and not self.bundled_fonts and not self.system_fonts:
            raise UsageError("synth.fonts: no folder is given while bundled_fonts and system_fonts are off.")

    def with_(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @classmethod
    def quickstart(cls, **changes: object) -> Self:
        """Return settings of 3 to 10 characters, lower case and digits, 40 % in no dictionary, all degradations."""
        base = cls(min_length=3, max_length=10, random_share=0.35, number_share=0.05, punctuation_share=0.0)
        return base.with_(**changes)

    @classmethod
    def real(cls, **changes: object) -> Self:
        """Return settings of scene text in ascii94: mostly capitals and titles, short, prices, numbers, punctuation."""
        base = cls(
            random_share=0.15, number_share=0.1, punctuation_share=0.1, lower=0.25, upper=0.45, title=0.26, mixed=0.04,
            min_height=28, max_height=48,
        )  # fmt: skip
        return base.with_(**changes)
