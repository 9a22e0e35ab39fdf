"""`ocrctl model cut`: keep only some characters of a recogniser's class head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrctl import __version__
from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.files.atomic import check_writable
from ocrctl.text.charset import Charset

SHOWN = 10  # characters in a message


@dataclass(frozen=True)
class Cut:
    """Result of `model cut`: the written checkpoint, its card, characters and parameters before and now, and a note
    about the charset file ("" without any)."""

    path: Path
    card: ModelCard
    characters_before: int
    parameters_before: int
    parameters: int
    note: str = ""


def cut_charset(model: str, charset: str, out: Path, report: Callable[[str], None] = lambda line: None) -> Cut:
    """Write the recogniser `model` with the classes of `charset` only to the checkpoint `out`; other weights stay.

    The result reads what the model read, with the other characters ruled out. charset: a file or the name of a built-in
    one, in any order, which the classes then have. `report` is called with a line for each stage.
    Raises UsageError for a detector, an `out` that exists or is named
    as another kind of file, and a character that the model does not have; InputError when the model or the charset
    cannot be read.
    """
    wanted = Charset.load(charset)
    if out.suffix == ".onnx":
        raise UsageError(
            f"-o {out}: model cut writes a checkpoint, not an ONNX file.",
            hint=f"-o {out.with_suffix('.ckpt')}, and then: ocrctl export {out.with_suffix('.ckpt')} -o DIR",
        )
    if out.exists():
        raise UsageError(f"-o {out} exists already.", hint="name a new file, or remove that one")
    check_writable(out)

    report(f"model cut: reading {model}")
    from ocrctl.inference.locate import locate
    from ocrctl.models.build import build_model, build_trained
    from ocrctl.models.checkpoint import count_parameters, load_checkpoint, write_checkpoint

    path = locate(model).path
    card, weights = load_checkpoint(path)
    if card.task != "recognition":
        raise UsageError(f"{path}: {card.arch} is a detector and has no charset.")
    rows = {char: row for row, char in enumerate(card.charset, 1)}  # class 0 is the blank or the end
    missing = [char for char in wanted if char not in rows]
    if missing:
        listed = " ".join(f"{char} (U+{ord(char):04X})" for char in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise UsageError(
            f"--charset {charset}: {path} has no class for {len(missing)} of its {len(wanted)} characters: "
            f"{listed}{more}.",
            hint="leave these out; ocrctl model info shows the characters of a model",
        )
    kept = [0, *(rows[char] for char in wanted)]
    before = count_parameters(weights)
    cut = dict(weights)
    for name in build_model(card).class_tensors:
        special = range(len(card.charset) + 1, len(weights[name]))  # [BOS] and [PAD], where a model has them
        cut[name] = weights[name][[*kept, *special]]
    smaller = replace(card, charset=wanted.chars, version=__version__)
    report(f"model cut: writing {out}")
    build_trained(smaller, cut, path)  # raises InputError when they do not fit
    write_checkpoint(out, smaller, cut)
    return Cut(out, smaller, len(card.charset), before, count_parameters(cut), wanted.note)
