"""Settings of the synthetic page stream: frozen, picklable, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from ocrctl.data.synth.words.config import Script, Split, SynthWordsConfig
from ocrctl.errors import UsageError

Kind = Literal["scene", "receipt", "paper", "form"]
KINDS: tuple[Kind, ...] = ("scene", "receipt", "paper", "form")


@dataclass(frozen=True, slots=True)
class SynthPagesConfig:
    """Settings of the page stream. Sizes in pixels; shares are probabilities in 0..1."""

    seed: int = 0
    split: Split | None = None  # words are split as in synth:words, so train and val never share one
    val_share: float = 0.1
    height: int = 640  # of every image; 0: a size by kind, with the longer side from `longest`
    width: int = 640
    longest: tuple[int, int] = (960, 1280)
    weights: tuple[float, float, float, float] = (0.55, 0.15, 0.15, 0.15)  # of scenes, receipts, papers and forms
    scripts: tuple[Script, ...] = ("latin",)
    words: str = ""  # path of a word list, one per line, in place of the built-in dictionary
    curved: float = 0.25  # share of the signs of a scene with curved text
    textless: float = 0.02  # share of images without words
    smallest: float = 6.0  # words lower than this are ignored
    backgrounds: str = ""  # folder of photographs without text, used for half of the images
    strength: float = 1.0  # 0: clean and flat, 1: full range of geometry and degradation
    fonts: tuple[str, ...] = ()  # extra folders or font files
    bundled_fonts: bool = True
    system_fonts: bool = False

    def __post_init__(self) -> None:
        for name in ("val_share", "curved", "textless", "strength"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"synthetic pages: {name} {getattr(self, name)} is outside 0..1.")
        if (self.height == 0) != (self.width == 0) or (self.height and not min(self.height, self.width) >= 64):
            raise UsageError(
                f"synthetic pages: height {self.height}, width {self.width}: 64 pixels or more, or both 0."
            )
        if max(self.height, self.width, *self.longest) > 4096 or not 64 <= self.longest[0] <= self.longest[1]:
            raise UsageError(f"synthetic pages: sizes above 4096 pixels, or longest {self.longest} out of order.")
        if len(self.weights) != len(KINDS) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise UsageError(
                f"synthetic pages: weights {self.weights}: expected {len(KINDS)} numbers >= 0, one above 0."
            )
        self.text()  # refuses scripts, splits and fonts as the word stream does

    def text(self) -> SynthWordsConfig:
        """Return the settings of a page's words: of one to fourteen characters, cased like prose."""
        return SynthWordsConfig(
            seed=self.seed, split=self.split, val_share=self.val_share, scripts=self.scripts, words=self.words,
            min_length=1, max_length=14, random_share=0.03, number_share=0.07, punctuation_share=0.08,
            lower=0.78, upper=0.05, title=0.16, mixed=0.01,
            fonts=self.fonts, bundled_fonts=self.bundled_fonts, system_fonts=self.system_fonts,
        )  # fmt: skip

    def with_(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
