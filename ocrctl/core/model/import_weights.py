"""`ocrctl model import`: write a published model of another project as a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrctl import __version__
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import check_writable
from ocrctl.models.registry import families, family_of
from ocrctl.models.weight_file import WeightFile, is_torch_file, read_weight_file, recognise
from ocrctl.shell import shell_quote
from ocrctl.text.charset import Charset

SOURCE_KEY = "source"  # key in the checkpoint's top level: where its weights are from
SHOWN = 3  # names of tensors in messages


@dataclass(frozen=True)
class Imported:
    """Result of `model import`: the written checkpoint, what its source is, its card, its number of parameters, and a
    note about the charset file ("" without any)."""

    path: Path
    description: str
    card: ModelCard
    parameters: int
    note: str


def importable() -> list[str]:
    """Return the architectures that published weights can be imported as."""
    return [spec.name for family in families().values() if family.published for spec in family.specs]


def import_weights(
    source: Path, arch: str, charset: str | None, out: Path, report: Callable[[str], None] = lambda line: None
) -> Imported:
    """Convert the published model at `source` to a checkpoint of architecture `arch` at `out`, which is written whole
    or not at all.

    charset: a file or the name of a built-in one, in the order of the model's classes; None: as the file says.
    `report` is called with a line for each stage.
    Raises UsageError when `arch` is unknown, imports nothing, or is not that of the file, and when `out` exists;
    InputError when the file cannot be read, is not recognised, or does not fit the charset.
    """
    family = family_of(arch)
    report(f"model import: reading {source}")
    if (backbone := _backbone(source)) is not None:
        raise UsageError(
            f"{source}: holds ImageNet weights of the backbone {backbone}, not a whole model.",
            hint=f"train a detector with them: ocrctl train DETECTOR --from {shell_quote(source)} -d SPEC",
        )
    if family.published is None:
        raise UsageError(
            f"--as {arch}: no published weights are known for it.", hint=f"known: {', '.join(importable())}"
        )
    if out.suffix == ".onnx":
        raise UsageError(
            f"-o {out}: model import writes a checkpoint, not an ONNX file.",
            hint=f"-o {out.with_suffix('.ckpt')}, and then: ocrctl export {out.with_suffix('.ckpt')} -o DIR",
        )
    if out.exists():
        raise UsageError(f"-o {out} exists already.", hint="name a new file, or remove that one")
    file = read_weight_file(source)
    _refuse_own(file)
    found = recognise(file)
    if found is None:
        names = ", ".join(list(file.tensors)[:SHOWN])
        raise InputError(
            f"{source}: not a published model that ocrctl knows (its tensors are {names}, ...; "
            f"{len(file.tensors)} in all).",
            hint=f"known: {', '.join(importable())}; docs/how-to/import-weights.md names the files",
        )
    if found.arch != arch:
        raise UsageError(f"{source} holds {found.description}, not {arch}.", hint=f"--as {found.arch}")
    given = Charset.load(charset) if charset is not None else None
    if given is not None and found.charset == "":
        raise UsageError(f"--charset: {arch} is a detector and has no charset.", hint="leave --charset out")
    if given is not None and ("removed" in given.note or "split" in given.note):  # a class would get another character
        raise UsageError(
            f"--charset {given.note}: the order of its characters is not that of the model's classes.",
            hint="leave --charset out, the file holds its own"
            if found.charset
            else "give one character for each class",
        )
    check_writable(out)

    from ocrctl.models.build import build_trained
    from ocrctl.models.checkpoint import count_parameters, write_checkpoint
    from ocrctl.models.finite import refuse_not_finite_outputs
    from ocrctl.models.published import published_model

    report(f"model import: converting to {arch}, {out}")
    model = published_model(file, found, given.chars if given is not None else None)
    refuse_not_finite_outputs(build_trained(model.card, model.weights, source), model.card, source)
    card = replace(model.card, version=__version__)
    origin = {"file": source.name, "sha256": _sha256(source), "description": model.description}
    write_checkpoint(out, card, model.weights, **{SOURCE_KEY: origin})
    note = given.note if given is not None else ""
    return Imported(out, model.description, card, count_parameters(model.weights), note)


def _backbone(source: Path) -> str | None:
    """The backbone whose weights `source` holds, None for any other file, also one that cannot be read."""
    from ocrctl.models.backbones.pretrained import backbone_of

    try:
        file = read_weight_file(source) if is_torch_file(source) else None
    except InputError:  # reported where the file is read for its own sake
        return None
    return backbone_of(file) if file is not None else None


def _refuse_own(file: WeightFile) -> None:
    """Raise UsageError for a file that ocrctl itself wrote."""
    if CARD_KEY in file.metadata:
        raise UsageError(
            f"{file.path}: was written by ocrctl and needs no import.",
            hint=f"ocrctl model info {shell_quote(file.path)}",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
