"""Find typefaces: those installed as dependencies, those of the system, and any folder. No file is opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from re import compile as pattern

from ocrctl.errors import InputError

# package -> folder with font files inside it; found without importing (koreanize_matplotlib would import matplotlib)
BUNDLED = {
    "font_source_sans_pro": "files",
    "font_source_serif_pro": "files",
    "font_fredoka_one": "files",
    "font_amatic_sc": "files",
    "font_caladea": "files",
    "font_hanken_grotesk": "files",
    "font_intuitive": "files",
    "font_lato": "files",
    "font_manrope": "files",
    "ttf_opensans": "ttf",
    "koreanize_matplotlib": "fonts",
    "matplotlib": "mpl-data/fonts/ttf",
}
_SUFFIXES = (".ttf", ".otf", ".ttc")
# thin weights vanish at 32 pixels; TeX's cm*, STIX symbols and the last-resort font draw other shapes than their cmap
_UNWANTED = pattern(
    r"^(cm[a-z]+\d+|STIX(NonUni|Siz)|LastResort|DejaVu\w+Display|.*(ExtraLight|Thin|Hairline)|.*VariableFont|.*Emoji|.*Symbol)"
)
_SYSTEM = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts", "~/AppData/Local/Microsoft/Windows/Fonts"),
}


@dataclass(frozen=True, slots=True)
class FontFile:
    """One font file; `family` is its file name up to the first '-' or weight word. Families are equally likely."""

    family: str
    path: str


_WEIGHTS = pattern(
    r"(?i)(-|_|\.)|(Extra|Semi|Demi|Ultra)?(Bold|Black|Heavy|Light|Medium|Regular|Italic|Oblique|BolIta|Bol$|It$)"
)


def _family(path: Path) -> str:
    found = _WEIGHTS.search(path.stem, 1)
    return path.stem[: found.start()] if found else path.stem


def _files(folder: Path) -> list[FontFile]:
    """Find font files under `folder`, one per stem (TTF before OTF), sorted by name."""
    by_stem: dict[str, Path] = {}
    for path in sorted(
        folder.rglob("*"),
        key=lambda p: (p.stem, _SUFFIXES[::-1].index(p.suffix.lower()) if p.suffix.lower() in _SUFFIXES else -1),
    ):
        if path.suffix.lower() in _SUFFIXES and not _UNWANTED.match(path.stem):
            by_stem[path.stem] = path
    return [FontFile(_family(path), str(path)) for path in by_stem.values()]


def bundled_folders() -> dict[str, Path]:
    """Return the folder of each installed font package."""
    folders = {}
    for package, inside in BUNDLED.items():
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations))) / inside
            if folder.is_dir():
                folders[package] = folder
    return folders


@lru_cache(maxsize=8)
def find_fonts(extra: tuple[str, ...] = (), bundled: bool = True, system: bool = False) -> tuple[FontFile, ...]:
    """Find all fonts, in an order that does not depend on where packages are installed.

    `extra`: folders or font files. Raises InputError when one of them holds no font, or when none is found at all.
    """
    found: list[FontFile] = []
    if bundled:
        for folder in bundled_folders().values():
            found += _files(folder)
    if system:
        for name in _SYSTEM.get(sys.platform, ()):
            if (folder := Path(name).expanduser()).is_dir():
                found += _files(folder)
    for name in extra:
        path = Path(name).expanduser()
        fonts = [FontFile(_family(path), str(path))] if path.is_file() else _files(path) if path.is_dir() else []
        if not fonts:
            raise InputError(f"{name}: no font file (.ttf, .otf, .ttc) found; give an existing folder or file.")
        found += fonts
    unique = {(font.family, Path(font.path).stem): font for font in found}
    if not unique:
        raise InputError("synth.fonts: no font found; install the package's dependencies or give a folder with fonts.")
    return tuple(unique[key] for key in sorted(unique))
