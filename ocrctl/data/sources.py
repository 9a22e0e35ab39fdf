"""SPEC on the command line to a source of labelled word images: an existing path, FORMAT:PATH, or synth:words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.config.suggest import did_you_mean
from ocrctl.data.formats import FORMATS, Format, detect, label_file
from ocrctl.data.words import FolderWords, WordSource
from ocrctl.errors import InputError, UsageError

__all__ = ["SYNTH", "FolderWords", "Spec", "WordSource", "open_source", "parse_spec"]

SYNTH = ("words",)  # what `synth:` can render


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed SPEC: data at `path` (in `format`, or to be found out when None), or the stream `synth:name`."""

    format: str | None
    path: Path | None
    name: str | None
    raw: str


def parse_spec(raw: str) -> Spec:
    """Parse a SPEC. An existing path wins over a prefix, so a folder called `lmdb:x` stays reachable.

    Raises UsageError for an unknown prefix, InputError for a path that does not exist.
    """
    path = Path(raw)
    if raw and path.exists():
        return Spec(None, path, None, raw)
    prefix, colon, rest = raw.partition(":")
    if not colon or len(prefix) < 2:  # one letter is a Windows drive
        raise InputError(f"{raw or 'the empty SPEC'}: no such file or folder.", hint=_GRAMMAR)
    if prefix == "synth":
        if rest not in SYNTH:
            raise UsageError(f"Unknown synthetic stream {raw!r}.{did_you_mean(rest, SYNTH)}", hint=_GRAMMAR)
        return Spec("synth", None, rest, raw)
    if prefix not in FORMATS:
        raise UsageError(
            f"Unknown format {prefix!r} in {raw!r}.{did_you_mean(prefix, [*FORMATS, 'synth'])}", hint=_GRAMMAR
        )
    if not rest or not Path(rest).exists():
        raise InputError(f"{rest or raw}: no such file or folder.")
    return Spec(prefix, Path(rest), None, raw)


def open_source(spec: Spec | str) -> WordSource:
    """Open a finite source. Without a format it is told from the content.

    Raises UsageError when several formats or label files fit (naming each) or for a synthetic stream, which has no
    list of samples; InputError naming file and line when the data cannot be read.
    """
    if isinstance(spec, str):
        spec = parse_spec(spec)
    if spec.path is None:
        raise UsageError(f"{spec.raw} is an endless stream, expected a finite set of labelled words.")
    words: Format
    if spec.format is None:
        words, file = detect(spec.path)
    else:
        words = FORMATS[spec.format]
        file = label_file(words, spec.path)
    source = words.read(file)
    if len(source) == 0:
        raise InputError(f"{file}: holds no samples.")
    return source


_GRAMMAR = f"SPEC is a path, FORMAT:PATH or synth:words; formats: {', '.join(FORMATS)}."
