"""Sample the text of a page: words, names, prices and dates of one split, in fonts that can draw them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from re import compile as pattern

from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.words.font_families import FontFamilies
from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.labels import Labels
from ocrctl.data.synth.words.patterns import fill
from ocrctl.data.synth.words.typeface import EM, open_typeface

_TRIES = 60
_DISPLAY = pattern(r"(?i)amatic|fredoka|intuitive|.*(script|display|fatface|press|bangers|chewy|cookie)")
_MONO = pattern(r"(?i).*(mono|courier|typewriter|elite)")
PRICES = ("#.##", "##.##", "#.##", "##.##", "###.##", "$#.##", "$##.##", "#,###.##")
DATES = ("##/##/20##", "20##-##-##", "##.##.##", "##-##-20##", "##:##", "##:##:##")
CODES = ("###-####", "(###)", "####-####", "#######", "AA-####", "No.####", "A##-###", "+## ###", "#####")
LISTED = ("#", "##", "x#", "#x", "#%", "###")
_HEADS = (
    "TOTAL", "Subtotal", "CASH", "CHANGE", "TAX", "VAT", "GST", "Item", "Qty", "Price", "Amount", "Date", "Time",
    "Name", "Address", "Phone", "Invoice", "Receipt", "No.", "Table", "Cashier", "Thank", "you", "Signature", "City",
    "Email", "Order", "Balance", "Card", "Visa", "Discount", "Due", "Bill", "To", "Ship", "Page", "Ref", "Code",
    "Member",
)  # fmt: skip


class PageText:
    """Sample texts by the settings; pure in the state of the given `Random`."""

    def __init__(self, config: SynthPagesConfig) -> None:
        self._labels = Labels(config.text())
        self._fonts = FontFamilies(config.text())
        self._plain = config.scripts == ("latin",) and not config.words

    def word(self, r: Random) -> str:
        """Sample a word of prose, sometimes a number or one with punctuation."""
        return self._labels.draw(r)

    def words(self, r: Random, count: int) -> list[str]:
        """Sample `count` words of prose."""
        return [self._labels.draw(r) for _ in range(count)]

    def name(self, r: Random, count: int, upper: bool) -> list[str]:
        """Sample `count` capitalised words, as in the name of a shop, a street or a heading."""
        found = []
        for _ in range(count):
            word = next((w for w in (self.word(r) for _ in range(8)) if w.isalpha() and len(w) > 1), "") or self.word(r)
            found.append(word.upper() if upper else word[:1].upper() + word[1:])
        return found

    def field_name(self, r: Random) -> str:
        """Sample the name of a field before a value; words of the other split are replaced by a name."""
        word = _HEADS[int(r.random() * len(_HEADS))]
        return word if self._plain and self._labels.admits(word) else self.name(r, 1, r.random() < 0.3)[0]

    def from_pattern(self, r: Random, patterns: Sequence[str]) -> str:
        """Fill one of `patterns` ('#' a digit, 'A' a capital) with text of the split; spaces separate words."""
        for _ in range(_TRIES):
            text = fill(r, patterns[int(r.random() * len(patterns))])
            if all(map(self._labels.admits, text.split())):
                return text
        return self.word(r)

    def font(self, r: Random, *, kind: str, bold: bool | None = None) -> FontFile:
        """Sample a font for `kind`: text, mono, or any. Families are equally likely; `bold`: heavy or plain weights."""
        families = self._fonts.families
        if not self._plain:
            return self._fonts.pick(r, self.word(r))
        fitting = [family for family in families if _suits(family[0].family, kind)] or families
        family = fitting[int(r.random() * len(fitting))]
        if bold is not None:
            heavy = [font for font in family if ("Bold" in font.path or "Black" in font.path) == bold]
            family = tuple(font for font in heavy if "Italic" not in font.path and "Oblique" not in font.path) or family
        return family[int(r.random() * len(family))]

    def drawable(self, r: Random, font: FontFile, text: str) -> str:
        """Return `text`, or what the font can draw instead: capitals, or another word; "" when there is none."""
        typeface = open_typeface(font.path)
        for _ in range(8):
            if typeface.draws(text):
                return text
            if typeface.draws(text.upper()):
                return text.upper()
            text = self.word(r)
        return ""


def _suits(family: str, kind: str) -> bool:
    if kind == "mono":
        return _MONO.match(family) is not None
    return kind == "any" or not (_DISPLAY.match(family) or _MONO.match(family))


def measure(font: FontFile, text: str, size: float) -> float:
    """Return the length of `text` at `size` units per em, without kerning. The font must draw every character."""
    return open_typeface(font.path).length(text) * size / EM


def space(font: FontFile, size: float) -> float:
    """Return the width of the gap between words at `size` units per em: the font's own, within limits."""
    return min(0.65, max(0.26, open_typeface(font.path).gap / EM)) * size
